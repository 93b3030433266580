// SPDX-License-Identifier: Apache-2.0
// A thread takes one element; grid y runs over the rows. A kernel cannot report a t outside the table: the row becomes
// NaN. Floor: bytes over bandwidth. Versions: only this one, not measured on a card.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

__global__ void __launch_bounds__(256)
    mix(const float* x0, const float* noise, const int* t, const float* table, float* x, float* target, i64 V, i64 T) {
    await_inputs();
    const i64 k = (i64)blockIdx.x * 256 + threadIdx.x, b = blockIdx.y;
    if (k >= V) return;
    const i64 row = t[b], i = b * V + k;
    const bool inside = row >= 0 && row < T;
    const float r = inside ? x0[i] : bits_to_float(0x7fc00000u), n = noise[i];
    const float* c = table + (inside ? 4 * row : 0);
    x[i] = c[0] * r + c[1] * n;
    target[i] = c[2] * r + c[3] * n;
}

}  // namespace

template <class T>
void diffuse(const DiffuseArgs& g, Stream s) {
    CG_LAUNCH((mix), grid(ceil_div(g.V, 256), g.B), 256, 0, s, (const float*)g.x0, (const float*)g.noise,
              (const int*)g.t, (const float*)g.table, (float*)g.x, (float*)g.target, g.V, g.T);
}

CG_CUDA_F32(diffuse, DiffuseArgs)

}  // namespace cg::cuda
