// SPDX-License-Identifier: Apache-2.0
// bf16 with D 32, 64 or 128, on tensor cores (mma.sync): a warp computes 16 rows of one (image, head).
// Forward: rows are queries. A block stages K and V in shared memory, up to 256 keys at a time; scores, softmax and
// output stay in registers. P goes from the accumulators of one product straight into the operand of the next.
// Backward: two kernels without atomics. Rows are queries for dQ (and D_i, to scratch), then keys for dK and dV. The
// second kernel computes S^T and dP^T, so neither kernel transposes. With 16 queries at most, one kernel computes S and
// S^T of a block's keys, so that K and V are read once.
// Token counts are padded to 16 in registers only.
//
// All this is the implementation "mma". Implementation "any", for other types and head dimensions: a warp computes a
// row, a lane a key, sums in float; for comparison and odd sizes, not for speed.
//
// Registers: no spills on sm_80, sm_90a and sm_100. Tiles are as wide as registers allow (forward 32 keys; 64 and 48
// spilled 20 to 60 bytes at two blocks a multiprocessor), and tiles of 16 end a row: 197 tokens cost 208.
// Floor at B 128, T 197, 12 heads of 64 on an H200: forward 36 us, backward 72 us (bytes over 4.3 TB/s; the products
// take 20 and 50 us at 790 TFLOP/s). With one query: forward 18 us, backward 36 us (54 us for
// grad_queries and grad_keys, which would read K and V twice).
// Versions:
//   1  heads along y of the grid, at most 65,535 of them
//   2  a head's blocks neighbours along x, otherwise the same work
//   3  queries and keys of different number, each with addresses and strides of its own: on sm_90a 124, 128 and 174
//      registers with D 64 (123, 128 and 174 before), as many mma, and at most 4 % more instructions in all.
//      grad_few_queries: 126, 156 and 224 registers with D 32, 64 and 128; 64 KiB at 197 keys of 64, three blocks a
//      multiprocessor. Predictions with one query, as above: forward 20 to 25 us, backward 40 to 50 us, not measured.
// Tried: grad_keys with D 64 at two blocks a multiprocessor. 128 registers spill 60 bytes with tiles of 16 queries and
// 208 with 32. More would not help: ldmatrix alone takes 126 us in both kernels (attention_sm90.cu).
// attention_sm90.cu, implementation "wgmma", is preferred on request.
#include "attention/attention_head.cuh"
#include "attention/attention_sm90.cuh"
#include "device.cuh"
#include "kernels_all.h"
#include "mma.cuh"

