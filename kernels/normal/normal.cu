// SPDX-License-Identifier: Apache-2.0
// A thread computes the four elements of a counter. Floor: about 70 instructions an element, which take more time than
// the 4 bytes that it writes. Versions: only this one, not measured on a card.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) draw(const NormalArgs g) {
    await_inputs();
    const i64 k = (i64)blockIdx.x * kThreads + threadIdx.x, b = blockIdx.y;
    if (4 * k >= g.V) return;
    const uint32_t *key = (const uint32_t*)g.key, *row = (const uint32_t*)g.counters + 2 * b;
    float n[4];
    four_normals<NormalLane>((uint32_t)k, g, row[0], row[1], key[0], key[1], n);
    float* y = (float*)g.y + b * g.V + 4 * k;
    if (g.V % 4 == 0) store_vec(y, n);
    else
        for (int j = 0; j < 4; j++)
            if (4 * k + j < g.V) y[j] = n[j];
}

}  // namespace

template <class T>
void normal(const NormalArgs& g, Stream s) {
    CG_CHECK(aligned16(g.y), "tensor addresses must be multiples of 16 bytes");
    CG_LAUNCH((draw), grid(ceil_div(g.V, 4 * kThreads), g.B), kThreads, 0, s, g);
}

CG_CUDA_F32(normal, NormalArgs)

}  // namespace cg::cuda
