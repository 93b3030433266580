// SPDX-License-Identifier: Apache-2.0
// A thread takes 8 elements: 16 bytes of the narrower type. Deterministic: elementwise. Versions: only this one.
// Floor: bytes over bandwidth.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

template <class T, class U>
__global__ void __launch_bounds__(kThreads) convert(const T* x, U* y, i64 n) {
    await_inputs();
    const i64 at = ((i64)blockIdx.x * kThreads + threadIdx.x) * 8;
    if (at + 8 <= n) {
        float v[8];
#pragma unroll
        for (int i = 0; i < 8; i += kVec<T>) load_vec(x + at + i, v + i);
#pragma unroll
        for (int i = 0; i < 8; i += kVec<U>) store_vec(y + at + i, v + i);
    } else {
        for (i64 i = at; i < n; i++) y[i] = from_float<U>(to_float(x[i]));
    }
}

}  // namespace

template <class T>
void cast(const CastArgs& g, Stream s) {
    const dim3 blocks = grid(ceil_div(g.n, (i64)kThreads * 8));
    if (g.type_y == Variant::BF16)
        CG_LAUNCH((convert<T, bf16>), blocks, kThreads, 0, s, (const T*)g.x, (bf16*)g.y, g.n);
    else CG_LAUNCH((convert<T, float>), blocks, kThreads, 0, s, (const T*)g.x, (float*)g.y, g.n);
}

CG_CUDA(cast, CastArgs)

}  // namespace cg::cuda