namespace cg::cuda {

namespace {

constexpr int kStage = 256;  // most rows in shared memory at a time
constexpr int kMostWarps = 8;
constexpr int kFewWarps = 4;  // of a block with one tile of queries

// ---- tensor cores

/// Loads rows of one head as fragments of the left operand: registers [k][4], zero beyond T.
template <int D>
__device__ inline void left_rows(uint32_t (&a)[D / 16][4], const bf16* x, int stride, int row, int T) {
    const int lane = (int)threadIdx.x & 31;
    const int r0 = row + lane / 4, r1 = r0 + 8;
    const bf16 *p0 = x + (i64)r0 * stride + lane % 4 * 2, *p1 = p0 + 8 * stride;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        a[k][0] = r0 < T ? *(const uint32_t*)(p0 + k * 16) : 0;
        a[k][1] = r1 < T ? *(const uint32_t*)(p1 + k * 16) : 0;
        a[k][2] = r0 < T ? *(const uint32_t*)(p0 + k * 16 + 8) : 0;
        a[k][3] = r1 < T ? *(const uint32_t*)(p1 + k * 16 + 8) : 0;
    }
}

/// The same fragments from 16 rows that stage_rows has copied.
template <int D>
__device__ inline void left_staged(uint32_t (&a)[D / 16][4], const bf16* x) {
    const int l8 = (int)threadIdx.x & 7, l4 = (int)threadIdx.x / 8 & 3;
#pragma unroll
    for (int k = 0; k < D / 16; k++)
        load_matrices<false>(a[k], x + (l8 + (l4 & 1) * 8) * (D + 8) + k * 16 + (l4 >> 1) * 8);
}

/// D_i of the rows of fragments of y and dY: of row lane / 4 in d[0], of the row 8 further down in d[1].
template <int D>
__device__ inline void row_dots(float (&d)[2], const uint32_t (&y)[D / 16][4], const uint32_t (&dY)[D / 16][4]) {
    d[0] = d[1] = 0;
#pragma unroll
    for (int i = 0; i < D / 16; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            d[e % 2] += bits_to_float(y[i][e] << 16) * bits_to_float(dY[i][e] << 16) +
                        bits_to_float(y[i][e] & 0xffff0000u) * bits_to_float(dY[i][e] & 0xffff0000u);
    d[0] = quad_sum(d[0]), d[1] = quad_sum(d[1]);
}

/// Copies rows first .. first + n of x to shared memory [n][D + 8], zero beyond T. The 16 bytes of padding a row keep
/// ldmatrix free of bank conflicts.
template <int D>
__device__ inline void stage_rows(bf16* to, const bf16* x, int stride, int first, int n, int T) {
#pragma unroll 1  // nothing waits for a copy; unrolling would spill the accumulators for addresses
    for (int i = (int)threadIdx.x; i < n * (D / 8); i += (int)blockDim.x) {
        const int r = i / (D / 8), c = i % (D / 8) * 8;
        const bool ok = first + r < T;
        copy_async(to + r * (D + 8) + c, ok ? x + (i64)(first + r) * stride + c : x, ok);
    }
}

/// Brings rows first .. first + n of K and V to shared memory, once the block has read the rows before them.
template <int D>
__device__ inline void stage_keys(bf16* sk, bf16* sv, const bf16* k, const bf16* v, int stride, int first, int n,
                                  int T) {
    if (first > 0) __syncthreads();
    stage_rows<D>(sk, k, stride, first, n, T);
    stage_rows<D>(sv, v, stride, first, n, T);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
}

/// c[N / 8] += a b^T, b being N rows of D in shared memory: the scores or dP.
template <int D, int N>
__device__ inline void times_rows(float (&c)[N / 8][4], const uint32_t (&a)[D / 16][4], const bf16* b) {
    const int l8 = (int)threadIdx.x & 7, l4 = (int)threadIdx.x / 8 & 3;
#pragma unroll
    for (int n = 0; n < N / 16; n++)
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            uint32_t f[4];
            load_matrices<false>(f, b + (n * 16 + l8 + (l4 >> 1) * 8) * (D + 8) + k * 16 + (l4 & 1) * 8);
            mma_bf16(c[2 * n], a[k], f[0], f[1]);
            mma_bf16(c[2 * n + 1], a[k], f[2], f[3]);
        }
}

/// c[D / 8] += p b, p being accumulators [N / 8] rounded to bf16 and b N rows of D in shared memory.
template <int D, int N>
__device__ inline void times_columns(float (&c)[D / 8][4], const float (&p)[N / 8][4], const bf16* b) {
    const int l8 = (int)threadIdx.x & 7, l4 = (int)threadIdx.x / 8 & 3;
#pragma unroll
    for (int n = 0; n < N / 16; n++) {
        const uint32_t a[4] = {pack_bf16(p[2 * n][0], p[2 * n][1]), pack_bf16(p[2 * n][2], p[2 * n][3]),
                               pack_bf16(p[2 * n + 1][0], p[2 * n + 1][1]),
                               pack_bf16(p[2 * n + 1][2], p[2 * n + 1][3])};
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            uint32_t f[4];
            load_matrices<true>(f, b + (n * 16 + l8 + (l4 & 1) * 8) * (D + 8) + d * 16 + (l4 >> 1) * 8);
            mma_bf16(c[2 * d], a, f[0], f[1]);
            mma_bf16(c[2 * d + 1], a, f[2], f[3]);
        }
    }
}

