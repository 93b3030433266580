// SPDX-License-Identifier: Apache-2.0
// A thread takes 16 bytes.
// Floor: bytes over bandwidth (one read, one write; backward two reads). GELU with the exact erf costs about 30
// instructions an element, which in bf16 hides behind the memory traffic on GPUs with 60 TFLOP/s.
// Deterministic: elementwise. Versions: only this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

template <ActivationKind KIND>
__device__ inline float value(float x, float alpha) {
    if (KIND == ActivationKind::GELU) return 0.5f * x * erfcf(-x * 0.70710678f);
    if (KIND == ActivationKind::LEAKY_RELU) return x > 0 ? x : alpha * x;
    return tanhf(x);
}

template <ActivationKind KIND>
__device__ inline float slope(float x, float alpha) {
    if (KIND == ActivationKind::GELU) return 0.5f * erfcf(-x * 0.70710678f) + x * expf(-0.5f * x * x) * 0.39894228f;
    if (KIND == ActivationKind::LEAKY_RELU) return x > 0 ? 1.f : alpha;
    const float t = tanhf(x);
    return 1.f - t * t;
}

/// y = f(x), or y = dY f'(x) where dY is given.
template <class T, ActivationKind KIND, bool GRAD>
__global__ void __launch_bounds__(kThreads) activate(const T* x, const T* dY, T* y, i64 n, float alpha) {
    constexpr int V = kVec<T>;
    const i64 at = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    auto f = [&](float a, float d) { return GRAD ? d * slope<KIND>(a, alpha) : value<KIND>(a, alpha); };
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
