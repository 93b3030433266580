// SPDX-License-Identifier: Apache-2.0
// bf16 with D up to 160, on tensor cores (mma.sync): a warp computes 16 rows of one (image, head).
// Forward: rows are queries. A block stages K and V in shared memory: all of them up to 256 keys, otherwise 128 at a
// time, the next ones copied beside the products (cp.async). Scores, softmax and output stay in registers. P goes from
// the accumulators of one product straight into the operand of the next.
// Backward: two kernels without atomics. Rows are queries for dQ (and D_i, to scratch), then keys for dK and dV. The
// second kernel computes S^T and dP^T, so neither kernel transposes. With 16 queries at most, one kernel computes S and
// S^T of a block's keys, so that K and V are read once.
// Token counts are padded to 16, and head widths to 32, 48, 64, 80, 128 or 160, in registers and shared memory only.
//
// All this is the implementation "mma". Implementation "any", for other types and head widths: a warp computes a row, a
// lane a key, sums in float; for comparison and odd sizes, not for speed. Hopper has "wgmma" too (attention_sm90.cu,
// attention_tiled_sm90.cu). The lists of implementations are at the end.
//
// Registers: no spills on sm_80, sm_90a and sm_100. Tiles are as wide as registers allow (forward 32 keys; 64 and 48
// spilled 20 to 60 bytes at two blocks a multiprocessor), and tiles of 16 end a row: 197 tokens cost 208.
//   D on sm_90a            32   48   64   80   128  160
//   forward_mma            96   110  123  118  154  182   two blocks of 8 warps up to D 80
//   grad_queries           91   112  128  152  204  241   two blocks up to D 64
//   grad_keys              123  155  199  208  245  248   one block, two with D 32; from D 128 on a warp's K and V stay
//                                                         in shared memory
//   grad_few_queries       94   112  121  148  221        with D 160 it would spill 104 bytes: the two kernels instead
// Floor at B 128, T 197, 12 heads of 64 on an H200: forward 36 us, backward 72 us (bytes over 4.3 TB/s; the products
// take 20 and 50 us at 790 TFLOP/s). With one query: forward 18 us, backward 36 us (54 us for
// grad_queries and grad_keys, which would read K and V twice).
// Versions:
//   1  heads along y of the grid, at most 65,535 of them
//   2  a head's blocks neighbours along x, otherwise the same work
//   3  queries and keys of different number, each with addresses and strides of its own; grad_few_queries: 64 KiB at
//      197 keys of 64, three blocks a multiprocessor. Predictions with one query, as above: forward 20 to 25 us,
//      backward 40 to 50 us, not measured.
//   4  Head widths of 40, 56, 80, 160 and all other multiples of 8, stages of keys in two buffers, the exponent of the
//      softmax in one FMA, the comparison with the last key only in the last tile. A tile of 32 keys of D 64 takes
//      215 instructions with 32 mma and 16 ldmatrix. Predictions for 4096 x 4096 tokens, 8 heads of 40, B 2 (floor by
//      exp2: 77 us forward, 154 us backward): forward 170 to 210 us, backward 500 to 600 us, of which ldmatrix alone
//      takes 109 and 380 us; not measured. attention_tiled_sm90.cu is the faster one there.
// Tried: grad_keys with D 64 at two blocks a multiprocessor. 128 registers spill 60 bytes with tiles of 16 queries and
// 208 with 32. More would not help: ldmatrix alone takes 126 us in both kernels (attention_sm90.cu).
#include "attention/attention_head.cuh"
#include "attention/attention_sm90.cuh"
#include "device.cuh"
#include "kernels_all.h"
#include "mma.cuh"

