// SPDX-License-Identifier: Apache-2.0
// Forward and the gradients of a vertex: a warp a vertex, its lanes the channels; the maps stay in L2.
// dX: vertices are listed by cell (a block for 8 cells scans all vertices twice, to count and to place). Then a block
// takes a pixel, 128 channels and up to 8 images, and sums over the pixel's four cells, each quarter of their vertices
// in warps of its own: points may crowd, as where they are regions.
// Floor: forward bytes of w over bandwidth. Versions, not measured on a card:
//   1. dX: a thread sums all vertices of a cell; four pixels a vertex
//   2. dX: four threads share a cell's vertices; one pixel a vertex where points are fixed
//   3. a block lists the vertices of 8 cells, where it was one; unwanted outputs are left out
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kWarps = 4, kScan = 256, kCells = 8, kImages = 8, kParts = 4;

struct Axis {
    int i[2];
    float q[2], dq;
};

__device__ inline Axis axis(float at, int n, bool fixed) {
    Axis a;
    const float p = ((at + 1.f) * (float)n - 1.f) * 0.5f, c = p > 0.f ? (p < (float)(n - 1) ? p : (float)(n - 1)) : 0.f;
    a.i[0] = (int)(fixed ? c + 0.5f : c);
    a.i[1] = a.i[0] + 1 < n ? a.i[0] + 1 : a.i[0];
    a.q[1] = p != p ? p : fixed ? 0.f : c - (float)a.i[0];
    a.q[0] = 1.f - a.q[1];
    a.dq = !fixed && p > 0.f && p < (float)(n - 1) ? (float)n * 0.5f : 0.f;
    return a;
}

template <class T, bool Fixed>
__global__ void __launch_bounds__(32 * kWarps)
    read_points(const T* x, const float* position, const T* w, const float* bias, T* y, i64 B, i64 L, int H, int W,
                i64 C, i64 V) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (v >= V) return;
    const int lane = (int)threadIdx.x & 31;
    const Axis ax = axis(position[2 * v], W, Fixed), ay = axis(position[2 * v + 1], H, Fixed);
    for (i64 b = 0; b < B; b++) {
        float s = 0;
        for (i64 l = 0; l < L; l++) {
            const T* map = x + (b * L + l) * H * W * C;
            for (i64 c = lane; c < C; c += 32) {
                float p = 0;
#pragma unroll
                for (int k = 0; k < (Fixed ? 1 : 4); k++)
                    p += ax.q[k % 2] * ay.q[k / 2] * to_float(map[((i64)ay.i[k / 2] * W + ax.i[k % 2]) * C + c]);
                s += p * to_float(w[(v * L + l) * C + c]);
            }
        }
        s = warp_sum(s);
        if (lane == 0) y[b * V + v] = from_float<T>(s + bias[v]);
    }
}

template <class T, bool Fixed>
__global__ void __launch_bounds__(32 * kWarps)
    vertex_grad(const T* dY, const T* x, const float* position, const T* w, float* dPosition, float* dw, float* dbias,
                i64 B, i64 L, int H, int W, i64 C, i64 V) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (v >= V) return;
    const int lane = (int)threadIdx.x & 31;
    const Axis ax = axis(position[2 * v], W, Fixed), ay = axis(position[2 * v + 1], H, Fixed);
    float dots[4] = {0.f, 0.f, 0.f, 0.f};
    for (i64 l = 0; (dw || dPosition) && l < L; l++)
        for (i64 c = lane; c < C; c += 32) {
            float s[4] = {0.f, 0.f, 0.f, 0.f}, sum = 0;
            for (i64 b = 0; b < B; b++) {
                const float d = to_float(dY[b * V + v]);
                const T* map = x + (b * L + l) * H * W * C + c;
#pragma unroll
                for (int k = 0; k < (Fixed ? 1 : 4); k++)
                    s[k] += d * to_float(map[((i64)ay.i[k / 2] * W + ax.i[k % 2]) * C]);
            }
            const i64 at = (v * L + l) * C + c;
            const float u = dPosition ? to_float(w[at]) : 0.f;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                sum += ax.q[k % 2] * ay.q[k / 2] * s[k];
                dots[k] += u * s[k];
            }
            if (dw) dw[at] = sum;
        }
