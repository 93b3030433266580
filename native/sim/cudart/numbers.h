// SPDX-License-Identifier: Apache-2.0
// Shared by the simulated libraries: f32 and bf16 in memory, the queue of cudart.cpp, errors on demand.
#pragma once
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "cg/fp8.h"

extern "C" int cg_cudart_ask(void* stream, void (*work)(void*), void* data);
extern "C" int cg_cudart_fault(const char* call);

namespace {

using cg::fp8::bits;
using cg::fp8::number;

inline float get(const void* p, bool half, int64_t i) {
    return half ? number((uint32_t)((const uint16_t*)p)[i] << 16) : ((const float*)p)[i];
}
inline void put(void* p, bool half, int64_t i, double v) {
    const uint32_t u = bits((float)v);
    if (half)
        ((uint16_t*)p)[i] = (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
    else ((float*)p)[i] = (float)v;
}
/// Rounds to TF32.
inline float tf32(float f) { return number((bits(f) + 0x1000) & ~0x1fffu); }

/// A kernel that fails, as on an illegal address.
inline void crash(void*) { throw std::runtime_error("a kernel of the library fails"); }
/// True for a multiple of 256, as all allocations and scratch tensors are; the real library may then use vector loads.
inline bool aligned(const void* p) { return (uintptr_t)p % 256 == 0; }

}  // namespace