/// Stores accumulators times s0 (rows 0 to 7) and s1 (rows 8 to 15) to rows of y.
template <int D>
__device__ inline void store_rows(bf16* y, int stride, int row, int T, const float (&c)[D / 8][4], float s0, float s1) {
    const int lane = (int)threadIdx.x & 31;
    const int r0 = row + lane / 4, r1 = r0 + 8;
#pragma unroll
    for (int d = 0; d < D / 8; d++) {
        const int at = d * 8 + lane % 4 * 2;
        if (r0 < T) *(uint32_t*)(y + (i64)r0 * stride + at) = pack_bf16(c[d][0] * s0, c[d][1] * s0);
        if (r1 < T) *(uint32_t*)(y + (i64)r1 * stride + at) = pack_bf16(c[d][2] * s1, c[d][3] * s1);
    }
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

/// y and lse; N keys at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps, D < 128 ? 2 : 1)
    forward_mma(AttentionArgs g, int parts, int stage, float scale2) {
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8]
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const bf16 *k = (const bf16*)g.k + head.kv, *v = (const bf16*)g.v + head.kv;
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, C = (int)(g.H * g.D), kv_stride = (int)g.kv_stride;
    const int lane = (int)threadIdx.x & 31;
    const int row = ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16;
    bf16 *sk = shared, *sv = shared + stage * (D + 8);
    uint32_t a[D / 16][4];
    left_rows<D>(a, (const bf16*)g.q + head.q, (int)g.q_stride, row, Tq);
    float o[D / 8][4], m0 = -INFINITY, m1 = -INFINITY, l0 = 0, l1 = 0;
    zero(o);
    for (int first = 0; first < Tk; first += stage) {
        stage_keys<D>(sk, sv, k, v, kv_stride, first, stage, Tk);
        if (row >= Tq) continue;  // this warp still takes part in copies and barriers
        tiles<N>(Tk - first < stage ? Tk - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4];
            zero(s);
            times_rows<D, W>(s, a, sk + at * (D + 8));
            const int left = Tk - first - at;
            if (left < W)
#pragma unroll
                for (int n = 0; n < W / 8; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (n * 8 + lane % 4 * 2 + e % 2 >= left) s[n][e] = -INFINITY;
            float x0 = m0, x1 = m1;
#pragma unroll
            for (int n = 0; n < W / 8; n++) {
                x0 = fmaxf(x0, fmaxf(s[n][0], s[n][1]));
                x1 = fmaxf(x1, fmaxf(s[n][2], s[n][3]));
            }
            x0 = quad_max(x0), x1 = quad_max(x1);
            const float c0 = exp2_fast((m0 - x0) * scale2), c1 = exp2_fast((m1 - x1) * scale2);
            m0 = x0, m1 = x1;
            l0 *= c0, l1 *= c1;
#pragma unroll
            for (int n = 0; n < W / 8; n++) {
                s[n][0] = exp2_fast((s[n][0] - m0) * scale2);
                s[n][1] = exp2_fast((s[n][1] - m0) * scale2);
                s[n][2] = exp2_fast((s[n][2] - m1) * scale2);
                s[n][3] = exp2_fast((s[n][3] - m1) * scale2);
                l0 += s[n][0] + s[n][1];
                l1 += s[n][2] + s[n][3];
            }
#pragma unroll
            for (int d = 0; d < D / 8; d++) o[d][0] *= c0, o[d][1] *= c0, o[d][2] *= c1, o[d][3] *= c1;
            times_columns<D, W>(o, s, sv + at * (D + 8));
        });
    }
    if (row >= Tq) return;
    l0 = quad_sum(l0), l1 = quad_sum(l1);
    store_rows<D>((bf16*)g.y + head.y, C, row, Tq, o, 1 / l0, 1 / l1);
    if (lane % 4 == 0) {
        float* lse = (float*)g.lse + head.row;
        const int r = row + lane / 4;
        if (r < Tq) lse[r] = m0 * scale2 * kLn2 + logf(l0);
        if (r + 8 < Tq) lse[r + 8] = m1 * scale2 * kLn2 + logf(l1);
    }
}

/// dS of 16 queries and W keys, from scores s and dP: s becomes p (dP - D_i), and 0 for keys beyond the last one, where
/// p may be infinite. e and d: lse / ln 2 and D_i of the rows lane / 4 and lane / 4 + 8.
template <int W>
__device__ inline void score_gradients(float (&s)[W / 8][4], const float (&dp)[W / 8][4], const float (&e)[2],
                                       const float (&d)[2], float scale2, int keys) {
    const int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < W / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float p = exp2_fast(s[n][i] * scale2 - e[i / 2]) * (dp[n][i] - d[i / 2]);
            s[n][i] = n * 8 + column + i % 2 < keys ? p : 0;
        }
}

/// The same with keys as rows and W queries as columns, of which every one has its e and d in shared memory: s becomes
/// p, dp becomes dS. Queries beyond the last one have e = infinity, so that p is 0.
template <int W>
__device__ inline void score_gradients(float (&s)[W / 8][4], float (&dp)[W / 8][4], const float* e, const float* d,
                                       float scale2) {
    const int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < W / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = n * 8 + column + i % 2;
            s[n][i] = exp2_fast(s[n][i] * scale2 - e[at]);
            dp[n][i] = s[n][i] * (dp[n][i] - d[at]);
        }
}

