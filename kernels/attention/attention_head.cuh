// SPDX-License-Identifier: Apache-2.0
// What the CUDA kernels of attention share: where a head lies in the tensors, its rows as fragments (mma.cuh), stages
// and tiles of rows, softmax and gradients of scores in fragments.
#pragma once
#include "attention/attention.h"
#include "mma.cuh"
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

/// A head's rows of a tensor in bf16: first element, elements from row to row, rows, and columns, a multiple of 8.
/// Registers and shared memory hold more columns, a multiple of 16; those beyond the tensor's are zero.
template <class T>
struct HeadRows {
    T* x;
    int stride, rows, columns;
    __device__ T* at(int row) const { return x + (i64)row * stride; }
};
/// The fewest columns of tensors in rows of D: fewer take the next narrower rows (padded() in attention.cu).
__host__ __device__ constexpr int fewest_columns(int D) { return D == 160 ? 136 : D == 128 ? 88 : D == 32 ? 8 : D - 8; }
/// Whether the tensor has column 8 i, where it has FEWEST at least: few columns need a comparison.
template <int FEWEST, class T>
__device__ inline bool has_columns(const HeadRows<T>& rows, int i) {
    return i * 8 < FEWEST || i * 8 < rows.columns;
}
template <class V>
using Bf16Rows = HeadRows<std::conditional_t<std::is_const_v<V>, const bf16, bf16>>;

/// Rows of q or dQ; of k, v, dK or dV; of y or dY.
template <class Args, class V>
__device__ inline Bf16Rows<V> query_rows(const Args& g, const Head& h, V* q) {
    return {(decltype(Bf16Rows<V>::x))q + h.q, (int)g.q_stride, (int)g.Tq, (int)g.D};
}
template <class Args, class V>
__device__ inline Bf16Rows<V> key_rows(const Args& g, const Head& h, V* k) {
    return {(decltype(Bf16Rows<V>::x))k + h.kv, (int)g.kv_stride, (int)g.Tk, (int)g.D};
}
template <class Args, class V>
__device__ inline Bf16Rows<V> result_rows(const Args& g, const Head& h, V* y) {
    return {(decltype(Bf16Rows<V>::x))y + h.y, (int)(g.H * g.D), (int)g.Tq, (int)g.D};
}

/// x for addresses that the compiler computes anew, instead of keeping earlier ones in registers over a loop.
__device__ inline int anew(int x) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(x));
#endif
    return x;
}

/// Loads 16 rows as fragments of the left operand (mma.cuh): registers [k][4], zero beyond the last row.
template <int D>
__device__ inline void left_rows(uint32_t (&a)[D / 16][4], const HeadRows<const bf16>& from, int row) {
    const int lane = (int)threadIdx.x & 31;
    const int r0 = row + lane / 4, r1 = r0 + 8;
    const bf16 *p0 = from.at(r0) + lane % 4 * 2, *p1 = from.at(r1) + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < D / 8; i++) {
        const bool there = has_columns<fewest_columns(D)>(from, i);
        a[i / 2][i % 2 * 2] = there && r0 < from.rows ? *(const uint32_t*)(p0 + i * 8) : 0;
        a[i / 2][i % 2 * 2 + 1] = there && r1 < from.rows ? *(const uint32_t*)(p1 + i * 8) : 0;
    }
}

/// Stores accumulators times s0 (rows 0 to 7) and s1 (rows 8 to 15) to 16 rows.
template <int D, int FEWEST = fewest_columns(D)>
__device__ inline void store_rows(const HeadRows<bf16>& to, int row, const float (&c)[D / 8][4], float s0, float s1) {
    const int lane = (int)threadIdx.x & 31;
    const int r0 = row + lane / 4, r1 = r0 + 8;
#pragma unroll
    for (int d = 0; d < D / 8; d++) {
        const int at = d * 8 + lane % 4 * 2;
        const bool there = has_columns<FEWEST>(to, d);
        if (there && r0 < to.rows) *(uint32_t*)(to.at(r0) + at) = pack_bf16(c[d][0] * s0, c[d][1] * s0);
        if (there && r1 < to.rows) *(uint32_t*)(to.at(r1) + at) = pack_bf16(c[d][2] * s1, c[d][3] * s1);
    }
}

