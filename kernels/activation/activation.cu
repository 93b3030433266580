// SPDX-License-Identifier: Apache-2.0
// A thread takes 16 bytes.
// Floor: bytes over bandwidth (one read, one write; backward two reads). At 4.3 TB/s and 29.7 T lane-instructions/s
// (H200) that leaves 27 instructions an element in bf16, 41 backward; more of them would set the time.
// Deterministic: elementwise.
// GELU of 77.5 M elements in bf16 there: floor 72 us, backward 108; predicted for version 2, not measured: 85, 125.
// Versions, GELU in bf16, instructions an element by SASS of sm_90a (tools/sass), forward / backward:
//   1. erfcf, expf: 54.0 / 66.8. f32 keeps them: its elements are twice the bytes.
//   2. the tail of the normal distribution by ex2.approx and rcp.approx: 20.1 / 23.4
// Swish: one version, in bf16 by ex2.approx and rcp.approx, in f32 by expf and a division; not measured.
#include "approximate.cuh"
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

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

template <class T, ActivationKind KIND>
__device__ inline float value(float x, float alpha) {
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

template <class T, ActivationKind KIND>
__device__ inline float slope(float x, float alpha) {
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

/// y = f(x), or y = dY f'(x) where dY is given.
template <class T, ActivationKind KIND, bool GRAD>
__global__ void __launch_bounds__(kThreads) activate(const T* x, const T* dY, T* y, i64 n, float alpha) {
    await_inputs();
    constexpr int V = kVec<T>;
    const i64 at = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    auto f = [&](float a, float d) { return GRAD ? d * slope<T, KIND>(a, alpha) : value<T, KIND>(a, alpha); };
    if (at + V <= n) {
        float a[V], d[V];
        load_vec(x + at, a);
        if (GRAD) load_vec(dY + at, d);
#pragma unroll
        for (int i = 0; i < V; i++) a[i] = f(a[i], d[i]);
        store_vec(y + at, a);
    } else {
        for (i64 i = at; i < n; i++) y[i] = from_float<T>(f(to_float(x[i]), GRAD ? to_float(dY[i]) : 0.f));
    }
}

template <class T, bool GRAD>
void run(const void* x, const void* dY, void* y, i64 n, ActivationKind kind, double alpha, Stream s) {
    CG_CHECK(aligned16(x) && aligned16(dY) && aligned16(y), "tensor addresses must be multiples of 16 bytes");
    const dim3 blocks = grid(ceil_div(n, (i64)kThreads * kVec<T>));
    const T *a = (const T*)x, *d = (const T*)dY;
    switch (kind) {
        case ActivationKind::GELU:
            CG_LAUNCH((activate<T, ActivationKind::GELU, GRAD>), blocks, kThreads, 0, s, a, d, (T*)y, n, (float)alpha);
            break;
        case ActivationKind::LEAKY_RELU:
            CG_LAUNCH((activate<T, ActivationKind::LEAKY_RELU, GRAD>), blocks, kThreads, 0, s, a, d, (T*)y, n,
                      (float)alpha);
            break;
        case ActivationKind::TANH:
            CG_LAUNCH((activate<T, ActivationKind::TANH, GRAD>), blocks, kThreads, 0, s, a, d, (T*)y, n, (float)alpha);
            break;
        case ActivationKind::SWISH:
            CG_LAUNCH((activate<T, ActivationKind::SWISH, GRAD>), blocks, kThreads, 0, s, a, d, (T*)y, n, (float)alpha);
            break;
        default: CG_CHECK(false, "unknown activation");
    }
}

}  // namespace

template <class T>
void activation(const ActivationArgs& g, Stream s) {
    run<T, false>(g.x, nullptr, g.y, g.n, g.kind, g.alpha, s);
}

template <class T>
void activation_grad(const ActivationGradArgs& g, Stream s) {
    run<T, true>(g.x, g.dY, g.dX, g.n, g.kind, g.alpha, s);
}

CG_CUDA(activation, ActivationArgs)
CG_CUDA(activation_grad, ActivationGradArgs)

}  // namespace cg::cuda