/// dQ, and D_i [B H, Tq] to scratch; N keys at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps, D < 128 ? 2 : 1)
    grad_queries(AttentionGradArgs g, int parts, int stage, float scale) {
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8]
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const bf16 *k = (const bf16*)g.k + head.kv, *v = (const bf16*)g.v + head.kv;
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, C = (int)(g.H * g.D), kv_stride = (int)g.kv_stride;
    const int lane = (int)threadIdx.x & 31;
    const int row = ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16,
              r0 = row + lane / 4, r1 = r0 + 8;
    bf16 *sk = shared, *sv = shared + stage * (D + 8);
    uint32_t a[D / 16][4], dy[D / 16][4];
    float d[2];
    left_rows<D>(a, (const bf16*)g.y + head.y, C, row, Tq);  // y, for a moment
    left_rows<D>(dy, (const bf16*)g.dY + head.y, C, row, Tq);
    row_dots<D>(d, a, dy);
    if (lane % 4 == 0) {
        float* delta = (float*)g.scratch + head.row;
        if (r0 < Tq) delta[r0] = d[0];
        if (r1 < Tq) delta[r1] = d[1];
    }
    left_rows<D>(a, (const bf16*)g.q + head.q, (int)g.q_stride, row, Tq);
    const float scale2 = scale * kLog2e, *lse = (const float*)g.lse + head.row;
    const float e[2] = {(r0 < Tq ? lse[r0] : 0) * kLog2e, (r1 < Tq ? lse[r1] : 0) * kLog2e};
    float dq[D / 8][4];
    zero(dq);
    for (int first = 0; first < Tk; first += stage) {
        stage_keys<D>(sk, sv, k, v, kv_stride, first, stage, Tk);
        if (row >= Tq) continue;
        tiles<N>(Tk - first < stage ? Tk - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4], dp[W / 8][4];
            zero(s);
            zero(dp);
            times_rows<D, W>(s, a, sk + at * (D + 8));
            times_rows<D, W>(dp, dy, sv + at * (D + 8));
            score_gradients<W>(s, dp, e, d, scale2, Tk - first - at);
            times_columns<D, W>(dq, s, sk + at * (D + 8));
        });
    }
    if (row < Tq) store_rows<D>((bf16*)g.dQ + head.q, (int)g.q_stride, row, Tq, dq, scale, scale);
}

/// dK and dV; N queries at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps) grad_keys(AttentionGradArgs g, int parts, int stage, float scale) {
    CG_SHARED(bf16, shared);  // Q, dY [stage][D + 8], then lse / ln 2 and D_i [stage]
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const bf16 *k = (const bf16*)g.k + head.kv, *v = (const bf16*)g.v + head.kv;
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, C = (int)(g.H * g.D), kv_stride = (int)g.kv_stride;
    const int row = ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16;
    bf16 *sq = shared, *sy = shared + stage * (D + 8);
    float *se = (float*)(sy + stage * (D + 8)), *sd = se + stage;
    uint32_t ka[D / 16][4], va[D / 16][4];
    left_rows<D>(ka, k, kv_stride, row, Tk);
    if (D < 128) left_rows<D>(va, v, kv_stride, row, Tk);
    const float scale2 = scale * kLog2e;
    float dk[D / 8][4], dv[D / 8][4];
    zero(dk);
    zero(dv);
    for (int first = 0; first < Tq; first += stage) {
        if (first > 0) __syncthreads();
        stage_rows<D>(sq, (const bf16*)g.q + head.q, (int)g.q_stride, first, stage, Tq);
        stage_rows<D>(sy, (const bf16*)g.dY + head.y, C, first, stage, Tq);
        copy_commit();
        for (int i = (int)threadIdx.x; i < stage; i += (int)blockDim.x) {
            const bool ok = first + i < Tq;
            se[i] = ok ? ((const float*)g.lse)[head.row + first + i] * kLog2e : INFINITY;
            sd[i] = ok ? ((const float*)g.scratch)[head.row + first + i] : 0;
        }
        copy_wait<0>();
        __syncthreads();
        if (row >= Tk) continue;
        tiles<N>(Tq - first < stage ? Tq - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4], dp[W / 8][4];
            zero(dp);
            zero(s);
            if (D == 128) left_rows<D>(va, v, kv_stride, row, Tk);  // from cache each time: too few registers
            times_rows<D, W>(dp, va, sy + at * (D + 8));
            times_rows<D, W>(s, ka, sq + at * (D + 8));
            score_gradients<W>(s, dp, se + at, sd + at, scale2);
            times_columns<D, W>(dv, s, sy + at * (D + 8));
            times_columns<D, W>(dk, dp, sq + at * (D + 8));
        });
    }
    if (row >= Tk) return;
    store_rows<D>((bf16*)g.dK + head.kv, kv_stride, row, Tk, dk, scale, scale);
    store_rows<D>((bf16*)g.dV + head.kv, kv_stride, row, Tk, dv, 1, 1);
}

