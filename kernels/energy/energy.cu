// SPDX-License-Identifier: Apache-2.0
// A thread computes the pairs of 16 bytes of y, or one pair where a row's pairs do not fill multiples of 16 bytes.
// Small beside the step, so that roots, quotients and logarithms are the exact ones in bf16 too.
// Floor: bytes over bandwidth. At 4.3 TB/s and 29.7 T lane-instructions/s (H200) that leaves 41 instructions a pair in
// bf16 and 83 in f32, backward 69 and 138. By SASS of sm_90a, with both sides of the branch on sigma, there are 77 and
// 80, backward 80 and 70. Not measured.
// Versions: 1, divided by the mean of a row, a row a thread; 2, this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 128;

struct Shape {
    i64 pairs, C;
    float sigma, inverse, eps;  // inverse: 1 / sigma, or 0 if sigma is 0
};

__device__ inline float energy_of(float a, float b, float eps) { return sqrtf(fmaf(a, a, fmaf(b, b, eps))); }

template <class T, int V>
__global__ void __launch_bounds__(kThreads) forward(const T* x, T* y, Shape g) {
    await_inputs();
    const i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    if (i >= g.pairs) return;
    const T* even = x + i + quotient(i, g.C) * g.C;
    float a[V], b[V];
    load_vec<V>(even, a);
    load_vec<V>(even + g.C, b);
#pragma unroll
    for (int k = 0; k < V; k++) {
        const float e = energy_of(a[k], b[k], g.eps);
        a[k] = g.sigma > 0 ? log1pf(e * g.inverse) : e;
    }
    store_vec<V>(y + i, a);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads) backward(const T* x, const T* dY, T* dX, Shape g) {
    await_inputs();
    const i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    if (i >= g.pairs) return;
    const i64 even = i + quotient(i, g.C) * g.C;
    float a[V], b[V], d[V];
    load_vec<V>(x + even, a);
    load_vec<V>(x + even + g.C, b);
    load_vec<V>(dY + i, d);
#pragma unroll
    for (int k = 0; k < V; k++) {
        const float e = energy_of(a[k], b[k], g.eps);
        d[k] /= g.sigma > 0 ? e * (g.sigma + e) : e;
        a[k] *= d[k];
        b[k] *= d[k];
    }
    store_vec<V>(dX + even, a);
    store_vec<V>(dX + even + g.C, b);
}

template <class G>
Shape shape(const G& g) {
    return Shape{g.rows * g.C, g.C, (float)g.sigma, g.sigma > 0 ? (float)(1 / g.sigma) : 0.f, (float)g.eps};
}

dim3 blocks(const Shape& g, int vector) { return grid(ceil_div(g.pairs, (i64)kThreads * vector)); }

}  // namespace

template <class T>
void energy(const EnergyArgs& a, Stream s) {
    constexpr int V = kVec<T>;
    const Shape g = shape(a);
    const T* x = (const T*)a.x;
    T* y = (T*)a.y;
    if (g.C % V == 0 && aligned16(x, y)) CG_LAUNCH((forward<T, V>), blocks(g, V), kThreads, 0, s, x, y, g);
    else CG_LAUNCH((forward<T, 1>), blocks(g, 1), kThreads, 0, s, x, y, g);
}

template <class T>
void energy_grad(const EnergyGradArgs& a, Stream s) {
    constexpr int V = kVec<T>;
    const Shape g = shape(a);
    const T *x = (const T*)a.x, *dY = (const T*)a.dY;
    T* dX = (T*)a.dX;
    if (g.C % V == 0 && aligned16(x, dY, dX)) CG_LAUNCH((backward<T, V>), blocks(g, V), kThreads, 0, s, x, dY, dX, g);
    else CG_LAUNCH((backward<T, 1>), blocks(g, 1), kThreads, 0, s, x, dY, dX, g);
}

CG_CUDA(energy, EnergyArgs)
CG_CUDA(energy_grad, EnergyGradArgs)

}  // namespace cg::cuda
