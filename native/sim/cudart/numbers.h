// What the simulated libraries share: numbers as they are stored, f32 or bf16, and the queue of cudart.cpp.
#pragma once
#include <cstdint>
#include <cstring>

extern "C" int cg_cudart_ask(void* stream, void (*work)(void*), void* data);

namespace {

inline uint32_t bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
inline float number(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
inline float get(const void* p, bool half, int64_t i) {
    return half ? number((uint32_t)((const uint16_t*)p)[i] << 16) : ((const float*)p)[i];
}
inline void put(void* p, bool half, int64_t i, double v) {
    const uint32_t u = bits((float)v);
    if (half) ((uint16_t*)p)[i] = (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
    else ((float*)p)[i] = (float)v;
}
/// As TF32 has it.
inline float tf32(float f) { return number((bits(f) + 0x1000) & ~0x1fffu); }

}  // namespace
