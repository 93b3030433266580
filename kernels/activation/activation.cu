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
#include "activations.cuh"
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

/// y = f(x), or y = dY f'(x) where dY is given.
template <class T, ActivationKind KIND, bool GRAD>
__global__ void __launch_bounds__(kThreads) activate(const T* x, const T* dY, T* y, i64 n, float alpha) {
    await_inputs();
    constexpr int V = kVec<T>;
    const i64 at = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    auto f = [&](float a, float d) {
        return GRAD ? d * activation_slope<T, KIND>(a, alpha) : activation_value<T, KIND>(a, alpha);
    };
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