/// Bytes of grad_few_queries for K and V, and for the sums of dQ after them.
template <int D>
__host__ __device__ constexpr int few_bytes(int stage) {
    const int rows = 2 * stage * (D + 8) * 2, sums = kFewWarps * 16 * D * 4;
    return rows > sums ? rows : sums;
}

/// dQ, dK and dV of a head with 16 queries at most: each of its tensors is read and written once. Each warp takes every
/// fourth tile of 16 keys; the four partial sums of dQ meet in shared memory.
template <int D>
__global__ void __launch_bounds__(32 * kFewWarps, D < 128 ? 3 : 1)
    grad_few_queries(AttentionGradArgs g, int stage, float scale) {
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8], later the sums of dQ; Q, dY [16][D + 8]; lse / ln 2 and D_i [16]
    const Head head = head_of(g, (int)blockIdx.x);
    const bf16 *k = (const bf16*)g.k + head.kv, *v = (const bf16*)g.v + head.kv;
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, C = (int)(g.H * g.D), kv_stride = (int)g.kv_stride;
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    bf16 *sk = shared, *sv = sk + stage * (D + 8), *sq = shared + few_bytes<D>(stage) / 2, *sy = sq + 16 * (D + 8);
    float *se = (float*)(sy + 16 * (D + 8)), *sd = se + 16;
    stage_rows<D>(sq, (const bf16*)g.q + head.q, (int)g.q_stride, 0, 16, Tq);
    stage_rows<D>(sy, (const bf16*)g.dY + head.y, C, 0, 16, Tq);
    float d[2], e[2];
    {
        uint32_t y[D / 16][4], dy[D / 16][4];
        left_rows<D>(y, (const bf16*)g.y + head.y, C, 0, Tq);
        left_rows<D>(dy, (const bf16*)g.dY + head.y, C, 0, Tq);
        row_dots<D>(d, y, dy);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int i = lane / 4 + 8 * r;
        e[r] = i < Tq ? ((const float*)g.lse)[head.row + i] * kLog2e : INFINITY;
        if (warp == 0 && lane % 4 == 0) se[i] = e[r], sd[i] = d[r];
    }
    const float scale2 = scale * kLog2e;
    float dq[D / 8][4];
    zero(dq);
    for (int first = 0; first < Tk; first += stage) {
        stage_keys<D>(sk, sv, k, v, kv_stride, first, stage, Tk);
#pragma unroll 1
        for (int at = warp * 16; at < stage && first + at < Tk; at += kFewWarps * 16) {
            const bf16 *tk = sk + at * (D + 8), *tv = sv + at * (D + 8);
            uint32_t a[D / 16][4];  // a left operand, from shared memory each time: registers are few
            float s[2][4], dp[2][4];
            zero(s);
            zero(dp);
            left_staged<D>(a, sq);
            times_rows<D, 16>(s, a, tk);
            left_staged<D>(a, sy);
            times_rows<D, 16>(dp, a, tv);
            score_gradients<16>(s, dp, e, d, scale2, Tk - first - at);
            times_columns<D, 16>(dq, s, tk);
            zero(s);
            zero(dp);
            left_staged<D>(a, tk);
            times_rows<D, 16>(s, a, sq);
            left_staged<D>(a, tv);
            times_rows<D, 16>(dp, a, sy);
            score_gradients<16>(s, dp, se, sd, scale2);
            float sum[D / 8][4];
            zero(sum);
            times_columns<D, 16>(sum, s, sy);
            store_rows<D>((bf16*)g.dV + head.kv, kv_stride, first + at, Tk, sum, 1, 1);
            zero(sum);
            times_columns<D, 16>(sum, dp, sq);
            store_rows<D>((bf16*)g.dK + head.kv, kv_stride, first + at, Tk, sum, scale, scale);
        }
    }
    __syncthreads();                 // all warps have read K and V
    float4* sums = (float4*)shared;  // [warp][D / 8][lane]
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        sums[(warp * (D / 8) + n) * 32 + lane] = float4{dq[n][0], dq[n][1], dq[n][2], dq[n][3]};
    __syncthreads();
