// SPDX-License-Identifier: Apache-2.0
// A block computes 32 vertices with 8 threads each, and takes the batch in tiles of 64 rows. A thread holds every
// eighth row of a tile in registers, so pred and target are read from device memory once (3 blocks of 256 threads a
// multiprocessor, 16 loads in flight a thread).
// Two passes over the tile; their sums meet in shared memory in order. The first thread of a vertex merges the tile
// into the moments, which it loads at the start and stores at the end. No atomics.
// Floor: at B 128 and V 39,548 0.06 GFLOP of double and 20 million conversions hide behind 43.7 MB, which is the floor
// on most GPUs.
// A kernel cannot report rows outside the batch: the moments become NaN.
// Versions: tiles of 128 rows take 80 registers with a spill, or 2 blocks; sums of all 8 threads at once, or the
// moments in registers, spill too. This one has 71 to 78 registers.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kColumns = 32, kGroups = 8, kRows = 8, kTile = kGroups * kRows;

/// Sums over the 8 threads of each column; all 8 get the sum.
template <int N>
__device__ inline void column_sums(double (&v)[N], double (*smem)[kGroups][kColumns]) {
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; k++) smem[k][threadIdx.y][threadIdx.x] = v[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = smem[k][0][threadIdx.x];
#pragma unroll 1  // all at once would take 48 registers
    for (int i = 1; i < kGroups; i++)
#pragma unroll
        for (int k = 0; k < N; k++) v[k] += smem[k][i][threadIdx.x];
}

template <class T>
__global__ void __launch_bounds__(kColumns* kGroups, 3)
    add_moments(const T* pred, const float* target, const int* rows, double* state, int B, int V) {
    await_inputs();
    __shared__ double smem[3][kGroups][kColumns], s[5][kColumns];  // s in registers would spill others
    const int x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int c = (int)blockIdx.x * kColumns + x;
    const int before = rows[0], n = rows[1];
    const bool in = c < V, owner = in && y == 0, ok = before >= 0 && n >= 0 && n <= B;
    double count = before;
    if (owner)
        for (int k = 0; k < 5; k++) s[k][x] = before > 0 ? state[(i64)k * V + c] : 0;
    for (int first = 0; ok && first < n; first += kTile) {
        const int left = n - first < kTile ? n - first : kTile, mine = in ? left : 0;
        const T* p = pred + (i64)first * V + c;
        const float* t = target + (i64)first * V + c;
        float a[kRows], b[kRows];
#pragma unroll
        for (int i = 0; i < kRows; i++) {
            const int row = y + kGroups * i;
            if (row < mine) a[i] = to_float(p[row * V]), b[i] = t[row * V];
        }
        const double p0 = in ? to_float(p[0]) : 0, t0 = in ? t[0] : 0;
        double m[2] = {0, 0}, q[3] = {0, 0, 0};
#pragma unroll
        for (int i = 0; i < kRows; i++)
            if (y + kGroups * i < mine) {
                m[0] += a[i] - p0;
                m[1] += b[i] - t0;
            }
        column_sums(m, smem);
        const double part = 1.0 / left;
        m[0] *= part;
        m[1] *= part;
#pragma unroll
        for (int i = 0; i < kRows; i++)
            if (y + kGroups * i < mine) {
                const double u = (a[i] - p0) - m[0], w = (b[i] - t0) - m[1];
                q[0] += u * u;
                q[1] += w * w;
                q[2] += u * w;
            }
        column_sums(q, smem);
        if (owner) {
            const double share = left / (count + left), weight = count * share, d = p0 + m[0] - s[0][x],
                         e = t0 + m[1] - s[1][x];
            s[0][x] += d * share;
            s[1][x] += e * share;
            s[2][x] += q[0] + d * d * weight;
            s[3][x] += q[1] + e * e * weight;
            s[4][x] += q[2] + d * e * weight;
            count += left;
        }
    }
    if (owner)
        for (int k = 0; k < 5; k++) state[(i64)k * V + c] = ok ? s[k][x] : (double)bits_to_float(0x7fc00000u);
}

}  // namespace

template <class T>
void pearson_moments(const PearsonMomentsArgs& g, Stream st) {
    CG_CHECK(g.B < 1 << 30 && g.V < (1ll << 31) / kTile,
             "B must be below 2^30 and V below 2^25: offsets within a tile have 32 bits");
    CG_LAUNCH((add_moments<T>), grid(ceil_div(g.V, kColumns)), dim3(kColumns, kGroups), 0, st, (const T*)g.pred,
              (const float*)g.target, (const int*)g.rows, (double*)g.state, (int)g.B, (int)g.V);
}

CG_CUDA(pearson_moments, PearsonMomentsArgs)

}  // namespace cg::cuda
