// SPDX-License-Identifier: Apache-2.0
// Where a head lies in the tensors of attention, for the CUDA kernels.
#pragma once
#include "attention/attention.h"
#include "device.cuh"
namespace cg::cuda {
/// Offsets of a head's first elements: in q and dQ; in k, v, dK and dV; in y and dY; in lse and D_i.
struct Head {
    i64 q, kv, y, row;
};
/// The head of that number, of the B H of a batch. A grid has fewer than 2^31 blocks, so 32 bits do for the division.
template <class Args>
__device__ inline Head head_of(const Args& g, int head) {
    const i64 b = (unsigned)head / (unsigned)g.H, h = (unsigned)head % (unsigned)g.H;
    return {b * g.Tq * g.q_stride + h * g.D, b * g.Tk * g.kv_stride + h * g.D, (b * g.Tq * g.H + h) * g.D, head * g.Tq};
}
}  // namespace cg::cuda