#pragma unroll
    for (int n = warp; n < D / 8; n += kFewWarps) {
        float c[4] = {0, 0, 0, 0};
#pragma unroll
        for (int w = 0; w < kFewWarps; w++) {
            const float4 x = sums[(w * (D / 8) + n) * 32 + lane];
            c[0] += x.x, c[1] += x.y, c[2] += x.z, c[3] += x.w;
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int i = lane / 4 + 8 * r;
            if (i < Tq)
                *(uint32_t*)((bf16*)g.dQ + head.q + i * g.q_stride + n * 8 + lane % 4 * 2) =
                    pack_bf16(c[2 * r] * scale, c[2 * r + 1] * scale);
        }
    }
}

// ---- any type and head dimension

constexpr int kWarps = 4;
constexpr i64 kMostD = 3072;  // four rows a warp in 192 KiB of shared memory

template <class T>
__device__ inline float dot(const T* x, const float* y, int D) {
    float s = 0;
    for (int d = 0; d < D; d++) s += to_float(x[d]) * y[d];
    return s;
}

/// o[d] += sum over 32 rows of p row[d], row after row; lane j holds the p of row first + j.
template <class T>
__device__ inline void add_rows(float* o, const T* x, i64 stride, i64 first, i64 rows, float p, int D) {
    const int lane = (int)threadIdx.x & 31;
    for (int j = 0; j < 32; j++) {
        const float w = __shfl_sync(0xffffffffu, p, j);
        if (first + j < rows)
            for (int d = lane; d < D; d += 32) o[d] += w * to_float(x[(first + j) * stride + d]);
    }
}

template <class T>
__device__ inline void load_row(float* to, const T* x, int D) {
    for (int d = (int)threadIdx.x & 31; d < D; d += 32) to[d] = to_float(x[d]);
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps) forward_any(AttentionArgs g, float scale) {
    CG_SHARED(float, shared);  // q, o [warp][2][D]
    const i64 parts = (g.Tq + kWarps - 1) / kWarps;
    const Head head = head_of(g, (int)quotient(blockIdx.x, parts));
    const i64 i = remainder(blockIdx.x, parts) * kWarps + threadIdx.x / 32;
    if (i >= g.Tq) return;
    const int lane = (int)threadIdx.x & 31, D = (int)g.D;
    float *q = shared + threadIdx.x / 32 * 2 * D, *o = q + D;
    const T *k = (const T*)g.k + head.kv, *v = (const T*)g.v + head.kv;
    load_row(q, (const T*)g.q + head.q + i * g.q_stride, D);
    for (int d = lane; d < D; d += 32) o[d] = 0;
    __syncwarp();
    float m = -INFINITY, l = 0;
    for (i64 first = 0; first < g.Tk; first += 32) {
        const i64 j = first + lane;
        const float s = j < g.Tk ? dot(k + j * g.kv_stride, q, D) * scale : -INFINITY;
        float top = s;
        for (int d = 16; d > 0; d /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, d));
        top = fmaxf(top, m);
        const float p = expf(s - top), c = expf(m - top);
        l = l * c + warp_sum(p);
        m = top;
        for (int d = lane; d < D; d += 32) o[d] *= c;
        add_rows(o, v, g.kv_stride, first, g.Tk, p, D);
    }
    for (int d = lane; d < D; d += 32) ((T*)g.y)[head.y + i * g.H * D + d] = from_float<T>(o[d] / l);
    if (lane == 0) ((float*)g.lse)[head.row + i] = m + logf(l);
}

