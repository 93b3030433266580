// SPDX-License-Identifier: Apache-2.0
// spectral_norm: three launches for the weights of all discriminators (up to 256; further weights take another round).
// W is read from device memory once: a block takes some rows, computes s_i = W_i . v for each and adds s_i W_i to its
// own t; the second read of the row hits the cache. 512 threads with four loads of 16 bytes in flight each cover the
// memory latency (single-number loads keep 4 KB in flight where about 23 are needed).
// A row of up to 1024 numbers belongs to a warp, which keeps its t in shared memory; a longer one to the block. Then t
// is summed over the blocks in order, and u, v, sigma follow.
// Floor: W once over bandwidth, plus blocks x N of partial t, which for [512, 39548] is at most a quarter of W.
// Versions: single-number loads, 256 threads; this one.
//
// spectral_norm_lambda: two launches for all weights. A block sums pieces of 8192 products with loads of 16 bytes; one
// block per weight adds its blocks' sums in order. Floor: G and W once.
//
// spectral_norm_grad: a block takes 8192 elements. Floor: G read, dW written.
// Versions of both: single-number loads, every block of the second pass summing lambda again; this one.
#include <vector>

#include "gradient.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 512, kWarpsN = 16, kRows = 256, kNarrow = 1024;
constexpr i64 kSharedT = 160 << 10;

struct Weight {
    SpectralNormRow r;
    float* t;    // [parts][N]
    double* ss;  // [parts]: sums of s^2, or of u s
    double* tt;  // [tiles]: sums of t^2
    i64 parts, tiles;
};

i64 parts_of(const SpectralNormRow& r) {
    const i64 want = ceil_div(r.M * r.N, 32768), most = r.N <= kNarrow ? kBlocks : kBlocks / 2;
    const i64 rows = r.N <= kNarrow ? ceil_div(r.M, kWarpsN) : r.M;
    const i64 p = want < most ? want : most;
    return p < rows ? p : rows;
}
i64 tiles_of(const SpectralNormRow& r) { return ceil_div(r.N, kThreads); }

/// Bytes of scratch of a weight; fills w, if not null, with its addresses from `at` on.
i64 place(const SpectralNormRow& r, char* at, Weight* w) {
    const i64 parts = parts_of(r), tiles = tiles_of(r);
    const i64 t = align_up(parts * r.N * 4, 256), ss = align_up(parts * 8, 256), tt = align_up(tiles * 8, 256);
    if (w) *w = Weight{r, (float*)at, (double*)(at + t), (double*)(at + t + ss), parts, tiles};
    return t + ss + tt;
}

/// Calls f(j) for a thread's columns of a row: vectors of VEC numbers, for thread `at` of `of`.
template <int VEC, class F>
__device__ inline void own_columns(i64 N, int at, int of, F&& f) {
#pragma unroll 4
    for (i64 j = (i64)at * VEC; j < N; j += (i64)of * VEC) f(j);
}
template <int VEC>
__device__ inline void load_some(const float* p, float (&x)[VEC]) {
    if (VEC == 4) load_vec(p, x);
    else x[0] = p[0];
}
template <int VEC>
__device__ inline void store_some(float* p, const float (&x)[VEC]) {
    if (VEC == 4) store_vec(p, x);
    else p[0] = x[0];
}

