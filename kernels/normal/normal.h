// SPDX-License-Identifier: Apache-2.0
// Standard normal numbers as a pure function of a key and counters: y[b, i] for the rows of counters [B, 2].
//   words = Philox4x32-10(counter (i / 4, stream, counters[b, 0], counters[b, 1]), key)    (Salmon et al. 2011)
//   u = (word + 1/2) / 2^32
//   y[b, 4 k], y[b, 4 k + 1] = r cos, r sin of the angle 2 pi u1, with r = sqrt(-2 ln u0)  (Box and Muller 1958)
//   y[b, 4 k + 2], y[b, 4 k + 3] likewise of u2 and u3
// key int32 [2], the low half of a seed first; counters int32 [B, 2]; y [B, V] in float, V at most 2^34.
//
// The bits are the same on every device and instruction set, so that a run may move between them, and a row's numbers
// depend neither on the other rows nor on V. So the functions below use additions, multiplications, fused
// multiply-adds, divisions and square roots alone, which IEEE 754 rounds correctly everywhere. A compiler may fuse a
// product and a sum that are apart (-ffp-contract=fast): no product here has a sum for its reader unless it is exact or
// the fusion is written out. The reference takes the mathematical functions of libm in double.
//
// About 45 integer and 20 floating-point operations an element; one write. Deterministic.
#pragma once
#include <cmath>
#include <cstring>

#include "cg/abi.h"

#if defined(__CUDACC__)
#define CG_NORMAL __host__ __device__ static inline
#else
#define CG_NORMAL static inline
#endif

namespace cg {
struct NormalArgs {
    const void* key;
    const void* counters;
    void* y;
    i64 B, V, stream;
};

/// One number at a time, for the reference and CUDA; the CPU kernels have the same for a vector.
struct NormalLane {
    using U = uint32_t;
    using F = float;
    CG_NORMAL void multiply(uint32_t m, U x, U& high, U& low) {
        const uint64_t p = (uint64_t)m * x;
        high = (uint32_t)(p >> 32), low = (uint32_t)p;
    }
    CG_NORMAL F splat(float x) { return x; }
    CG_NORMAL F real(U signed_integer) { return (float)(int32_t)signed_integer; }
    CG_NORMAL F fused(F a, F b, F c) { return fmaf(a, b, c); }
    CG_NORMAL F root(F x) { return sqrtf(x); }
    CG_NORMAL F select(bool which, F a, F b) { return which ? a : b; }
    CG_NORMAL U bits(F x) {
        U u;
        memcpy(&u, &x, 4);
        return u;
    }
    CG_NORMAL F of_bits(U u) {
        F x;
        memcpy(&x, &u, 4);
        return x;
    }
};

/// Philox 4x32-10: c becomes the four random words of the counter c.
template <class M>
CG_NORMAL void philox(typename M::U (&c)[4], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        typename M::U high0, low0, high2, low2;
        M::multiply(0xd2511f53u, c[0], high0, low0);
        M::multiply(0xcd9e8d57u, c[2], high2, low2);
        c[0] = high2 ^ c[1] ^ key0;
        c[1] = low2;
        c[2] = high0 ^ c[3] ^ key1;
        c[3] = low0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

/// w + 1/2, rounded once.
template <class M>
CG_NORMAL typename M::F plus_half(typename M::U w) {
    return M::fused(M::real(w >> 16), M::splat(65536.f), M::real(w & 0xffffu) + M::splat(0.5f));
}

/// sqrt(-2 ln u) with u = (w + 1/2) / 2^32, within 2 ulp.
/// w + 1/2 = 2^k (1 + f) with -1/4 <= f < 1/2; where k is 32, f comes from 2^32 - 1 - w, because near u = 1 the rounded
/// w + 1/2 has lost the digits. With s = f / (2 + f), ln(1 + f) = 2 artanh(s) = f - s (f - p), where the series
/// p = 2/3 s^2 + 2/5 s^4 + ... ends at s^8; the next term is at most 1e-8 of the result.
template <class M>
CG_NORMAL typename M::F normal_radius(typename M::U w) {
    using F = typename M::F;
    using U = typename M::U;
    const U x = M::bits(plus_half<M>(w)), k = (x - 0x3f400000u) & 0xff800000u;  // k 2^23, the exponent's place
    const F f = M::select(k == (32u << 23), plus_half<M>(~w) * M::splat(-0x1p-32f), M::of_bits(x - k) - M::splat(1.f));
    const F s = f / (f + M::splat(2.f)), q = s * s;
    F p = M::splat(2.f / 9);
    p = M::fused(p, q, M::splat(2.f / 7));
    p = M::fused(p, q, M::splat(2.f / 5));
    p = M::fused(p, q, M::splat(2.f / 3));
    const F log1p = M::fused(s, M::fused(p, q, -f), f);
    const F log = M::fused(M::real(k - (32u << 23)), M::splat(0.69314718056f / (1 << 23)), log1p);
    return M::root(log * M::splat(-2.f));
}

/// cos and sin of 2 pi (w + 1/2) / 2^32, within 3 ulp. The top three bits of w are the octant of the circle; its rest
/// is the angle from the nearer axis, reflected where the octant is odd, so that nothing is subtracted. The polynomials
/// interpolate (sin a / a - 1) / a^2 and (cos a - 1) / a^2 at Chebyshev nodes, errors 3e-9 and 8e-10 of the result.
template <class M>
CG_NORMAL void normal_direction(typename M::U w, typename M::F& cosine, typename M::F& sine) {
    using F = typename M::F;
    using U = typename M::U;
    const U reflected = (w ^ (0u - ((w >> 29) & 1u))) & 0x1fffffffu;
    const F a = plus_half<M>(reflected) * M::splat(0.785398163397f / (1 << 29)), q = a * a;
    F s = M::splat(2.72501779e-6f), c = M::splat(2.4463945e-5f);
    s = M::fused(s, q, M::splat(-1.984009e-4f));
    c = M::fused(c, q, M::splat(-1.38875912e-3f));
    s = M::fused(s, q, M::splat(8.33333191e-3f));
    c = M::fused(c, q, M::splat(4.16666493e-2f));
    s = M::fused(s, q, M::splat(-0.166666672f));
    c = M::fused(c, q, M::splat(-0.5f));
    s = M::fused(s, a * q, a);
    c = M::fused(c, q, M::splat(1.f));
    const auto swap = ((w + 0x20000000u) & 0x40000000u) != 0u;  // octants 1, 2, 5 and 6 are nearer to the other axis
    cosine = M::of_bits(M::bits(M::select(swap, s, c)) ^ ((w + 0x40000000u) & 0x80000000u));
    sine = M::of_bits(M::bits(M::select(swap, c, s)) ^ (w & 0x80000000u));
}

/// Elements 4 k to 4 k + 3 of the row with the words row0 and row1.
template <class M>
CG_NORMAL void four_normals(typename M::U k, const NormalArgs& g, uint32_t row0, uint32_t row1, uint32_t key0,
                            uint32_t key1, typename M::F (&y)[4]) {
    const typename M::U zero = k ^ k;
    typename M::U c[4] = {k, zero + (uint32_t)g.stream, zero + row0, zero + row1};
    philox<M>(c, key0, key1);
    for (int i = 0; i < 4; i += 2) {
        const typename M::F r = normal_radius<M>(c[i]);
        normal_direction<M>(c[i + 1], y[i], y[i + 1]);
        y[i] = r * y[i];
        y[i + 1] = r * y[i + 1];
    }
}
}  // namespace cg