/// KEYS: a warp computes dK and dV of a key; otherwise dQ and D_i of a query.
template <class T, bool KEYS>
__global__ void __launch_bounds__(32 * kWarps) grad_any(AttentionGradArgs g, float scale) {
    CG_SHARED(float, shared);  // [warp][4][D]: the row's q, dY, dQ; or its k, v, dK, dV
    const i64 rows = KEYS ? g.Tk : g.Tq, others = KEYS ? g.Tq : g.Tk, C = g.H * g.D;
    const i64 parts = (rows + kWarps - 1) / kWarps;
    const Head head = head_of(g, (int)quotient(blockIdx.x, parts));
    const i64 i = remainder(blockIdx.x, parts) * kWarps + threadIdx.x / 32;
    if (i >= rows) return;
    const int lane = (int)threadIdx.x & 31, D = (int)g.D;
    float *x0 = shared + threadIdx.x / 32 * 4 * D, *x1 = x0 + D, *g0 = x1 + D, *g1 = g0 + D;
    const T *q = (const T*)g.q + head.q, *k = (const T*)g.k + head.kv, *v = (const T*)g.v + head.kv,
            *dy = (const T*)g.dY + head.y;
    float* delta = (float*)g.scratch + head.row;
    load_row(x0, KEYS ? k + i * g.kv_stride : q + i * g.q_stride, D);
    load_row(x1, KEYS ? v + i * g.kv_stride : dy + i * C, D);
    for (int d = lane; d < D; d += 32) g0[d] = g1[d] = 0;
    __syncwarp();
    float own = 0;
    if (!KEYS) {
        const T* y = (const T*)g.y + head.y + i * C;
        for (int d = lane; d < D; d += 32) own += x1[d] * to_float(y[d]);
        own = warp_sum(own);
        if (lane == 0) delta[i] = own;
    }
    for (i64 first = 0; first < others; first += 32) {
        const i64 j = first + lane;
        float p = 0, dS = 0;
        if (j < others) {
            const float s = (KEYS ? dot(q + j * g.q_stride, x0, D) : dot(k + j * g.kv_stride, x0, D)) * scale,
                        dP = KEYS ? dot(dy + j * C, x1, D) : dot(v + j * g.kv_stride, x1, D);
            p = expf(s - ((const float*)g.lse)[head.row + (KEYS ? j : i)]);
            dS = p * (dP - (KEYS ? delta[j] : own)) * scale;
        }
        if (KEYS) add_rows(g0, q, g.q_stride, first, others, dS, D);
        else add_rows(g0, k, g.kv_stride, first, others, dS, D);
        if (KEYS) add_rows(g1, dy, C, first, others, p, D);
    }
    for (int d = lane; d < D; d += 32)
        if (KEYS) {
            ((T*)g.dK)[head.kv + i * g.kv_stride + d] = from_float<T>(g0[d]);
            ((T*)g.dV)[head.kv + i * g.kv_stride + d] = from_float<T>(g1[d]);
        } else {
            ((T*)g.dQ)[head.q + i * g.q_stride + d] = from_float<T>(g0[d]);
        }
}

// ---- host

/// The blocks (parts) of each head and the threads of a block, for n rows, of which a warp computes 16. A head's blocks
/// are neighbours, so that its K and V stay in L2. The grid is one-dimensional: y and z end at 65,535, and a batch can
/// have more heads.
struct Split {
    i64 parts;
    int threads;
    explicit Split(i64 n) {
        const i64 tiles = ceil_div(n, 16);
        parts = ceil_div(tiles, kMostWarps);
        threads = (int)ceil_div(tiles, parts) * 32;
    }
};

/// Rows staged at a time: all T, limited by kStage and by shared memory for two such tensors.
int stage_of(i64 T, int D) {
    int n = (int)(align_up(T, 16) < kStage ? align_up(T, 16) : kStage);
    while (n > 64 && (size_t)n * ((D + 8) * 4 + 8) > most_shared()) n = n > 128 ? 128 : 64;
    return n;
}

template <int D>
void forward_bf16(const AttentionArgs& g, Stream st) {
    const Split s(g.Tq);
    const int stage = stage_of(g.Tk, D);
    // With few queries, warps without any help to copy.
    const int threads = s.threads < 32 * kFewWarps ? 32 * kFewWarps : s.threads;
    CG_LAUNCH((forward_mma<D, 32>), grid(g.B * g.H * s.parts), threads, (size_t)stage * (D + 8) * 4, st, g,
              (int)s.parts, stage, kLog2e / sqrtf((float)D));
}

