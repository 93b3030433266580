// SPDX-License-Identifier: Apache-2.0
// A thread takes 16 bytes. Floor: bytes over bandwidth. Versions: only this one, not measured on a card.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) mix(float* x, const float* y, const float* c, i64 n) {
    await_inputs();
    const i64 at = ((i64)blockIdx.x * kThreads + threadIdx.x) * 4;
    const float keep = c[0], add = c[1];
    if (at + 4 <= n) {
        float a[4] = {}, b[4];
        if (keep != 0.f) load_vec(x + at, a);
        load_vec(y + at, b);
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] = keep * a[i] + add * b[i];
        store_vec(x + at, a);
    } else {
        for (i64 i = at; i < n; i++) x[i] = keep * (keep != 0.f ? x[i] : 0.f) + add * y[i];
    }
}

}  // namespace

template <class T>
void blend(const BlendArgs& g, Stream s) {
    CG_CHECK(aligned16(g.x, g.y), "tensor addresses must be multiples of 16 bytes");
    CG_LAUNCH((mix), grid(ceil_div(g.n, 4 * kThreads)), kThreads, 0, s, (float*)g.x, (const float*)g.y,
              (const float*)g.c, g.n);
}

CG_CUDA_F32(blend, BlendArgs)

}  // namespace cg::cuda