/// D_i of the rows lane / 4 and lane / 4 + 8 of fragments of y and dY.
template <int D>
__device__ inline float2 row_dots(const uint32_t (&y)[D / 16][4], const uint32_t (&dY)[D / 16][4]) {
    float d[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < D / 16; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            d[e % 2] += bits_to_float(y[i][e] << 16) * bits_to_float(dY[i][e] << 16) +
                        bits_to_float(y[i][e] & 0xffff0000u) * bits_to_float(dY[i][e] & 0xffff0000u);
    return float2{quad_sum(d[0]), quad_sum(d[1])};
}

/// Calls f(first row, buffer) for each stage of the rows, once copy(first row, buffer) has brought it to shared memory.
/// The next stage is copied to the other buffer meanwhile; a single stage needs one buffer. arrived() follows each wait
/// for copies.
template <class Copy, class F, class Arrived>
__device__ inline void stages(int rows, int stage, Copy&& copy, F&& f, Arrived&& arrived) {
    int buffer = 1;
#pragma unroll 1
    for (int first = -stage; first < rows; first += stage) {
        copy_wait<0>();
        arrived();
        __syncthreads();  // the stage is there, and all warps have read the one before
        if (first + stage < rows) copy(first + stage, buffer ^ 1);
        copy_commit();
        if (first >= 0) f(first, buffer);
        buffer ^= 1;
    }
}

template <class Copy, class F>
__device__ inline void stages(int rows, int stage, Copy&& copy, F&& f) {
    stages(rows, stage, copy, f, [] {});
}

/// Calls f(width, at) for tiles of N rows, and of 16 rows at the end: 197 rows cost 208, not 256.
template <int N, class F>
__device__ inline void tiles(int rows, F&& f) {
    int at = 0;
#pragma unroll 1
    for (; rows - at > N - 16; at += N) f(std::integral_constant<int, N>(), at);
    if (N > 16)
#pragma unroll 1
        for (; at < rows; at += 16) f(std::integral_constant<int, 16>(), at);
}

/// The first of the 16 rows of this warp, in a head of `parts` blocks.
__device__ inline int first_row(int parts) {
    return ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16;
}

/// Fills the columns from `first` on. Only the last tile of a row comes here: the compiler may not turn the caller's
/// branch into selections, which would cost every tile 1.5 instructions an element.
template <int N>
__device__ inline void fill_beyond(float (&s)[N][4], int first, float value) {
    const int column = (int)threadIdx.x % 4 * 2 - anew(first);
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (n * 8 + column + i % 2 >= 0) s[n][i] = value;
}

/// Softmax of the rows lane / 4 and lane / 4 + 8 over tiles of scores: the maximum so far, times the scale, and the sum
/// of this lane's exponentials.
struct OnlineSoftmax {
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0};

    /// s becomes exp(scale s - m), 0 beyond the first `keys` columns, of which there is one at least. Returns the
    /// factors of all sums so far. scale2 is the scale / ln 2.
    template <int N>
    __device__ float2 add(float (&s)[N][4], int keys, float scale2) {
        if (keys < 8 * N) fill_beyond(s, keys, -INFINITY);
        float c[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float x = s[0][2 * r];
#pragma unroll
            for (int n = 0; n < N; n++) x = fmaxf(x, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
            x = fmaxf(m[r], quad_max(x) * scale2);
            c[r] = exp2_fast(m[r] - x);
            m[r] = x;
            l[r] *= c[r];
        }
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                s[n][i] = exp2_fast(s[n][i] * scale2 - m[i / 2]);
                l[i / 2] += s[n][i];
            }
        return float2{c[0], c[1]};
    }

    /// Ends the sums; call once, with all lanes.
    __device__ void finish() { l[0] = quad_sum(l[0]), l[1] = quad_sum(l[1]); }

    /// Stores the log-sum-exp of 16 rows.
    __device__ void store(float* lse, int row, int rows) const {
        const int lane = (int)threadIdx.x & 31;
#pragma unroll
        for (int r = 0; r < 2; r++)
            if (lane % 4 == 0 && row + lane / 4 + 8 * r < rows) lse[row + lane / 4 + 8 * r] = m[r] * kLn2 + logf(l[r]);
    }
};