namespace cg::cuda {

namespace {

constexpr int kStage = 128;     // most rows of a stage, if there are several
constexpr int kOneStage = 256;  // most rows of a single stage
constexpr int kMostWarps = 8;
constexpr int kFewWarps = 4;  // of a block with one tile of queries

// ---- tensor cores

/// Copies rows first .. first + n of two tensors to shared memory [2][n][D + 8], zero beyond the last row. The 16 bytes
/// of padding a row keep ldmatrix free of bank conflicts: a row is an odd number of 16 bytes.
template <int D>
__device__ inline void stage_rows(bf16* to, const HeadRows<const bf16>& x, const HeadRows<const bf16>& y, int first,
                                  int n) {
#pragma unroll 1  // nothing waits for a copy; unrolling would spill the accumulators for addresses
    for (int i = (int)threadIdx.x; i < n * (D / 8); i += (int)blockDim.x) {
        const int r = i / (D / 8), c = i % (D / 8) * 8;
        const bool ok = first + r < x.rows && c < x.columns;
        bf16* at = to + r * (D + 8) + c;
        copy_async(at, ok ? x.at(first + r) + c : x.x, ok);
        copy_async(at + n * (D + 8), ok ? y.at(first + r) + c : y.x, ok);
    }
}

/// The left operand's fragment for 16 columns, from 16 rows in registers or in shared memory.
template <int D>
__device__ inline void left_of(uint32_t (&f)[4], const uint32_t (&a)[D / 16][4], int k) {
#pragma unroll
    for (int i = 0; i < 4; i++) f[i] = a[k][i];
}
template <int D>
__device__ inline void left_of(uint32_t (&f)[4], const bf16* a, int k) {
    const int l8 = (int)threadIdx.x & 7, l4 = (int)threadIdx.x / 8 & 3;
    load_matrices<false>(f, a + (l8 + (l4 & 1) * 8) * (D + 8) + k * 16 + (l4 >> 1) * 8);
}

/// c[N / 8] += a b^T, a being 16 rows in registers or in shared memory and b N rows in shared memory: the scores or dP.
template <int D, int N, class A>
__device__ inline void times_rows(float (&c)[N / 8][4], const A& a, const bf16* b) {
    const int l8 = (int)threadIdx.x & 7, l4 = (int)threadIdx.x / 8 & 3;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t left[4];
        left_of<D>(left, a, k);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            uint32_t f[4];
            load_matrices<false>(f, b + (n * 16 + l8 + (l4 >> 1) * 8) * (D + 8) + k * 16 + (l4 & 1) * 8);
            mma_bf16(c[2 * n], left, f[0], f[1]);
            mma_bf16(c[2 * n + 1], left, f[2], f[3]);
        }
    }
}

/// c[C / 8] += p b, p being accumulators [N / 8] rounded to bf16 and b C columns of N rows of D in shared memory.
template <int D, int N, int C = D>
__device__ inline void times_columns(float (&c)[C / 8][4], const float (&p)[N / 8][4], const bf16* b) {
    const int l8 = (int)threadIdx.x & 7, l4 = (int)threadIdx.x / 8 & 3;
#pragma unroll
    for (int n = 0; n < N / 16; n++) {
        const uint32_t a[4] = {pack_bf16(p[2 * n][0], p[2 * n][1]), pack_bf16(p[2 * n][2], p[2 * n][3]),
                               pack_bf16(p[2 * n + 1][0], p[2 * n + 1][1]),
                               pack_bf16(p[2 * n + 1][2], p[2 * n + 1][3])};
#pragma unroll
        for (int d = 0; d < C / 16; d++) {
            uint32_t f[4];
            load_matrices<true>(f, b + (n * 16 + l8 + (l4 & 1) * 8) * (D + 8) + d * 16 + (l4 >> 1) * 8);
            mma_bf16(c[2 * d], a, f[0], f[1]);
            mma_bf16(c[2 * d + 1], a, f[2], f[3]);
        }
    }
}

/// Stores `scale` p b to 16 rows, p being accumulators rounded to bf16 and b 16 rows of D in shared memory; wide rows
/// in two halves, because registers are few.
template <int D>
__device__ inline void store_product(HeadRows<bf16> to, int row, const float (&p)[2][4], const bf16* b, float scale) {
    constexpr int C = D < 128 ? D : D / 2;
#pragma unroll
    for (int at = 0; at < D; at += C) {
        float sum[C / 8][4];
        zero(sum);
        times_columns<D, 16, C>(sum, p, b + at);
        store_rows<C, C == D ? fewest_columns(D) : 0>(to, row, sum, scale, scale);
        to.x += C, to.columns -= C;
    }
}

