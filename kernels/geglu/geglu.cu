// SPDX-License-Identifier: Apache-2.0
// A thread computes the pairs of 16 bytes of y, or one pair where a row's pairs do not fill multiples of 16 bytes.
// Floor: bytes over bandwidth, 3 elements a pair, backward 5. At 4.3 TB/s and 29.7 T lane-instructions/s (H200) that
// leaves 41 instructions a pair in bf16, backward 69. Not measured.
// Versions: only this one.
#include "activations.cuh"
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 128;

template <class T, int V>
__global__ void __launch_bounds__(kThreads) forward(const T* x, T* y, i64 pairs, i64 C) {
    await_inputs();
    const i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    if (i >= pairs) return;
    const T* row = x + i + quotient(i, C) * C;
    float u[V], gate[V];
    load_vec<V>(row, u);
    load_vec<V>(row + C, gate);
#pragma unroll
    for (int k = 0; k < V; k++) u[k] *= activation_value<T, ActivationKind::GELU>(gate[k], 0.f);
    store_vec<V>(y + i, u);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads) backward(const T* x, const T* dY, T* dX, i64 pairs, i64 C) {
    await_inputs();
    const i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    if (i >= pairs) return;
    const i64 at = i + quotient(i, C) * C;
    float u[V], gate[V], d[V];
    load_vec<V>(x + at, u);
    load_vec<V>(x + at + C, gate);
    load_vec<V>(dY + i, d);
#pragma unroll
    for (int k = 0; k < V; k++) {
        u[k] *= d[k] * activation_slope<T, ActivationKind::GELU>(gate[k], 0.f);
        d[k] *= activation_value<T, ActivationKind::GELU>(gate[k], 0.f);
    }
    store_vec<V>(dX + at, d);
    store_vec<V>(dX + at + C, u);
}

dim3 blocks(i64 pairs, int vector) { return grid(ceil_div(pairs, (i64)kThreads * vector)); }

}  // namespace

template <class T>
void geglu(const GegluArgs& g, Stream s) {
    constexpr int V = kVec<T>;
    const i64 pairs = g.rows * g.C;
    const T* x = (const T*)g.x;
    T* y = (T*)g.y;
    if (g.C % V == 0 && aligned16(x, y)) CG_LAUNCH((forward<T, V>), blocks(pairs, V), kThreads, 0, s, x, y, pairs, g.C);
    else CG_LAUNCH((forward<T, 1>), blocks(pairs, 1), kThreads, 0, s, x, y, pairs, g.C);
}

template <class T>
void geglu_grad(const GegluGradArgs& g, Stream s) {
    constexpr int V = kVec<T>;
    const i64 pairs = g.rows * g.C;
    const T *x = (const T*)g.x, *dY = (const T*)g.dY;
    T* dX = (T*)g.dX;
    if (g.C % V == 0 && aligned16(x, dY, dX))
        CG_LAUNCH((backward<T, V>), blocks(pairs, V), kThreads, 0, s, x, dY, dX, pairs, g.C);
    else CG_LAUNCH((backward<T, 1>), blocks(pairs, 1), kThreads, 0, s, x, dY, dX, pairs, g.C);
}

CG_CUDA(geglu, GegluArgs)
CG_CUDA(geglu_grad, GegluGradArgs)

}  // namespace cg::cuda