#pragma unroll
    for (int k = 0; k < 4; k++) dots[k] = warp_sum(dots[k]);
    if (lane > 0) return;
    float sum = 0;
    for (i64 b = 0; dbias && b < B; b++) sum += to_float(dY[b * V + v]);
    if (dbias) dbias[v] = sum;
    if (!dPosition) return;
    dPosition[2 * v] = ax.dq * (ay.q[0] * (dots[1] - dots[0]) + ay.q[1] * (dots[3] - dots[2]));
    dPosition[2 * v + 1] = ay.dq * (ax.q[0] * (dots[2] - dots[0]) + ax.q[1] * (dots[3] - dots[1]));
}

/// cell [V]: the cell of each vertex.
__global__ void __launch_bounds__(kScan) find_cells(const float* position, int* cell, int H, int W, int V, bool fixed) {
    await_inputs();
    const int v = (int)blockIdx.x * kScan + (int)threadIdx.x;
    if (v < V) cell[v] = axis(position[2 * v + 1], H, fixed).i[0] * W + axis(position[2 * v], W, fixed).i[0];
}

/// Finds the vertices of a block's cells: counts them into count[cell] or, with `order`, lists them from first[cell]
/// on. A thread scans every 256th vertex and lists its vertices of a cell together; this order differs from the
/// vertices' but is always the same. A row of `found` has an odd number of words, so that its columns lie in different
/// banks.
__global__ void __launch_bounds__(kScan)
    list_cells(const int* cell, int* count, const int* first, int* order, int V, int cells) {
    await_inputs();
    __shared__ int found[kCells][kScan + 1];
    const int begin = (int)blockIdx.x * kCells, t = (int)threadIdx.x;
    for (int i = 0; i < kCells; i++) found[i][t] = 0;
    for (int v = t; v < V; v += kScan) {
        const int i = cell[v] - begin;
        if (i >= 0 && i < kCells) found[i][t]++;
    }
    __syncthreads();
    if (t < kCells && begin + t < cells) {
        int n = 0;
        for (int i = 0; i < kScan; i++) {
            const int mine = found[t][i];
            found[t][i] = n;
            n += mine;
        }
        if (!order) count[begin + t] = n;
    }
    if (!order) return;
    __syncthreads();
    for (int v = t; v < V; v += kScan) {
        const int i = cell[v] - begin;
        if (i >= 0 && i < kCells) order[first[begin + i] + found[i][t]++] = v;
    }
}

/// first [cells + 1] from count [cells].
__global__ void __launch_bounds__(kScan) start_cells(const int* count, int* first, int cells) {
    await_inputs();
    __shared__ int sums[kScan];
    const int t = (int)threadIdx.x, each = (cells + kScan - 1) / kScan;
    int s = 0;
    for (int i = t * each; i < (t + 1) * each && i < cells; i++) s += count[i];
    sums[t] = s;
    __syncthreads();
    s = 0;
    for (int i = 0; i < t; i++) s += sums[i];
    for (int i = t * each; i < (t + 1) * each && i < cells; i++) {
        first[i] = s;
        s += count[i];
        if (i == cells - 1) first[cells] = s;
    }
}

