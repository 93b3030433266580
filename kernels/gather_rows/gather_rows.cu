// SPDX-License-Identifier: Apache-2.0
// A thread copies 16, 4 or 1 bytes of a row, the widest that divides it. Grid y runs over the rows; a block copies a
// part of one.
// A kernel cannot report a row outside the table: it fills the output with 0xFF (NaN as float). Callers check indices
// on the host. Versions: only this one.
// Floor: bytes over bandwidth.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

__device__ inline int4 all_ones(int4) { return int4{-1, -1, -1, -1}; }
__device__ inline int all_ones(int) { return -1; }
__device__ inline uint8_t all_ones(uint8_t) { return 0xFF; }

template <class W>
__global__ void __launch_bounds__(256) pick(const W* table, const int* index, W* y, i64 N, i64 row) {
    await_inputs();
    const i64 k = (i64)blockIdx.x * 256 + threadIdx.x;
    if (k >= row) return;
    const i64 i = index[blockIdx.y];
    y[(i64)blockIdx.y * row + k] = i >= 0 && i < N ? table[i * row + k] : all_ones(W());
}

template <class W>
void run(const GatherRowsArgs& g, i64 bytes, Stream s) {
    const i64 row = bytes / (i64)sizeof(W);
    CG_LAUNCH((pick<W>), grid(ceil_div(row, 256), g.B), 256, 0, s, (const W*)g.table, (const int*)g.index, (W*)g.y, g.N,
              row);
}

}  // namespace

template <class T>
void gather_rows(const GatherRowsArgs& g, Stream s) {
    const i64 bytes = g.C * (g.bytes ? g.bytes : (i64)sizeof(T));
    if (bytes % 16 == 0 && aligned16(g.table) && aligned16(g.y)) run<int4>(g, bytes, s);
    else if (bytes % 4 == 0) run<int>(g, bytes, s);
    else run<uint8_t>(g, bytes, s);
}

CG_CUDA(gather_rows, GatherRowsArgs)

}  // namespace cg::cuda