/// Adds s W_i to t and returns the sum of s^2 (or u s) over the rows begin, begin + step ... of a warp or block of `of`
/// threads; total() sums over these threads.
template <int VEC, class S>
__device__ inline double walk(const Weight& w, i64 begin, i64 end, i64 step, float* t, int at, int of, bool advance,
                              S&& total) {
    const i64 N = w.r.N;
    const float *W = (const float*)w.r.W, *v = (const float*)w.r.v_in, *u = (const float*)w.r.u_in;
    float* s_out = (float*)w.r.u_out;
    const float zero[VEC] = {};
    double ss = 0;
    own_columns<VEC>(N, at, of, [&](i64 j) { store_some<VEC>(t + j, zero); });
    for (i64 i = begin; i < end; i += step) {
        const float* row = W + i * N;
        float s = 0;
        own_columns<VEC>(N, at, of, [&](i64 j) {
            float x[VEC], y[VEC];
            load_some<VEC>(row + j, x);
            load_some<VEC>(v + j, y);
#pragma unroll
            for (int k = 0; k < VEC; k++) s += x[k] * y[k];
        });
        s = total(s);
        if (!advance) {
            ss += (double)u[i] * s;
            continue;
        }
        own_columns<VEC>(N, at, of, [&](i64 j) {
            float x[VEC], y[VEC];
            load_some<VEC>(row + j, x);
            load_some<VEC>(t + j, y);
#pragma unroll
            for (int k = 0; k < VEC; k++) y[k] += s * x[k];
            store_some<VEC>(t + j, y);
        });
        if (at == 0) s_out[i] = s;
        ss += (double)s * s;
    }
    return ss;
}

__global__ void __launch_bounds__(kThreads, 1)
    sums(const Rows<Weight, kRows> __grid_constant__ rows, int advance, i64 shared_floats) {
    await_inputs();
    CG_SHARED(float, smem);
    __shared__ double dbl[33];
    __shared__ float one[33];
    int part;
    const Weight& w = rows.row[rows.find((int)blockIdx.x, part)];
    // 32 bits, because a 64-bit division is a call, which spills registers. The first M % parts blocks have one row
    // more.
    const int M = (int)w.r.M, parts = (int)w.parts, rows_each = M / parts, more = M % parts;
    const i64 N = w.r.N, begin = (i64)part * rows_each + (part < more ? part : more),
              end = begin + rows_each + (part < more ? 1 : 0);
    float* t_out = w.t + (i64)part * N;
    const int tid = (int)threadIdx.x, lane = tid & 31, warp = tid / 32;
    const bool vectors = N % 4 == 0 && (((uintptr_t)w.r.W | (uintptr_t)w.r.v_in) & 15) == 0;
    double ss;
    if (N <= kNarrow) {
        float* t = smem + (i64)warp * N;
        auto total = [](float s) { return warp_sum(s); };
        ss = vectors ? walk<4>(w, begin + warp, end, kWarpsN, t, lane, 32, advance, total)
                     : walk<1>(w, begin + warp, end, kWarpsN, t, lane, 32, advance, total);
        __syncthreads();
        if (advance)
            for (i64 j = tid; j < N; j += kThreads) {
                float x = 0;
                for (int k = 0; k < kWarpsN; k++) x += smem[k * N + j];
                t_out[j] = x;
            }
        ss = block_sum(lane == 0 ? ss : 0, dbl);
    } else {
        float* t = N <= shared_floats ? smem : t_out;  // a thread touches only its own columns of t
        auto total = [&](float s) { return block_sum(s, one); };
        ss = vectors ? walk<4>(w, begin, end, 1, t, tid, kThreads, advance, total)
                     : walk<1>(w, begin, end, 1, t, tid, kThreads, advance, total);
        __syncthreads();
        if (advance && t != t_out)
            for (i64 j = tid; j < N; j += kThreads) t_out[j] = t[j];
    }
    if (tid == 0) w.ss[part] = ss;
}

__global__ void __launch_bounds__(kThreads) sum_t(const Rows<Weight, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ double dbl[33];
    int tile;
    const Weight& w = rows.row[rows.find((int)blockIdx.x, tile)];
    const i64 j = (i64)tile * kThreads + threadIdx.x;
    float t = 0;
    if (j < w.r.N) {
#pragma unroll 16
        for (i64 p = 0; p < w.parts; p++) t += w.t[p * w.r.N + j];
        ((float*)w.r.v_out)[j] = t;
    }
    const double tt = block_sum((double)t * t, dbl);
    if (threadIdx.x == 0) w.tt[tile] = tt;
}

__device__ inline double ordered_sum(const double* x, i64 n, double* smem) {
    double s = 0;
    for (i64 i = threadIdx.x; i < n; i += kThreads) s += x[i];
    return block_sum(s, smem);
}

