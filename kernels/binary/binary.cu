// SPDX-License-Identifier: Apache-2.0
// A thread takes 16 bytes of a. It reads b as vectors where b's period allows, as one number where b has one element,
// else element by element; b is then small and stays in cache.
// Deterministic: elementwise. Versions: only this one.
// Floor: bytes over bandwidth.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

__device__ inline float combine(float x, float z, BinaryOp op, float alpha, float beta) {
    return op == BinaryOp::ADD ? x + z : op == BinaryOp::MUL ? x * z : alpha * x + beta * z;
}

/// HOW: 0 b has one element; 1 b's period is a multiple of the vector; 2 any period.
template <class T, class U, int HOW>
__global__ void __launch_bounds__(kThreads)
    combine_all(const T* a, const U* b, T* y, i64 n, i64 m, BinaryOp op, float alpha, float beta) {
    await_inputs();
    constexpr int V = kVec<T>;
    const i64 at = ((i64)blockIdx.x * kThreads + threadIdx.x) * V;
    if (at + V <= n) {
        float x[V], z[V];
        load_vec(a + at, x);
        if (HOW == 0) {
            const float one = to_float(b[0]);
#pragma unroll
            for (int i = 0; i < V; i++) z[i] = one;
        } else if (HOW == 1) {
#pragma unroll
            for (int i = 0; i < V; i += kVec<U>) load_vec(b + remainder(at, m) + i, z + i);
        } else {
            i64 k = remainder(at, m);
            for (int i = 0; i < V; i++) {
                z[i] = to_float(b[k]);
                if (++k == m) k = 0;
            }
        }
#pragma unroll
        for (int i = 0; i < V; i++) x[i] = combine(x[i], z[i], op, alpha, beta);
        store_vec(y + at, x);
    } else {
        for (i64 i = at; i < n; i++)
            y[i] = from_float<T>(combine(to_float(a[i]), to_float(b[remainder(i, m)]), op, alpha, beta));
    }
}

template <class T, class U>
void run(const BinaryArgs& g, Stream s) {
    const T* a = (const T*)g.a;
    const U* b = (const U*)g.b;
    const dim3 blocks = grid(ceil_div(g.n, (i64)kThreads * kVec<T>));
    const float al = (float)g.alpha, be = (float)g.beta;
    // One vector of a needs one or two vectors of b.
    if (g.m == 1) CG_LAUNCH((combine_all<T, U, 0>), blocks, kThreads, 0, s, a, b, (T*)g.y, g.n, g.m, g.op, al, be);
    else if (kVec<T> >= kVec<U> && g.m % kVec<T> == 0)
        CG_LAUNCH((combine_all<T, U, 1>), blocks, kThreads, 0, s, a, b, (T*)g.y, g.n, g.m, g.op, al, be);
    else CG_LAUNCH((combine_all<T, U, 2>), blocks, kThreads, 0, s, a, b, (T*)g.y, g.n, g.m, g.op, al, be);
}

}  // namespace

template <class T>
void binary(const BinaryArgs& g, Stream s) {
    CG_CHECK(g.op >= BinaryOp::ADD && g.op <= BinaryOp::AXPBY, "unknown operation");
    CG_CHECK(aligned16(g.a) && aligned16(g.b) && aligned16(g.y), "tensor addresses must be multiples of 16 bytes");
    CG_CHECK(g.type_b == Variant::F32 || sizeof(T) == 2, "b must be f32 or have the type of a");
    if (g.type_b == Variant::F32) run<T, float>(g, s);
    else run<T, T>(g, s);
}

CG_CUDA(binary, BinaryArgs)

}  // namespace cg::cuda