/// sum[n][i] *= the row's factor.
template <int N>
__device__ inline void scale_rows(float (&sum)[N][4], const float2& c) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[n][i] *= i < 2 ? c.x : c.y;
}

// Gradients of scores. Rows are queries: e and d are lse / ln 2 and D_i of the rows lane / 4 and lane / 4 + 8. Or
// columns are queries: e and d are in shared memory, and e is infinite beyond the last query, so that p is 0.

/// Loads a warp's 16 rows of Q and dY as left operands and stores their D_i to scratch [B H, Tq]. d and e: D_i and
/// lse / ln 2 of the rows lane / 4 and lane / 4 + 8, with e = 0 beyond the last row.
template <int D>
__device__ inline void gradient_rows(const AttentionGradArgs& g, const Head& head, int row, uint32_t (&q)[D / 16][4],
                                     uint32_t (&dy)[D / 16][4], float2& d, float2& e) {
    const int lane = (int)threadIdx.x & 31, r0 = row + lane / 4, r1 = r0 + 8, Tq = (int)g.Tq;
    left_rows<D>(q, result_rows(g, head, g.y), row);  // y, for a moment
    left_rows<D>(dy, result_rows(g, head, g.dY), row);
    d = row_dots<D>(q, dy);
    if (lane % 4 == 0) {
        float* delta = (float*)g.scratch + head.row;
        if (r0 < Tq) delta[r0] = d.x;
        if (r1 < Tq) delta[r1] = d.y;
    }
    left_rows<D>(q, query_rows(g, head, g.q), row);
    const float* lse = (const float*)g.lse + head.row;
    e = float2{(r0 < Tq ? lse[r0] : 0) * kLog2e, (r1 < Tq ? lse[r1] : 0) * kLog2e};
}

/// The scores s become p.
template <int N>
__device__ inline void probabilities(float (&s)[N][4], const float2& e, float scale2) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = exp2_fast(s[n][i] * scale2 - (i < 2 ? e.x : e.y));
}
template <int N>
__device__ inline void probabilities(float (&s)[N][4], const float* e, float scale2) {
    const int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < N; n++) {
        const float2 at = *(const float2*)(e + n * 8 + column);
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = exp2_fast(s[n][i] * scale2 - (i % 2 ? at.y : at.x));
    }
}

/// dp becomes dS = p (dP - D_i); 0 beyond the first `keys` columns, where p may be infinite.
template <int N>
__device__ inline void score_gradients(float (&dp)[N][4], const float (&p)[N][4], const float2& d, int keys) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) dp[n][i] = p[n][i] * (dp[n][i] - (i < 2 ? d.x : d.y));
    if (keys < 8 * N) fill_beyond(dp, keys, 0);
}
template <int N>
__device__ inline void score_gradients(float (&dp)[N][4], const float (&p)[N][4], const float* d) {
    const int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < N; n++) {
        const float2 at = *(const float2*)(d + n * 8 + column);
#pragma unroll
        for (int i = 0; i < 4; i++) dp[n][i] = p[n][i] * (dp[n][i] - (i % 2 ? at.y : at.x));
    }
}
}  // namespace cg::cuda