__global__ void __launch_bounds__(kThreads) finish(const Rows<Weight, kRows> __grid_constant__ rows, int advance) {
    await_inputs();
    __shared__ double dbl[33];
    int tile;
    const Weight& w = rows.row[rows.find((int)blockIdx.x, tile)];
    const i64 i = (i64)tile * kThreads + threadIdx.x;
    float *u = (float*)w.r.u_out, *v = (float*)w.r.v_out;
    constexpr double eps = 1e-12;  // torch's F.normalize
    double sigma = ordered_sum(w.ss, w.parts, dbl);
    if (advance) {
        const double ns = sigma > eps * eps ? sqrt(sigma) : eps;
        sigma = sqrt(ordered_sum(w.tt, w.tiles, dbl)) / ns;
        const double nv = ns * (sigma > eps ? sigma : eps);
        if (i < w.r.M) u[i] = (float)(u[i] / ns);
        if (i < w.r.N) v[i] = (float)(v[i] / nv);
    } else {
        if (i < w.r.M) u[i] = ((const float*)w.r.u_in)[i];
        if (i < w.r.N) v[i] = ((const float*)w.r.v_in)[i];
    }
    if (i == 0) *(float*)w.r.inv_sigma = (float)(1 / (sigma > eps ? sigma : eps));
}

constexpr i64 kChunk = 8192;

i64 dot_blocks(i64 n) {
    const i64 b = ceil_div(n, kChunk);
    return b < 4 * kBlocks ? b : 4 * kBlocks;
}

/// A weight of spectral_norm_lambda and its partial sums of G W, one per block.
struct DotRow {
    SpectralNormLambdaRow r;
    double* part;
    i64 blocks;
};

__global__ void __launch_bounds__(kThreads) dots(const Rows<DotRow, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ double smem[33];
    int block;
    const DotRow& w = rows.row[rows.find((int)blockIdx.x, block)];
    const float *G = (const float*)w.r.G, *W = (const float*)w.r.W;
    double sum = 0;
    for (i64 at = block * kChunk; at < w.r.n; at += w.blocks * kChunk) {
        const i64 end = at + kChunk < w.r.n ? at + kChunk : w.r.n;
        float s = 0;  // sum of 16 products
        i64 i = at + (i64)threadIdx.x * 4;
#pragma unroll 4
        for (; i + 4 <= end; i += kThreads * 4) {
            float x[4], y[4];
            load_vec(G + i, x);
            load_vec(W + i, y);
#pragma unroll
            for (int k = 0; k < 4; k++) s += x[k] * y[k];
        }
        for (; i < end; i++) s += G[i] * W[i];
        sum += s;
    }
    sum = block_sum(sum, smem);
    if (threadIdx.x == 0) w.part[block] = sum;
}

__global__ void __launch_bounds__(kThreads) lambdas(const Rows<DotRow, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ double smem[33];
    const DotRow& w = rows.row[blockIdx.x];
    const double sum = ordered_sum(w.part, w.blocks, smem);
    if (threadIdx.x == 0) *(float*)w.r.lambda = (float)(sum * *(const float*)w.r.inv_sigma);
}

__global__ void __launch_bounds__(kThreads) correct(const Rows<SpectralNormGradRow, kRows> __grid_constant__ rows) {
    await_inputs();
    int part;
    const SpectralNormGradRow& r = rows.row[rows.find((int)blockIdx.x, part)];
    float* dW = (float*)r.dW;
    const i64 begin = part * kChunk, end = begin + kChunk < r.gradient.n ? begin + kChunk : r.gradient.n;
    i64 i = begin + (i64)threadIdx.x * 4;
    GradientWalk g(r.gradient, i, kThreads * 4);
    for (; i + 4 <= end; i += kThreads * 4, g.next()) {
        float x[4];
        g.four(x);
        store_vec(dW + i, x);
    }
    for (; i < end; i++) dW[i] = g.one();
}

}  // namespace

