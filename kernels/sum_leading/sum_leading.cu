// Two kernels: blocks sum parts of the rows, 32 (or fewer, for narrow x) columns wide, and leave them in scratch; then the
// parts are summed, 32 at a time, in an order that is fixed. The cut depends on the shape alone, so the sum is the same every time.
// Versions: only this one, not measured on a GPU yet.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

/// Columns side by side in a block of 256 threads.
i64 width(i64 C) {
    i64 w = 1;
    while (w < 32 && w < C) w *= 2;
    return w;
}

i64 parts(const SumLeadingArgs& g) {
    const i64 columns = ceil_div(g.C, width(g.C)), rows = 256 / width(g.C);
    i64 p = ceil_div(4 * kBlocks, columns);
    const i64 most = ceil_div(g.R, rows * 8);
    return p < most ? p : most;
}

template <class T>
__global__ void __launch_bounds__(256) sum_parts(const T* x, float* part, i64 R, i64 C) {
    __shared__ float room[256];
    const int w = (int)blockDim.x, h = (int)blockDim.y;
    const i64 c = (i64)blockIdx.x * w + threadIdx.x, b = R * blockIdx.y / gridDim.y, e = R * (blockIdx.y + 1) / gridDim.y;
    float s = 0;
    if (c < C)
        for (i64 r = b + threadIdx.y; r < e; r += h) s += to_float(x[r * C + c]);
    room[threadIdx.y * w + threadIdx.x] = s;
    for (int d = h / 2; d > 0; d /= 2) {
        __syncthreads();
        if ((int)threadIdx.y < d) room[threadIdx.y * w + threadIdx.x] += room[(threadIdx.y + d) * w + threadIdx.x];
    }
    if (threadIdx.y == 0 && c < C) part[blockIdx.y * C + c] = room[threadIdx.x];
}

}  // namespace

i64 sum_leading_scratch(const SumLeadingArgs& g) { return align_up(parts(g) * g.C * 4, 256); }

template <class T>
void sum_leading(const SumLeadingArgs& g, Stream s) {
    const i64 w = width(g.C), n = parts(g);
    CG_LAUNCH((sum_parts<T>), grid(ceil_div(g.C, w), n), dim3((unsigned)w, (unsigned)(256 / w)), 0, s, (const T*)g.x, (float*)g.scratch, g.R, g.C);
    CG_LAUNCH((sum_columns<float>), grid(ceil_div(g.C, 32)), dim3(32, 32), 0, s, (const float*)g.scratch, n, g.C, (float*)g.y,
              (float*)nullptr, g.C, (float)g.scale);
}

CG_CUDA(sum_leading, SumLeadingArgs)

}  // namespace cg::cuda