/// dX. Grid: pixels, 128 of the L C channels, 8 images. Block: the channels, and parts of the vertices of a cell.
template <class T, bool Fixed>
__global__ void __launch_bounds__(128 * kParts)
    pixel_grad(const T* dY, const float* position, const T* w, const int* order, const int* first, T* dX, i64 B, i64 L,
               int H, int W, i64 C, i64 V) {
    await_inputs();
    const int y = (int)blockIdx.x / W, x = (int)blockIdx.x % W;
    const int part = (int)threadIdx.x / 128;
    const i64 b0 = (i64)blockIdx.z * kImages, lc = (i64)blockIdx.y * 128 + threadIdx.x % 128;
    __shared__ float parts[kParts - 1][kImages][128];
    float s[kImages];
#pragma unroll
    for (int j = 0; j < kImages; j++) s[j] = 0;
    for (int k = Fixed ? 0 : 3; k >= 0 && lc < L * C; k--) {  // the cell that has the pixel at its corner k
        const int cy = y - k / 2, cx = x - k % 2;
        if (cy < 0 || cx < 0) continue;
        for (int i = first[cy * W + cx] + part; i < first[cy * W + cx + 1]; i += kParts) {
            const i64 v = order[i];
            const Axis ax = axis(position[2 * v], W, Fixed), ay = axis(position[2 * v + 1], H, Fixed);
            const float u = ax.q[k % 2] * ay.q[k / 2] * to_float(w[v * L * C + lc]);
#pragma unroll
            for (int j = 0; j < kImages; j++)
                if (b0 + j < B) s[j] += u * to_float(dY[(b0 + j) * V + v]);
        }
    }
    if (part > 0) {
#pragma unroll
        for (int j = 0; j < kImages; j++) parts[part - 1][j][threadIdx.x % 128] = s[j];
    }
    __syncthreads();
    if (part > 0 || lc >= L * C) return;
    for (int i = 0; i < kParts - 1; i++) {
#pragma unroll
        for (int j = 0; j < kImages; j++) s[j] += parts[i][j][threadIdx.x];
    }
    const i64 l = lc / C, c = lc % C;
#pragma unroll
    for (int j = 0; j < kImages; j++)
        if (b0 + j < B) dX[((((b0 + j) * L + l) * H + y) * W + x) * C + c] = from_float<T>(s[j]);
}

}  // namespace

i64 position_readout_scratch(const PositionReadoutArgs&) { return 0; }

template <class T, bool Fixed>
void read(const PositionReadoutArgs& g, Stream s) {
    CG_LAUNCH((read_points<T, Fixed>), grid(ceil_div(g.V, kWarps)), 32 * kWarps, 0, s, (const T*)g.x,
              (const float*)g.position, (const T*)g.w, (const float*)g.bias, (T*)g.y, g.B, g.L, (int)g.H, (int)g.W, g.C,
              g.V);
}

template <class T>
void position_readout(const PositionReadoutArgs& g, Stream s) {
    if (g.fixed) read<T, true>(g, s);
    else read<T, false>(g, s);
}

i64 position_readout_grad_scratch(const PositionReadoutGradArgs& g) {
    return align_up((2 * g.V + 2 * g.H * g.W + 1) * 4, 256);
}

template <class T, bool Fixed>
void read_grad(const PositionReadoutGradArgs& g, Stream s) {
    const T *dY = (const T*)g.dY, *w = (const T*)g.w;
    const float* position = (const float*)g.position;
    const int H = (int)g.H, W = (int)g.W, cells = H * W;
    int *cell = (int*)g.scratch, *order = cell + g.V, *count = order + g.V, *first = count + cells;
    if (g.dw || g.dPosition || g.dbias)
        CG_LAUNCH((vertex_grad<T, Fixed>), grid(ceil_div(g.V, kWarps)), 32 * kWarps, 0, s, dY, (const T*)g.x, position,
                  w, (float*)g.dPosition, (float*)g.dw, (float*)g.dbias, g.B, g.L, H, W, g.C, g.V);
    if (!g.dX) return;
    const dim3 scans = grid(ceil_div(cells, kCells));
    CG_LAUNCH((find_cells), grid(ceil_div(g.V, kScan)), kScan, 0, s, position, cell, H, W, (int)g.V, Fixed);
    CG_LAUNCH((list_cells), scans, kScan, 0, s, (const int*)cell, count, (const int*)nullptr, (int*)nullptr, (int)g.V,
              cells);
    CG_LAUNCH((start_cells), grid(1), kScan, 0, s, (const int*)count, first, cells);
    CG_LAUNCH((list_cells), scans, kScan, 0, s, (const int*)cell, count, (const int*)first, order, (int)g.V, cells);
    CG_LAUNCH((pixel_grad<T, Fixed>), grid(cells, ceil_div(g.L * g.C, 128), ceil_div(g.B, kImages)), 128 * kParts, 0, s,
              dY, position, w, (const int*)order, (const int*)first, (T*)g.dX, g.B, g.L, H, W, g.C, g.V);
}

template <class T>
void position_readout_grad(const PositionReadoutGradArgs& g, Stream s) {
    if (g.fixed) read_grad<T, true>(g, s);
    else read_grad<T, false>(g, s);
}

CG_CUDA(position_readout, PositionReadoutArgs)
CG_CUDA(position_readout_grad, PositionReadoutGradArgs)

}  // namespace cg::cuda