/// y and lse; N keys at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps, D < 128 ? 2 : 1)
    forward_mma(AttentionArgs g, int parts, int stage, float scale2) {
    await_inputs();
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8] of each buffer
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, row = first_row(parts);
    uint32_t a[D / 16][4];
    left_rows<D>(a, query_rows(g, head, g.q), row);
    float o[D / 8][4];
    OnlineSoftmax softmax;
    zero(o);
    auto copy = [&](int first, int buffer) {
        stage_rows<D>(shared + 2 * buffer * stage * (D + 8), key_rows(g, head, g.k), key_rows(g, head, g.v), first,
                      stage);
    };
    stages(Tk, stage, copy, [&](int first, int buffer) {
        if (row >= Tq) return;  // this warp still takes part in copies and barriers
        const bf16 *sk = shared + 2 * buffer * stage * (D + 8), *sv = sk + stage * (D + 8);
        tiles<N>(Tk - first < stage ? Tk - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4];
            zero(s);
            times_rows<D, W>(s, a, sk + at * (D + 8));
            scale_rows(o, softmax.add(s, Tk - first - at, scale2));
            times_columns<D, W>(o, s, sv + at * (D + 8));
        });
    });
    if (row >= Tq) return;
    softmax.finish();
    store_rows<D>(result_rows(g, head, g.y), anew(row), o, 1 / softmax.l[0], 1 / softmax.l[1]);
    softmax.store((float*)g.lse + head.row, row, Tq);
}

/// dQ, and D_i [B H, Tq] to scratch; N keys at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps, D <= 64 ? 2 : 1)
    grad_queries(AttentionGradArgs g, int parts, int stage, float scale) {
    await_inputs();
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8] of each buffer
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, row = first_row(parts);
    uint32_t a[D / 16][4], dy[D / 16][4];
    float2 d, e;
    gradient_rows<D>(g, head, row, a, dy, d, e);
    const float scale2 = scale * kLog2e;
    float dq[D / 8][4];
    zero(dq);
    auto copy = [&](int first, int buffer) {
        stage_rows<D>(shared + 2 * buffer * stage * (D + 8), key_rows(g, head, g.k), key_rows(g, head, g.v), first,
                      stage);
    };
    stages(Tk, stage, copy, [&](int first, int buffer) {
        if (row >= Tq) return;
        const bf16 *sk = shared + 2 * buffer * stage * (D + 8), *sv = sk + stage * (D + 8);
        tiles<N>(Tk - first < stage ? Tk - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4], dp[W / 8][4];
            zero(s);
            zero(dp);
            times_rows<D, W>(s, a, sk + at * (D + 8));
            times_rows<D, W>(dp, dy, sv + at * (D + 8));
            probabilities(s, e, scale2);
            score_gradients(dp, s, d, Tk - first - at);
            times_columns<D, W>(dq, dp, sk + at * (D + 8));
        });
    });
    if (row < Tq) store_rows<D>(query_rows(g, head, g.dQ), anew(row), dq, scale, scale);
}

/// Whether grad_keys keeps a warp's rows of K and V in shared memory, because registers are too few; and their bytes.
template <int D>
constexpr bool kKept = D >= 128;
template <int D>
constexpr int kKeptBytes = kKept<D> ? 2 * 16 * (D + 8) * 2 : 0;

