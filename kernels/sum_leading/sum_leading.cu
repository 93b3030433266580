// SPDX-License-Identifier: Apache-2.0
// Two kernels. In the first, blocks 32 columns wide (fewer for a narrow x) sum parts of the rows of one x to scratch.
// The second sums the parts, 32 at a time, in a fixed order. The parts depend on the shape alone, so the sum is the
// same every time. Versions: only this one.
// Floor: bytes over bandwidth.
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
    int width;  // columns of a block
    float scale;
};

int width_of(i64 C) {
    int w = 1;
    while (w < 32 && w < C) w *= 2;
    return w;
}
i64 parts_of(const SumLeadingRow& g) {
    const i64 w = width_of(g.C), p = ceil_div(4 * kBlocks, ceil_div(g.C, w)), most = ceil_div(g.R, kThreads / w * 8);
    return p < most ? p : most;
}

template <class T>
__global__ void __launch_bounds__(kThreads) sum_parts(const Rows<Sum, kRows> __grid_constant__ rows) {
    __shared__ float smem[kThreads];
    int block;
    const Sum& g = rows.row[rows.find((int)blockIdx.x, block)];
    const int w = g.width, h = kThreads / w, x = (int)threadIdx.x % w, y = (int)threadIdx.x / w;
    const i64 p = block % g.parts, c = block / g.parts * w + x, b = g.R * p / g.parts, e = g.R * (p + 1) / g.parts;
    float s = 0;
    if (c < g.C)
        for (i64 r = b + y; r < e; r += h) s += to_float(((const T*)g.x)[r * g.C + c]);
    smem[threadIdx.x] = s;
    for (int d = h / 2; d > 0; d /= 2) {
        __syncthreads();
        if (y < d) smem[threadIdx.x] += smem[threadIdx.x + d * w];
    }
    if (y == 0 && c < g.C) g.part[p * g.C + c] = smem[threadIdx.x];
}

__global__ void __launch_bounds__(1024) sum_up(const Rows<Sum, kRows> __grid_constant__ rows) {
    int block;
    const Sum& g = rows.row[rows.find((int)blockIdx.x, block)];
    const i64 c = (i64)block * 32 + threadIdx.x;
    const float s = column_sum(g.part, g.parts, g.C, c, g.C);
    if (threadIdx.y == 0 && c < g.C) g.y[c] = g.scale * s;
}

}  // namespace

i64 sum_leading_scratch(const SumLeadingArgs& a) {
    i64 bytes = 0;
    for (i64 i = 0; i < a.n; i++) bytes += align_up(parts_of(a.rows[i]) * a.rows[i].C * 4, 256);
    return bytes;
}

template <class T>
void sum_leading(const SumLeadingArgs& a, Stream s) {
    std::vector<Sum> sums;
    char* at = (char*)a.scratch;
    for (i64 i = 0; i < a.n; i++) {
        const SumLeadingRow& g = a.rows[i];
        sums.push_back(Sum{g.x, (float*)g.y, (float*)at, g.R, g.C, parts_of(g), width_of(g.C), (float)g.scale});
        at += align_up(sums.back().parts * g.C * 4, 256);
    }
    for_rows<kRows>(
        sums.data(), a.n, [](const Sum& g) { return ceil_div(g.C, g.width) * g.parts; },
        [&](const Rows<Sum, kRows>& t, i64 blocks, i64) {
            CG_LAUNCH((sum_parts<T>), grid(blocks), kThreads, 0, s, t);
        });
    for_rows<kRows>(
        sums.data(), a.n, [](const Sum& g) { return ceil_div(g.C, 32); },
        [&](const Rows<Sum, kRows>& t, i64 blocks, i64) { CG_LAUNCH((sum_up), grid(blocks), dim3(32, 32), 0, s, t); });
}

CG_CUDA(sum_leading, SumLeadingArgs)

}  // namespace cg::cuda
