// SPDX-License-Identifier: Apache-2.0
// Forward: grid x runs over the members of the groups (256 threads a block, one group each), y over the rows. Writes
// are contiguous; reads are as close as the members are.
// Backward: grid over columns and rows; a thread sums its column's places in order.
// Floor: bytes over bandwidth. Versions: only this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256, kGroups = 512;

template <class T>
__global__ void __launch_bounds__(kThreads) pick(const Rows<GatherGroup, kGroups> __grid_constant__ groups, const T* x,
                                                 const int* index, T* flat, i64 R, i64 V) {
    int part;
    const GatherGroup& p = groups.row[groups.find((int)blockIdx.x, part)];
    const i64 i = (i64)part * kThreads + threadIdx.x;
    if (i >= p.n) return;
    const i64 v = index[p.off + i];
    for (i64 r = blockIdx.y; r < R; r += gridDim.y) flat[R * p.off + r * p.n + i] = x[r * V + v];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_up(const T* d, const int* first, const int* place, T* dX, i64 R, i64 V) {
    const i64 v = (i64)blockIdx.x * kThreads + threadIdx.x;
    if (v >= V) return;
    const int b = first[v], e = first[v + 1];
    for (i64 r = blockIdx.y; r < R; r += gridDim.y) {
        float s = 0;
        for (int j = b; j < e; j++) s += to_float(d[place[2 * j] + r * place[2 * j + 1]]);
        dX[r * V + v] = from_float<T>(s);
    }
}

/// Blocks along the rows. Each takes several rows, so that the tables are read less often.
i64 row_blocks(i64 R) { return R < 16 ? R : 16; }

}  // namespace

template <class T>
void gather_groups(const GatherGroupsArgs& a, Stream s) {
    for_rows<kGroups>(
        a.rows, a.n, [](const GatherGroup& p) { return ceil_div(p.n, kThreads); },
        [&](const Rows<GatherGroup, kGroups>& groups, i64 blocks, i64) {
            CG_LAUNCH((pick<T>), grid(blocks, row_blocks(a.R)), kThreads, 0, s, groups, (const T*)a.x,
                      (const int*)a.index, (T*)a.flat, a.R, a.V);
        });
}

template <class T>
void gather_groups_grad(const GatherGroupsGradArgs& a, Stream s) {
    CG_LAUNCH((add_up<T>), grid(ceil_div(a.V, kThreads), row_blocks(a.R)), kThreads, 0, s, (const T*)a.dFlat,
              (const int*)a.first, (const int*)a.place, (T*)a.dX, a.R, a.V);
}

CG_CUDA(gather_groups, GatherGroupsArgs)
CG_CUDA(gather_groups_grad, GatherGroupsGradArgs)

}  // namespace cg::cuda
