// SPDX-License-Identifier: Apache-2.0
// Forward: grid x runs over the members of the groups (256 threads a block, one group each), y over the rows. Writes
// are contiguous; reads are as close as the members are.
// Backward: grid over columns and rows; a thread sums its column's places in order.
// A thread works on 8 rows at once: with one load of 2 bytes a thread, a multiprocessor has 4 KB in flight, of 23 KB
// that 4.3 TB/s need.
// Floor: bytes over bandwidth. Versions, predicted of the floor for 25 groups, not measured: 1 one row after another,
// 0.2-0.4; 2 eight rows at once, 0.7-0.8.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

/// Rows that a thread works on at once.
constexpr int kRows = 8;
constexpr int kThreads = 256, kGroups = 512;

template <class T>
__global__ void __launch_bounds__(kThreads) pick(const Rows<GatherGroup, kGroups> __grid_constant__ groups, const T* x,
                                                 const int* index, T* flat, i64 R, i64 V) {
    await_inputs();
    int part;
    const GatherGroup& p = groups.row[groups.find((int)blockIdx.x, part)];
    const i64 i = (i64)part * kThreads + threadIdx.x;
    if (i >= p.n) return;
    const i64 v = index[p.off + i], first = (i64)blockIdx.y * kRows;
    T t[kRows];
#pragma unroll
    for (int k = 0; k < kRows; k++)
        if (first + k < R) t[k] = x[(first + k) * V + v];
#pragma unroll
    for (int k = 0; k < kRows; k++)
        if (first + k < R) flat[R * p.off + (first + k) * p.n + i] = t[k];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_up(const T* d, const int* first, const int* place, T* dX, i64 R, i64 V) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kThreads + threadIdx.x;
    if (v >= V) return;
    const i64 row = (i64)blockIdx.y * kRows;
    float s[kRows] = {};
    for (int j = first[v]; j < first[v + 1]; j++) {
        const int at = place[2 * j], step = place[2 * j + 1];
#pragma unroll
        for (int k = 0; k < kRows; k++)
            if (row + k < R) s[k] += to_float(d[at + (row + k) * step]);
    }
#pragma unroll
    for (int k = 0; k < kRows; k++)
        if (row + k < R) dX[(row + k) * V + v] = from_float<T>(s[k]);
}

}  // namespace

template <class T>
void gather_groups(const GatherGroupsArgs& a, Stream s) {
    for_rows<kGroups>(
        a.rows, a.n, [](const GatherGroup& p) { return ceil_div(p.n, kThreads); },
        [&](const Rows<GatherGroup, kGroups>& groups, i64 blocks, i64) {
            CG_LAUNCH((pick<T>), grid(blocks, ceil_div(a.R, kRows)), kThreads, 0, s, groups, (const T*)a.x,
                      (const int*)a.index, (T*)a.flat, a.R, a.V);
        });
}

template <class T>
void gather_groups_grad(const GatherGroupsGradArgs& a, Stream s) {
    CG_LAUNCH((add_up<T>), grid(ceil_div(a.V, kThreads), ceil_div(a.R, kRows)), kThreads, 0, s, (const T*)a.dFlat,
              (const int*)a.first, (const int*)a.place, (T*)a.dX, a.R, a.V);
}

CG_CUDA(gather_groups, GatherGroupsArgs)
CG_CUDA(gather_groups_grad, GatherGroupsGradArgs)

}  // namespace cg::cuda
