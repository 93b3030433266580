// SPDX-License-Identifier: Apache-2.0
// Forward: a block computes 32 channels of one b. 8 threads a channel walk over n in steps of 8; their sums are added
// in order. Backward: a thread an element. Small beside the step.
// Versions: b along y of the grid, at most 65,535; this one, all along x.
// Floor: bytes over bandwidth.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(256) mean(const T* x, T* y, i64 N, i64 C) {
    await_inputs();
    __shared__ float part[8][32];
    const i64 tiles = (C + 31) / 32, b = quotient(blockIdx.x, tiles),
              c = remainder(blockIdx.x, tiles) * 32 + threadIdx.x;
    float s = 0;
    if (c < C)
        for (i64 n = threadIdx.y; n < N; n += 8) s += to_float(x[(b * N + n) * C + c]);
    part[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.y == 0 && c < C) {
        for (int i = 1; i < 8; i++) s += part[i][threadIdx.x];
        y[b * C + c] = from_float<T>(s / (float)N);
    }
}

template <class T>
__global__ void __launch_bounds__(256) spread(const T* dY, T* dX, i64 B, i64 N, i64 C) {
    await_inputs();
    const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i < B * N * C) dX[i] = from_float<T>(to_float(dY[quotient(i, N * C) * C + remainder(i, C)]) / (float)N);
}

}  // namespace

template <class T>
void mean_middle(const MeanMiddleArgs& g, Stream s) {
    CG_LAUNCH((mean<T>), grid(g.B * ceil_div(g.C, 32)), dim3(32, 8), 0, s, (const T*)g.x, (T*)g.y, g.N, g.C);
}

template <class T>
void mean_middle_grad(const MeanMiddleGradArgs& g, Stream s) {
    CG_LAUNCH((spread<T>), grid(ceil_div(g.B * g.N * g.C, 256)), 256, 0, s, (const T*)g.dY, (T*)g.dX, g.B, g.N, g.C);
}

CG_CUDA(mean_middle, MeanMiddleArgs)
CG_CUDA(mean_middle_grad, MeanMiddleGradArgs)

}  // namespace cg::cuda