i64 spectral_norm_scratch(const SpectralNormArgs& g) {
    i64 bytes = 0;
    for (i64 k = 0; k < g.n; k++) bytes += place(g.rows[k], nullptr, nullptr);
    return bytes;
}

template <class T>
void spectral_norm(const SpectralNormArgs& g, Stream s) {
    std::vector<Weight> all((size_t)g.n);
    char* at = (char*)g.scratch;
    size_t shared = 0;
    // Shared memory beside the static variables; a t that does not fit stays in device memory.
    const i64 most = (i64)most_shared() - (2 << 10);
    for (i64 k = 0; k < g.n; k++) {
        const SpectralNormRow& r = g.rows[k];
        at += place(r, at, &all[(size_t)k]);
        const i64 need = r.N <= kNarrow ? kWarpsN * r.N * 4 : r.N * 4;
        if (need <= kSharedT && need <= most && (size_t)need > shared) shared = (size_t)need;
    }
    using Table = Rows<Weight, kRows>;
    const int advance = (int)g.advance;
    for_rows<kRows>(
        all.data(), g.n, [](const Weight& w) { return w.parts; },
        [&](const Table& t, i64 blocks, i64) {
            CG_LAUNCH((sums), grid(blocks), kThreads, shared, s, t, advance, (i64)(shared / 4));
        });
    if (advance)
        for_rows<kRows>(
            all.data(), g.n, [](const Weight& w) { return w.tiles; },
            [&](const Table& t, i64 blocks, i64) { CG_LAUNCH((sum_t), grid(blocks), kThreads, 0, s, t); });
    for_rows<kRows>(
        all.data(), g.n, [](const Weight& w) { return ceil_div(w.r.M > w.r.N ? w.r.M : w.r.N, kThreads); },
        [&](const Table& t, i64 blocks, i64) { CG_LAUNCH((finish), grid(blocks), kThreads, 0, s, t, advance); });
}

i64 spectral_norm_lambda_scratch(const SpectralNormLambdaArgs& g) {
    i64 bytes = 0;
    for (i64 k = 0; k < g.n; k++) bytes += dot_blocks(g.rows[k].n) * 8;
    return align_up(bytes, 256);
}

template <class T>
void spectral_norm_lambda(const SpectralNormLambdaArgs& g, Stream s) {
    std::vector<DotRow> all;
    double* part = (double*)g.scratch;
    for (i64 k = 0; k < g.n; k++) {
        CG_CHECK(aligned16(g.rows[k].G, g.rows[k].W), "tensor addresses must be multiples of 16 bytes");
        all.push_back(DotRow{g.rows[k], part, dot_blocks(g.rows[k].n)});
        part += all.back().blocks;
    }
    for_rows<kRows>(
        all.data(), g.n, [](const DotRow& w) { return w.blocks; },
        [&](const Rows<DotRow, kRows>& t, i64 blocks, i64) {
            CG_LAUNCH((dots), grid(blocks), kThreads, 0, s, t);
            CG_LAUNCH((lambdas), grid(t.n), kThreads, 0, s, t);
        });
}

template <class T>
void spectral_norm_grad(const SpectralNormGradArgs& g, Stream s) {
    for (i64 k = 0; k < g.n; k++) {
        check(g.rows[k].gradient);
        CG_CHECK(aligned16(g.rows[k].dW), "tensor addresses must be multiples of 16 bytes");
    }
    using Table = Rows<SpectralNormGradRow, kRows>;
    auto blocks_of = [](const SpectralNormGradRow& r) { return ceil_div(r.gradient.n, kChunk); };
    for_rows<kRows>(g.rows, g.n, blocks_of,
                    [&](const Table& t, i64 blocks, i64) { CG_LAUNCH((correct), grid(blocks), kThreads, 0, s, t); });
}

CG_CUDA_F32(spectral_norm, SpectralNormArgs)
CG_CUDA_F32(spectral_norm_lambda, SpectralNormLambdaArgs)
CG_CUDA_F32(spectral_norm_grad, SpectralNormGradArgs)

}  // namespace cg::cuda
