// SPDX-License-Identifier: Apache-2.0
// Two kernels. In the first, blocks up to 32 threads wide sum parts of the rows of one x to scratch; a thread has the
// columns of 16 bytes (one column where rows do not begin at multiples of 16 bytes), and reads four rows before it adds
// them. The second sums the parts, 32 at a time, in a fixed order. The parts depend on the shape alone, so the sum is
// the same every time.
// Floor: bytes over bandwidth; 155 MB of a ViT-B layer in bf16 36 us at 4.3 TB/s. A multiprocessor must keep about
// 23 KB in flight for that (4.3 TB/s x 700 ns / 132).
// Versions: 1, a column a thread, one load in flight: 4 KB a multiprocessor in bf16; 2, this one: 128 KB. Prediction
// for ViT-B, not measured: 45 us.
#include <algorithm>
#include <vector>

#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256, kRows = 256;

struct Sum {
    const void* x;
    float* y;
    float* part;  // [parts][C]
    i64 R, C, parts;
    int vector;  // columns of a thread
    int width;   // threads of a block along the columns
    float scale;

    i64 blocks() const { return ceil_div(C, (i64)width * vector) * parts; }
};

/// Columns of a thread.
template <class T>
int vector_of(const SumLeadingRow& g) {
    return g.C % kVec<T> == 0 && aligned16(g.x) ? kVec<T> : 1;
}
int width_of(i64 threads) {
    int w = 1;
    while (w < 32 && w < threads) w *= 2;
    return w;
}
i64 parts_of(const SumLeadingRow& g, int vector) {
    const i64 w = width_of(g.C / vector), p = ceil_div(4 * kBlocks, ceil_div(g.C, w * vector)),
              most = ceil_div(g.R, kThreads / w * 8);
    return p < most ? p : most;
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads) sum_parts(const Rows<Sum, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ float smem[V][kThreads];
    int block;
    const Sum& g = rows.row[rows.find((int)blockIdx.x, block)];
    const int w = g.width, h = kThreads / w, t = (int)threadIdx.x, y = t / w;
    const i64 p = block % g.parts, c = (block / g.parts * w + t % w) * V, e = g.R * (p + 1) / g.parts;
    i64 r = g.R * p / g.parts + y;
    float s[V] = {};
    if (c < g.C) {
        const T* x = (const T*)g.x + c;
        for (; r + 3 * h < e; r += 4 * h) {
            float v[4][V];
#pragma unroll
            for (int i = 0; i < 4; i++) load_vec<V>(x + (r + i * h) * g.C, v[i]);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int k = 0; k < V; k++) s[k] += v[i][k];
        }
        for (; r < e; r += h) {
            float v[V];
            load_vec<V>(x + r * g.C, v);
#pragma unroll
            for (int k = 0; k < V; k++) s[k] += v[k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; k++) smem[k][t] = s[k];
    for (int d = h / 2; d > 0; d /= 2) {
        __syncthreads();
        if (y < d)
#pragma unroll
            for (int k = 0; k < V; k++) smem[k][t] += smem[k][t + d * w];
    }
    if (y == 0 && c < g.C)
#pragma unroll
        for (int k = 0; k < V; k++) g.part[p * g.C + c + k] = smem[k][t];
}

__global__ void __launch_bounds__(1024) sum_up(const Rows<Sum, kRows> __grid_constant__ rows) {
    await_inputs();
    int block;
    const Sum& g = rows.row[rows.find((int)blockIdx.x, block)];
    const i64 c = (i64)block * 32 + threadIdx.x;
    const float s = column_sum(g.part, g.parts, g.C, c, g.C);
    if (threadIdx.y == 0 && c < g.C) g.y[c] = g.scale * s;
}

}  // namespace

i64 sum_leading_scratch(const SumLeadingArgs& a) {
    i64 bytes = 0;
    // The type and the addresses are not known here.
    for (i64 i = 0; i < a.n; i++) {
        i64 parts = parts_of(a.rows[i], 1);
        for (int vector : {kVec<float>, kVec<bf16>})
            if (a.rows[i].C % vector == 0) parts = std::max(parts, parts_of(a.rows[i], vector));
        bytes += align_up(parts * a.rows[i].C * 4, 256);
    }
    return bytes;
}

template <class T>
void sum_leading(const SumLeadingArgs& a, Stream s) {
    std::vector<Sum> sums;
    char* at = (char*)a.scratch;
    for (i64 i = 0; i < a.n; i++) {
        const SumLeadingRow& g = a.rows[i];
        const int v = vector_of<T>(g);
        sums.push_back(
            Sum{g.x, (float*)g.y, (float*)at, g.R, g.C, parts_of(g, v), v, width_of(g.C / v), (float)g.scale});
        at += align_up(sums.back().parts * g.C * 4, 256);
    }
    auto launch = [&](auto vector) {
        constexpr int V = decltype(vector)::value;
        for_rows<kRows>(
            sums.data(), a.n, [](const Sum& g) { return g.vector == V ? g.blocks() : 0; },
            [&](const Rows<Sum, kRows>& t, i64 blocks, i64) {
                CG_LAUNCH((sum_parts<T, V>), grid(blocks), kThreads, 0, s, t);
            });
    };
    launch(std::integral_constant<int, kVec<T>>());
    launch(std::integral_constant<int, 1>());
    for_rows<kRows>(
        sums.data(), a.n, [](const Sum& g) { return ceil_div(g.C, 32); },
        [&](const Rows<Sum, kRows>& t, i64 blocks, i64) { CG_LAUNCH((sum_up), grid(blocks), dim3(32, 32), 0, s, t); });
}

CG_CUDA(sum_leading, SumLeadingArgs)

}  // namespace cg::cuda