/// dK and dV; N queries at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps, D <= 32 ? 2 : 1)
    grad_keys(AttentionGradArgs g, int parts, int stage, float scale) {
    await_inputs();
    // Q, dY [stage][D + 8], lse / ln 2 and D_i [stage] of each buffer; then the rows kept
    CG_SHARED(unsigned char, shared);
    const int buffer_bytes = stage * ((D + 8) * 4 + 8), own_rows = (int)(blockDim.x / 32) * 16;
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, row = first_row(parts);
    bf16* kept = (bf16*)(shared + (Tq > stage ? 2 : 1) * buffer_bytes);
    const int block_row = row - (int)threadIdx.x / 32 * 16;
    if (kKept<D>) stage_rows<D>(kept, key_rows(g, head, g.k), key_rows(g, head, g.v), block_row, own_rows);
    const bf16 *own_k = kept + (row - block_row) * (D + 8), *own_v = own_k + own_rows * (D + 8);
    uint32_t ka[D / 16][4], va[D / 16][4];
    if (!kKept<D>) {
        left_rows<D>(ka, key_rows(g, head, g.k), row);
        left_rows<D>(va, key_rows(g, head, g.v), row);
    }
    const float scale2 = scale * kLog2e;
    float dk[D / 8][4], dv[D / 8][4];
    zero(dk);
    zero(dv);
    auto copy = [&](int first, int buffer) {
        bf16 *sq = (bf16*)(shared + buffer * buffer_bytes), *sy = sq + stage * (D + 8);
        float *se = (float*)(sy + stage * (D + 8)), *sd = se + stage;
        stage_rows<D>(sq, query_rows(g, head, g.q), result_rows(g, head, g.dY), first, stage);
        for (int i = (int)threadIdx.x; i < stage; i += (int)blockDim.x) {
            const bool ok = first + i < Tq;
            se[i] = ok ? ((const float*)g.lse)[head.row + first + i] * kLog2e : INFINITY;
            sd[i] = ok ? ((const float*)g.scratch)[head.row + first + i] : 0;
        }
    };
    stages(Tq, stage, copy, [&](int first, int buffer) {
        if (row >= Tk) return;
        const bf16 *sq = (const bf16*)(shared + buffer * buffer_bytes), *sy = sq + stage * (D + 8);
        const float *se = (const float*)(sy + stage * (D + 8)), *sd = se + stage;
        tiles<N>(Tq - first < stage ? Tq - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4], dp[W / 8][4];
            zero(dp);
            zero(s);
            if constexpr (kKept<D>) {
                times_rows<D, W>(dp, own_v, sy + at * (D + 8));
                times_rows<D, W>(s, own_k, sq + at * (D + 8));
            } else {
                times_rows<D, W>(dp, va, sy + at * (D + 8));
                times_rows<D, W>(s, ka, sq + at * (D + 8));
            }
            probabilities(s, se + at, scale2);
            score_gradients(dp, s, sd + at);
            times_columns<D, W>(dv, s, sy + at * (D + 8));
            times_columns<D, W>(dk, dp, sq + at * (D + 8));
        });
    });
    if (row >= Tk) return;
    store_rows<D>(key_rows(g, head, g.dK), anew(row), dk, scale, scale);
    store_rows<D>(key_rows(g, head, g.dV), anew(row), dv, 1, 1);
}

/// Bytes of grad_few_queries for K and V, and for the sums of dQ after them.
template <int D>
__host__ __device__ constexpr int few_bytes(int stage) {
    const int rows = 2 * stage * (D + 8) * 2, sums = kFewWarps * 16 * D * 4;
    return rows > sums ? rows : sums;
}
/// Bytes after them: Q and dY, lse / ln 2 and D_i.
template <int D>
constexpr int kFewQueries = 16 * ((D + 8) * 4 + 8);