template <int D>
void grad_bf16(const AttentionGradArgs& g, Stream st) {
    const float scale = 1 / sqrtf((float)D);
    const int keys = stage_of(g.Tk, D);
    if (g.Tq <= 16) {
        const size_t shared = few_bytes<D>(keys) + 2 * 16 * (D + 8) * 2 + 2 * 16 * 4;
        CG_LAUNCH((grad_few_queries<D>), grid(g.B * g.H), 32 * kFewWarps, shared, st, g, keys, scale);
        return;
    }
    const Split q(g.Tq), k(g.Tk);
    const int queries = stage_of(g.Tq, D);
    CG_LAUNCH((grad_queries<D, 16>), grid(g.B * g.H * q.parts), q.threads, (size_t)keys * (D + 8) * 4, st, g,
              (int)q.parts, keys, scale);
    CG_LAUNCH((grad_keys<D, (D == 64 ? 32 : 16)>), grid(g.B * g.H * k.parts), k.threads,
              (size_t)queries * ((D + 8) * 4 + 8), st, g, (int)k.parts, queries, scale);
}

bool mma_has(i64 D) { return D == 32 || D == 64 || D == 128; }

/// Whether every row begins at a multiple of 16 bytes, if the first ones do. Extents are int in the kernels.
template <class Args>
bool mma_rows(const Args& g) {
    return mma_has(g.D) && g.q_stride % 8 == 0 && g.kv_stride % 8 == 0;
}

bool takes_mma(const AttentionArgs& g) { return mma_rows(g) && aligned16(g.q, g.k, g.v, g.y); }
bool takes_mma_grad(const AttentionGradArgs& g) {
    return mma_rows(g) && aligned16(g.q, g.k, g.v, g.y, g.dY, g.dQ, g.dK, g.dV);
}

void mma(const AttentionArgs& g, Stream st) {
    if (g.D == 32) forward_bf16<32>(g, st);
    else if (g.D == 64) forward_bf16<64>(g, st);
    else forward_bf16<128>(g, st);
}

void mma_grad(const AttentionGradArgs& g, Stream st) {
    if (g.D == 32) grad_bf16<32>(g, st);
    else if (g.D == 64) grad_bf16<64>(g, st);
    else grad_bf16<128>(g, st);
}

void check(i64 D) {
    CG_CHECK(D <= kMostD,
             "attention: head dimension " + std::to_string(D) + ", must be at most " + std::to_string(kMostD));
}

template <class T>
void any(const AttentionArgs& g, Stream st) {
    check(g.D);
    CG_LAUNCH((forward_any<T>), grid(g.B * g.H * ceil_div(g.Tq, kWarps)), 32 * kWarps, (size_t)(kWarps * 2 * g.D * 4),
              st, g, 1 / sqrtf((float)g.D));
}

template <class T>
void any_grad(const AttentionGradArgs& g, Stream st) {
    check(g.D);
    const size_t shared = (size_t)(kWarps * 4 * g.D * 4);
    const float scale = 1 / sqrtf((float)g.D);
    CG_LAUNCH((grad_any<T, false>), grid(g.B * g.H * ceil_div(g.Tq, kWarps)), 32 * kWarps, shared, st, g, scale);
    CG_LAUNCH((grad_any<T, true>), grid(g.B * g.H * ceil_div(g.Tk, kWarps)), 32 * kWarps, shared, st, g, scale);
}

}  // namespace

i64 attention_scratch(const AttentionArgs&) { return 0; }
i64 attention_grad_scratch(const AttentionGradArgs& g) { return align_up(g.B * g.H * g.Tq * 4, 256); }

CG_IMPLEMENTATIONS(attention, float, implementation<AttentionArgs, any<float>>("any"))
CG_IMPLEMENTATIONS(attention, bf16, implementation<AttentionArgs, mma, takes_mma>("mma"),
                   CG_HOPPER(implementation<AttentionArgs, sm90::attention, sm90::takes>("wgmma"))
                       implementation<AttentionArgs, any<bf16>>("any"))
CG_IMPLEMENTATIONS(attention_grad, float, implementation<AttentionGradArgs, any_grad<float>>("any"))
CG_IMPLEMENTATIONS(attention_grad, bf16, implementation<AttentionGradArgs, mma_grad, takes_mma_grad>("mma"),
                   CG_HOPPER(implementation<AttentionGradArgs, sm90::attention_grad, sm90::takes_grad>("wgmma"))
                       implementation<AttentionGradArgs, any_grad<bf16>>("any"))

}  // namespace cg::cuda
