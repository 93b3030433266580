// SPDX-License-Identifier: Apache-2.0
// The activation functions of the CUDA kernels, with one instruction for each exponential and quotient in bf16.
#pragma once

#include "activation/activation.h"
#include "approximate.cuh"

namespace cg::cuda {

/// The upper tail of the normal distribution at |x|, Q = ratio e: e = exp(-x^2 / 2) and u = |x| sqrt(log2(e) / 2).
struct Tail {
    float u, ratio, e;
};

/// The ratio is t times a polynomial in t = 1 / (1 + p u), with the least relative error for |x| < 13.25; beyond, e is
/// 0 (tools/fit_gelu.py). Q has a relative error of up to 2^-16, most of it from the rounding of the exponent.
__device__ inline Tail tail(float x) {
    constexpr float C[] = {0.12255156f, 0.117750704f, 0.13859378f, 0.0014835761f, 0.19586013f, -0.07623976f};
    const float u = fabsf(x) * 0.8493218f, t = reciprocal_fast(fmaf(u, 0.36083576f, 1.f));
    float p = C[5];
#pragma unroll
    for (int i = 4; i >= 0; i--) p = fmaf(p, t, C[i]);
    return {u, p * t, exp2_fast(-u * u)};
}

/// Whether the tail gives GELU: its error vanishes in the rounding to bf16 (ActivationTest), but not in that to float.
template <class T>
constexpr bool kByTail = std::is_same_v<T, bf16>;

/// 1 / (1 + exp(-x)).
template <class T>
__device__ inline float sigmoid(float x) {
    if (std::is_same_v<T, bf16>) return reciprocal_fast(1.f + exp2_fast(-x * kLog2e));
    return 1.f / (1.f + expf(-x));
}

/// f(x), to the precision of T; for the functions see kernels/activation/activation.h.
template <class T, ActivationKind KIND>
__device__ inline float activation_value(float x, float alpha) {
    if (KIND == ActivationKind::GELU && kByTail<T>) {
        const Tail n = tail(x);
        const float q = n.ratio * n.e;
        return x * (x < 0 ? q : 1.f - q);
    }
    if (KIND == ActivationKind::GELU) return 0.5f * x * erfcf(-x * 0.70710678f);
    if (KIND == ActivationKind::LEAKY_RELU) return x > 0 ? x : alpha * x;
    if (KIND == ActivationKind::SWISH) return x * sigmoid<T>(alpha * x);
    return tanhf(x);
}

/// f'(x).
template <class T, ActivationKind KIND>
__device__ inline float activation_slope(float x, float alpha) {
    if (KIND == ActivationKind::GELU && kByTail<T>) {
        // Q(|x|) - |x| phi(x) is the slope at -|x|.
        const Tail n = tail(x);
        const float below = fmaf(-n.u, 0.46971864f, n.ratio) * n.e;
        return x < 0 ? below : 1.f - below;
    }
    if (KIND == ActivationKind::GELU) return 0.5f * erfcf(-x * 0.70710678f) + x * expf(-0.5f * x * x) * 0.39894228f;
    if (KIND == ActivationKind::LEAKY_RELU) return x > 0 ? 1.f : alpha;
    if (KIND == ActivationKind::SWISH) {
        const float s = sigmoid<T>(alpha * x);
        return fmaf(alpha * x * s, 1.f - s, s);
    }
    const float t = tanhf(x);
    return 1.f - t * t;
}

}  // namespace cg::cuda
