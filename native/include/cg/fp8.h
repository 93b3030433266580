// SPDX-License-Identifier: Apache-2.0
// The 8-bit floating-point formats of Micikevicius et al. 2022, "FP8 formats for deep learning", and delayed scaling.
// E4M3 has 3 bits of mantissa, numbers up to 448 and no infinity; E5M2 has 2 bits and numbers up to 57344. Conversions
// to them round to nearest, ties to even, and saturate: infinity becomes the largest number, NaN stays NaN.
//
// A tensor's state is float [18]: 1/scale, scale, and its largest magnitudes in the last 16 steps, the latest last.
// Scales are powers of two: scaling is exact, so a number keeps its mantissa and rounds as it would unscaled. The price
// is at most one binade of range, which is also the headroom for a tensor that grows between two steps.
//
// The functions are static, because sources of several instruction sets include them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cg/abi.h"

#if defined(__CUDACC__)
#define CG_FP8 __host__ __device__ static inline
#else
#define CG_FP8 static inline
#endif

namespace cg {

enum class Fp8 : i64 { E4M3, E5M2 };

namespace fp8 {

/// Edge of the square tiles of which `quantize` leaves the maxima.
constexpr i64 kTile = 64;
constexpr int kHistory = 16;
/// Scales are at most 2^kLargestScale and at least the inverse, so that both are normal floats.
constexpr int kLargestScale = 100;
/// Bits of infinity; those of a NaN are more, without the sign.
constexpr uint32_t kInfinity = 0x7f800000u;

CG_FP8 constexpr int mantissa(Fp8 f) { return f == Fp8::E4M3 ? 3 : 2; }
CG_FP8 constexpr int bias(Fp8 f) { return f == Fp8::E4M3 ? 7 : 15; }
/// The largest number is 1.75 * 2^largest_exponent in both formats.
CG_FP8 constexpr int largest_exponent(Fp8 f) { return f == Fp8::E4M3 ? 8 : 15; }
CG_FP8 constexpr uint32_t largest_bits(Fp8 f) { return f == Fp8::E4M3 ? 0x7e : 0x7b; }

CG_FP8 uint32_t bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
CG_FP8 float number(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
/// 2^e for a normal result.
CG_FP8 float power_of_two(int e) { return number((uint32_t)(127 + e) << 23); }
/// Bits of |x|: their order is that of the magnitudes, with infinity and NaN above all numbers.
CG_FP8 uint32_t magnitude(float x) { return bits(x) & 0x7fffffffu; }

CG_FP8 uint8_t encode(Fp8 f, float x) {
    const int m = mantissa(f), least = 1 - bias(f), drop = 23 - m;
    const uint32_t sign = bits(x) >> 24 & 0x80, a = magnitude(x);
    if (a > kInfinity) return (uint8_t)(sign | 0x7f);
    if (a < bits(power_of_two(least)))  // a subnormal number, or the first normal one after rounding
        return (uint8_t)(sign | (uint32_t)rintf(number(a) * power_of_two(m - least)));
    const uint32_t r = ((a + (1u << (drop - 1)) - 1 + (a >> drop & 1)) >> drop) - ((uint32_t)(127 - bias(f)) << m);
    return (uint8_t)(sign | (r < largest_bits(f) ? r : largest_bits(f)));
}
CG_FP8 float decode(Fp8 f, uint8_t x) {
    const int m = mantissa(f);
    const uint32_t a = x & 0x7f, sign = (uint32_t)(x & 0x80) << 24, e = a >> m, fraction = a & ((1u << m) - 1);
    if (a > (f == Fp8::E4M3 ? 0x7eu : 0x7cu)) return number(sign | 0x7fc00000u);
    if (f == Fp8::E5M2 && a == 0x7c) return number(sign | kInfinity);
    const float v = e ? number((e + 127 - (uint32_t)bias(f)) << 23 | fraction << (23 - m))
                      : (float)fraction * power_of_two(1 - bias(f) - m);
    return number(sign | bits(v));
}

/// Records the magnitude of a step, given as its bits, and sets the scale of the next step. A step with an infinity or
/// a NaN changes nothing: its update is skipped.
CG_FP8 void advance(float* state, Fp8 f, uint32_t largest) {
    if (largest >= kInfinity) return;
    float* history = state + 2;
    for (int i = 0; i + 1 < kHistory; i++) history[i] = history[i + 1];
    history[kHistory - 1] = number(largest);
    for (int i = 0; i < kHistory; i++) largest = largest > bits(history[i]) ? largest : bits(history[i]);
    if (largest == 0) return;
    // The largest power of two that keeps the largest magnitude at or below 1.75 * 2^largest_exponent.
    int e = largest_exponent(f) - ((int)(largest >> 23) - 127) - ((largest & 0x7fffffu) > 0x600000u);
    e = e > kLargestScale ? kLargestScale : e < -kLargestScale ? -kLargestScale : e;
    state[0] = power_of_two(-e);
    state[1] = power_of_two(e);
}

}  // namespace fp8
}  // namespace cg