/// dQ, dK and dV of a head with 16 queries at most: each of its tensors is read and written once. Each warp takes every
/// fourth tile of 16 keys; the four partial sums of dQ meet in shared memory.
template <int D>
__global__ void __launch_bounds__(32 * kFewWarps, D <= 64   ? 3
                                                  : D < 128 ? 2
                                                            : 1)
    grad_few_queries(AttentionGradArgs g, int stage, float scale) {
    await_inputs();
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8], later the sums of dQ; Q, dY [16][D + 8]; lse / ln 2 and D_i [16]
    const Head head = head_of(g, (int)blockIdx.x);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    bf16 *sk = shared, *sv = sk + stage * (D + 8), *sq = shared + few_bytes<D>(stage) / 2, *sy = sq + 16 * (D + 8);
    float *se = (float*)(sy + 16 * (D + 8)), *sd = se + 16;
    stage_rows<D>(sq, query_rows(g, head, g.q), result_rows(g, head, g.dY), 0, 16);
    float2 d;
    {
        uint32_t y[D / 16][4], dy[D / 16][4];
        left_rows<D>(y, result_rows(g, head, g.y), 0);
        left_rows<D>(dy, result_rows(g, head, g.dY), 0);
        d = row_dots<D>(y, dy);
    }
    auto exponent = [&](int i) { return i < Tq ? ((const float*)g.lse)[head.row + i] * kLog2e : INFINITY; };
    const float2 e{exponent(lane / 4), exponent(lane / 4 + 8)};
    if (warp == 0 && lane % 4 == 0) {
        se[lane / 4] = e.x, se[lane / 4 + 8] = e.y;
        sd[lane / 4] = d.x, sd[lane / 4 + 8] = d.y;
    }
    const float scale2 = scale * kLog2e;
    float dq[D / 8][4];
    zero(dq);
    for (int first = 0; first < Tk; first += stage) {
        if (first > 0) __syncthreads();  // all warps have read the stage before
        stage_rows<D>(sk, key_rows(g, head, g.k), key_rows(g, head, g.v), first, stage);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
#pragma unroll 1
        for (int at = warp * 16; at < stage && first + at < Tk; at += kFewWarps * 16) {
            const bf16 *tk = sk + at * (D + 8), *tv = sv + at * (D + 8);
            float s[2][4], dp[2][4];  // left operands come from shared memory each time: registers are few
            zero(s);
            zero(dp);
            times_rows<D, 16>(s, sq, tk);
            times_rows<D, 16>(dp, sy, tv);
            probabilities(s, e, scale2);
            score_gradients(dp, s, d, Tk - first - at);
            times_columns<D, 16>(dq, dp, tk);
            zero(s);
            zero(dp);
            times_rows<D, 16>(s, tk, sq);
            times_rows<D, 16>(dp, tv, sy);
            probabilities(s, se, scale2);
            score_gradients(dp, s, sd);
            store_product<D>(key_rows(g, head, g.dV), first + at, s, sy, 1);
            store_product<D>(key_rows(g, head, g.dK), first + at, dp, sq, scale);
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
        if (n * 8 >= g.D) break;
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
                *(uint32_t*)(query_rows(g, head, g.dQ).at(i) + n * 8 + lane % 4 * 2) =
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
    await_inputs();
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
    await_inputs();
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
    Split(i64 n, int most_warps) {
        const i64 tiles = ceil_div(n, 16);
        parts = ceil_div(tiles, most_warps);
        threads = (int)ceil_div(tiles, parts) * 32;
    }
};

/// Stages of rows of two tensors in shared memory: the rows of one, and the bytes of all buffers.
struct Stages {
    int rows, bytes;
    /// For n rows of `row` bytes in both tensors together, beside `kept` bytes.
    Stages(i64 n, int row, int kept = 0) {
        const i64 room = (i64)most_shared() - kept, all = align_up(n, 16);
        rows = (int)all, bytes = (int)(all * row);
        if (all <= kOneStage && bytes <= room) return;
        for (rows = kStage; 2ll * rows * row > room && rows > 16;) rows /= 2;
        bytes = 2 * rows * row;
    }
};

template <int D>
void forward_bf16(const AttentionArgs& g, Stream st) {
    const Split s(g.Tq, kMostWarps);
    const Stages keys(g.Tk, (D + 8) * 4);
    // With few queries, warps without any help to copy.
    const int threads = s.threads < 32 * kFewWarps ? 32 * kFewWarps : s.threads;
    CG_LAUNCH((forward_mma<D, (D <= 64 ? 32 : 16)>), grid(g.B * g.H * s.parts), threads, (size_t)keys.bytes, st, g,
              (int)s.parts, keys.rows, kLog2e / sqrtf((float)g.D));
}

template <int D>
void grad_bf16(const AttentionGradArgs& g, Stream st) {
    const float scale = 1 / sqrtf((float)g.D);
    if constexpr (D < 160)  // registers would spill
        if (g.Tq <= 16) {
            const Stages keys(g.Tk, (D + 8) * 4, kFewQueries<D>);
            CG_LAUNCH((grad_few_queries<D>), grid(g.B * g.H), 32 * kFewWarps,
                      (size_t)(few_bytes<D>(keys.rows) + kFewQueries<D>), st, g, keys.rows, scale);
            return;
        }
    const Stages keys(g.Tk, (D + 8) * 4);
    const Split q(g.Tq, kMostWarps);
    CG_LAUNCH((grad_queries<D, 16>), grid(g.B * g.H * q.parts), q.threads, (size_t)keys.bytes, st, g, (int)q.parts,
              keys.rows, scale);
    const Split k(g.Tk, D <= 128 ? kMostWarps : kMostWarps / 2);  // the rows kept of 160 columns fill shared memory
    const int kept = k.threads / 32 * kKeptBytes<D>;
    const Stages queries(g.Tq, (D + 8) * 4 + 8, kept);
    CG_LAUNCH((grad_keys<D, (D == 64 || D == 128 ? 32 : 16)>), grid(g.B * g.H * k.parts), k.threads,
              (size_t)(queries.bytes + kept), st, g, (int)k.parts, queries.rows, scale);
}

constexpr i64 kMostMma = 160;

/// Whether every row begins at a multiple of 16 bytes, if the first ones do. Extents are int in the kernels.
template <class Args>
bool mma_rows(const Args& g) {
    return g.D % 8 == 0 && g.D <= kMostMma && g.q_stride % 8 == 0 && g.kv_stride % 8 == 0;
}

bool takes_mma(const AttentionArgs& g) { return mma_rows(g) && aligned16(g.q, g.k, g.v, g.y); }
bool takes_mma_grad(const AttentionGradArgs& g) {
    return mma_rows(g) && aligned16(g.q, g.k, g.v, g.y, g.dY, g.dQ, g.dK, g.dV);
}

/// Calls f(width) for the narrowest width of registers and shared memory that holds D columns.
template <class F>
void padded(i64 D, F&& f) {
    if (D <= 32) f(std::integral_constant<int, 32>());
    else if (D <= 48) f(std::integral_constant<int, 48>());
    else if (D <= 64) f(std::integral_constant<int, 64>());
    else if (D <= 80) f(std::integral_constant<int, 80>());
    else if (D <= 128) f(std::integral_constant<int, 128>());
    else f(std::integral_constant<int, 160>());
}

void mma(const AttentionArgs& g, Stream st) {
    padded(g.D, [&](auto width) { forward_bf16<decltype(width)::value>(g, st); });
}

void mma_grad(const AttentionGradArgs& g, Stream st) {
    padded(g.D, [&](auto width) { grad_bf16<decltype(width)::value>(g, st); });
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

// Implementations and what they take. The first that takes the arguments computes them.
//   mma    bf16   D 8 to 160, a multiple of 8; any Tq and Tk; every card
//   wgmma  bf16   D 40 to 160 (gradient: to 128), a multiple of 8; Tq from 64 on; compute capability 9.0
//   any    all    D to 3072
// wgmma and mma also want addresses and strides that are multiples of 16 bytes.
// "wgmma" stands behind "mma", although it is predicted to be the faster one, until a card has shown that it reads its
// descriptors as the simulation does. -Dcortigan.cuda.attention=wgmma prefers it.
CG_IMPLEMENTATIONS(attention, float, implementation<AttentionArgs, any<float>>("any"))
CG_IMPLEMENTATIONS(attention, bf16, implementation<AttentionArgs, mma, takes_mma>("mma"),
                   CG_HOPPER(implementation<AttentionArgs, sm90::attention, sm90::takes>("wgmma"))
                       implementation<AttentionArgs, any<bf16>>("any"))
CG_IMPLEMENTATIONS(attention_grad, float, implementation<AttentionGradArgs, any_grad<float>>("any"))
CG_IMPLEMENTATIONS(attention_grad, bf16, implementation<AttentionGradArgs, mma_grad, takes_mma_grad>("mma"),
                   CG_HOPPER(implementation<AttentionGradArgs, sm90::attention_grad, sm90::takes_grad>("wgmma"))
                       implementation<AttentionGradArgs, any_grad<bf16>>("any"))

}  // namespace cg::cuda
