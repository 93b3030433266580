// SPDX-License-Identifier: Apache-2.0
// The vector type of the CPU kernels: `vf`, as wide as the instruction set that this file is compiled for (CG_NS:
// portable 4 floats, avx2 8, avx512 16). Every kernel source is compiled once per set. Nothing here may have external
// linkage outside CG_NS; otherwise the linker would mix the sets.
#pragma once

#include <immintrin.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cg/abi.h"

#ifndef CG_NS
#error "CG_NS must name the instruction set"
#endif

namespace cg {
namespace CG_NS {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif
typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));

inline vf splat(float x) { return x - vf{}; }
inline vi splati(int32_t x) { return x - vi{}; }

inline vf load(const float* p) {
    vf v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

/// Loads the first n (0 <= n <= W) elements; the rest are zero.
inline vf load_n(const float* p, i64 n) {
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf v{};
    std::memcpy(&v, p, (size_t)n * 4);
    return v;
#endif
}
inline void store_n(float* p, vf v, i64 n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    std::memcpy(p, &v, (size_t)n * 4);
#endif
}

// bfloat16: widen is a shift; narrow rounds to nearest even and keeps NaN quiet.
inline float to_float(bf16 x) {
    uint32_t u = (uint32_t)x.bits << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}
inline float to_float(float x) { return x; }
inline bf16 to_bf16(float f) {
    uint32_t u;
    std::memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return bf16{(uint16_t)((u >> 16) | 0x40)};
    return bf16{(uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}
template <class T>
inline T from_float(float f);
template <>
inline float from_float<float>(float f) {
    return f;
}
template <>
inline bf16 from_float<bf16>(float f) {
    return to_bf16(f);
}

#if defined(__AVX512BF16__)
inline vf load(const bf16* p) {
    return (vf)_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}
inline void store(bf16* p, vf v) { _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh((__m512)v)); }
inline vf load_n(const bf16* p, i64 n) {
    __m256i h = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
    return (vf)_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
inline void store_n(bf16* p, vf v, i64 n) {
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#else
typedef uint16_t vh __attribute__((vector_size(W * 2)));
inline vf load(const bf16* p) {
    vh h;
    std::memcpy(&h, p, sizeof h);
    vu u = __builtin_convertvector(h, vu) << 16;
    return (vf)u;
}
inline void store(bf16* p, vf v) {
    vu u = (vu)v;
    vu r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    vu q = (u >> 16) | 0x40u;
    vi nan = (vi)((u & 0x7fffffffu) > 0x7f800000u);
    vh h = __builtin_convertvector((vu)(((vi)q & nan) | ((vi)r & ~nan)), vh);
    std::memcpy(p, &h, sizeof h);
}
inline vf load_n(const bf16* p, i64 n) {
    bf16 t[W] = {};
    std::memcpy(t, p, (size_t)n * 2);
    return load(t);
}
inline void store_n(bf16* p, vf v, i64 n) {
    bf16 t[W];
    store(t, v);
    std::memcpy(p, t, (size_t)n * 2);
}
#endif

/// Loads or stores a vector, or its first n elements where fewer than W are left.
template <class T>
inline vf load_upto(const T* p, i64 n) {
    return n >= W ? load(p) : load_n(p, n);
}
template <class T>
inline void store_upto(T* p, vf v, i64 n) {
    if (n >= W) store(p, v);
    else store_n(p, v, n);
}

inline vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
inline vf select(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
// Like the hardware instructions, vmax and vmin return b if either operand is NaN.
inline vf vmax(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#endif
}
inline vf vmin(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#endif
}
inline vf vabs(vf a) { return (vf)((vi)a & 0x7fffffff); }
inline vf vsqrt(vf a) {
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    return (vf)_mm_sqrt_ps((__m128)a);
#endif
}
/// 1 / a within about 1 ulp: with AVX-512 a 14-bit estimate and one Newton step, otherwise a division.
inline vf vreciprocal(vf a) {
#if defined(__AVX512F__)
    vf r = (vf)_mm512_maskz_rcp14_ps((__mmask16)-1, (__m512)a);
    return r * fma(-a, r, splat(2.f));
#else
    return splat(1.f) / a;
#endif
}
// Horizontal reductions fold halves onto each other. The order is fixed, so a result depends on the data alone.
typedef float v8f __attribute__((vector_size(32)));
typedef float v4f __attribute__((vector_size(16)));
template <class F>
inline float fold(v4f q, F&& f) {
    return f(f(q[0], q[2]), f(q[1], q[3]));
}
template <class F>
inline float fold(v8f h, F&& f) {
    return fold(f(__builtin_shufflevector(h, h, 0, 1, 2, 3), __builtin_shufflevector(h, h, 4, 5, 6, 7)), f);
}
#if defined(__AVX512F__)
template <class F>
inline float fold(vf v, F&& f) {
    return fold(f(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
                f);
}
#endif
inline float hsum(vf v) {
    return fold(v, [](auto a, auto b) { return a + b; });
}
inline float hmax(vf v) {
    return fold(v, [](auto a, auto b) { return a > b ? a : b; });
}

/// e^x, relative error below 2 ulp. x below -87.3 gives 0; x above 88.4 is clamped, giving about 2.4e38.
/// Range reduction by ln 2 in two parts, then the degree-6 Taylor polynomial on |r| <= ln2/2 (next term 1.3e-7 / 7!).
inline vf vexp(vf x) {
    vf c = vmin(splat(88.37626f), vmax(splat(-87.33654f), x));  // this order keeps NaN
    vf k = c * splat(1.44269504088896341f);
#if defined(__AVX512F__)
    k = (vf)_mm512_roundscale_ps((__m512)k, 0);
#else
    // adding and subtracting 1.5 * 2^23 rounds to nearest
    k = (k + splat(12582912.f)) - splat(12582912.f);
#endif
    vf r = fma(k, splat(-0.693359375f), c);
    r = fma(k, splat(2.12194440e-4f), r);
    vf p = splat(1.f / 5040);
    p = fma(p, r, splat(1.f / 720));
    p = fma(p, r, splat(1.f / 120));
    p = fma(p, r, splat(1.f / 24));
    p = fma(p, r, splat(1.f / 6));
    p = fma(p, r, splat(0.5f));
    p = fma(p, r, splat(1.f));
    p = fma(p, r, splat(1.f));
    vi e = (__builtin_convertvector(k, vi) + 127) << 23;
    vf y = p * (vf)e;
    return select(x < splat(-87.33654f), vf{}, y);
}

/// 2^x for x <= 127; below -127 about 0; keeps NaN. x = k + r exactly with |r| <= 1/2; 2^r interpolates at the
/// Chebyshev nodes with degree 6, relative error 2.6e-9 before rounding.
inline vf exp2v(vf x) {
    x = vmax(splat(-150.f), x);  // this order keeps NaN
#if defined(__AVX512F__)
    const vf k = (vf)_mm512_maskz_roundscale_ps((__mmask16)-1, (__m512)x, 0);
#else
    x = vmax(splat(-127.f), x);
    const vf k = (x + splat(12582912.f)) - splat(12582912.f);  // adding 1.5 * 2^23 rounds to nearest
#endif
    const vf r = x - k;
    vf p = splat(1.54614447e-4f);
    p = fma(p, r, splat(1.34004282e-3f));
    p = fma(p, r, splat(9.61805668e-3f));
    p = fma(p, r, splat(5.55032723e-2f));
    p = fma(p, r, splat(2.40226509e-1f));
    p = fma(p, r, splat(6.93147207e-1f));
    p = fma(p, r, splat(1.f));
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)p, (__m512)k);
#else
    return p * (vf)((__builtin_convertvector(k, vi) + 127) << 23);
#endif
}

/// log(1 + x) for x >= 0 with an error of at most 1.1 ulp; keeps infinity and NaN.
/// 1 + x = 2^k (1 + m) with -1/4 <= m < 1/2, where m comes from x, not from the rounded sum. With s = m / (2 + m),
/// log(1 + m) = 2 artanh(s) = m - s (m - r). The series r = 2/3 s^2 + 2/5 s^4 + ... ends at s^8; the next term is at
/// most 1e-8 of the result.
inline vf vlog1p(vf x) {
    const vi k = ((vi)(x + splat(1.f)) - (vi)splat(0.75f)) & splati(~0x7fffff);  // k 2^23, the exponent's place
    const vf scale = (vf)((vi)splat(4.f) - k);                                   // 4 / 2^k is normal for every k
    const vf m = (vf)((vi)x - k) + fma(splat(0.25f), scale, splat(-1.f));
    const vf s = m / (m + splat(2.f)), q = s * s;
    vf r = splat(2.f / 9);
    r = fma(r, q, splat(2.f / 7));
    r = fma(r, q, splat(2.f / 5));
    r = fma(r, q, splat(2.f / 3));
    r *= q;
    const vf y = fma(__builtin_convertvector(k, vf), splat(0.69314718056f / (1 << 23)), fma(s, r - m, m));
    return select(x < splat(INFINITY), y, x);
}

}  // namespace CG_NS
}  // namespace cg

#define CG_INSTANTIATE(kernel, Args)          \
    template void kernel<float>(const Args&); \
    template void kernel<::cg::bf16>(const Args&);
#define CG_INSTANTIATE_F32(kernel, Args) template void kernel<float>(const Args&);
