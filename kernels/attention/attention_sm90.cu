// SPDX-License-Identifier: Apache-2.0
// Patch attention on Hopper's wgmma: bf16, D 64, as many queries as keys, up to 208 (formulas: attention.h).
// attention_tiled_sm90.cu has the other shapes of "wgmma", attention.cu the other implementations.
// A block is one warpgroup and computes one (image, head). Three blocks share a multiprocessor, so that one loads or
// takes exponentials while another multiplies. The block walks over tiles of 64 rows; their other operand stays in
// shared memory (cp.async, 128-byte swizzle).
// Forward: registers hold a whole row of scores, so the softmax is exact in one pass, and P goes from accumulators to
// operand.
// Backward: one kernel without atomics or scratch. Rows are queries for dQ, then keys for dK and dV. While the tensor
// cores compute dP the warps take exponentials of the scores, while they compute dV the warps prepare dS.
// Deterministic: one warpgroup adds up in a fixed order.
//
// Cost of one (image, head) at T 197. wgmma takes N / 2 clocks for m64nNk16, a clock does 16 exp2; times for B 128, 12
// heads on 132 multiprocessors at 1.75 GHz, bytes over 4.3 TB/s:
//                         forward                      backward
//   registers, shared     168, 59 KiB                  168, 70 KiB      no spills
//   wgmma, mma            84, 0: 3264 clocks, 22 us    285, 728: 9752 clocks (mma at wgmma's rate), 65 us
//   exp2                  51,200: 3200 clocks, 21 us   86,528: 5408 clocks, 36 us
//   bytes                 101 KB: 36 us                202 KB with y: 72 us
// Floor, by bytes: forward 36 us, backward 72 us.
// attention.cu for comparison:
//   mma                   2704: 2704 clocks, 18 us     9464: 9464 clocks, 63 us (both at wgmma's rate)
//   ldmatrix.x4           1352: 5408 clocks, 36 us     4732: 18,928 clocks, 126 us (128 bytes a clock)
//
// 197 rows are three tiles and 5 rows. Backward computes these 5 with mma.sync, columns divided among the warps: a
// single warp would hold its tensor core as long as a tile holds all four. Forward makes them a fourth tile, because
// memory takes longer anyway.
// Predictions, of attention.cu too, not measured: forward 42 to 48 us against 55 to 65, backward 80 to 95 against 140
// to 170 (goals 44 and 90).
//
// Versions of the backward pass, judged by SASS alone:
//   1. A wait after every pair of products: 161 registers, predicted 85 to 100 us.
//   2. dP and dV in flight beside the exponentials and dS: 168 registers. ptxas moves most of dQ's exponentials
//      behind the wait for dP, because nothing ties them to an earlier product.
// Tried: P beside 200 scores does not fit 128 registers (four blocks a multiprocessor). A from registers, or one
// accumulator of 200 or two of 104 columns, spilled at 168.
#include "attention_sm90.cuh"

#include "attention_head.cuh"
#include "wgmma.cuh"

#if defined(CG_SM90A) || defined(CG_SIM)

namespace cg::cuda::sm90 {

namespace {

constexpr int kD = 64;
constexpr int kThreads = 128;

/// Stores accumulators times s0 (rows 0 to 7) and s1 (rows 8 to 15) to 16 rows of y.
__device__ inline void store_rows(bf16* y, int stride, int row, int T, const float (&c)[8][4], float s0, float s1) {
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float s = r ? s1 : s0;
            uint32_t v[4];
#pragma unroll
            for (int j = 0; j < 4; j++) v[j] = pack_bf16(c[4 * h + j][2 * r] * s, c[4 * h + j][2 * r + 1] * s);
            quad_transpose(v);
            const int i = row + lane / 4 + 8 * r;
            if (i < T)
                *(int4*)(y + (i64)i * stride + h * 32 + lane % 4 * 8) =
                    int4{(int)v[0], (int)v[1], (int)v[2], (int)v[3]};
        }
}

/// Copies rows first .. first + n of x to swizzled shared memory, zero beyond T.
__device__ inline void stage_rows(bf16* to, const bf16* x, int stride, int first, int n, int T) {
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < n * 8; i += kThreads) {
        const int r = i / 8, c = i % 8;
        const bool ok = first + r < T;
        copy_async(to + swizzled(r, c), ok ? x + (i64)(first + r) * stride + c * 8 : x, ok);
    }
}

template <int N8, bool SUM>
__device__ inline void across(float (&s)[N8][4], uint64_t a, uint64_t b) {
    constexpr int W = 14, rest = N8 % W;
#pragma unroll
    for (int n = 0; n < N8 / W * W; n += W) wgmma<W, false, SUM>(s + n, a, b + n * 64);
    if constexpr (rest > 0) wgmma<rest, false, SUM>(s + N8 - rest, a, b + (N8 - rest) * 64);
}

/// y and lse. Scores have N columns, of which T are keys.
template <int N>
__global__ void __launch_bounds__(kThreads, 3) forward_wgmma(AttentionArgs g, float scale2) {
    await_inputs();
    CG_SHARED_SWIZZLED(bf16, shared);  // K [N][64], V [N16][64], Q [64][64]
    constexpr int N16 = (N + 15) / 16 * 16;
    const Head head = head_of(g, (int)blockIdx.x);
    const int T = (int)g.Tk, C = (int)g.H * kD, q_stride = (int)g.q_stride, kv_stride = (int)g.kv_stride;
    const bf16* q = (const bf16*)g.q + head.q;
    const int lane = (int)threadIdx.x & 31, warp_row = (int)threadIdx.x / 32 * 16;
    bf16 *sk = shared, *sv = sk + N * kD, *sq = sv + N16 * kD;
    stage_rows(sq, q, q_stride, 0, 64, T);
    stage_rows(sk, (const bf16*)g.k + head.kv, kv_stride, 0, N, T);
    copy_commit();
    stage_rows(sv, (const bf16*)g.v + head.kv, kv_stride, 0, N16, T);
    copy_commit();
    copy_wait<1>();
#pragma unroll 1
    for (int first = 0; first < T; first += 64) {
        const int row = first + warp_row;
        wgmma_fence();
        __syncthreads();
        float s[N / 8][4];
        wgmma_begin();
        across<N / 8, false>(s, swizzled_rows(sq), swizzled_rows(sk));
#pragma unroll
        for (int k = 1; k < 4; k++)
            across<N / 8, true>(s, swizzled_rows(sq) + k * kAlongRow, swizzled_rows(sk) + k * kAlongRow);
        wgmma_commit();
        wgmma_wait<0>(s);
        __syncthreads();  // all warps have read Q
        if (first + 64 < T) stage_rows(sq, q, q_stride, first + 64, 64, T);
        copy_commit();
#pragma unroll
        for (int n = 0; n < N / 8; n++)
            if (n == N / 8 - 1 || T <= N - 8)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (n * 8 + lane % 4 * 2 + e % 2 >= T) s[n][e] = -INFINITY;
        float m0 = -INFINITY, m1 = -INFINITY, l0 = 0, l1 = 0;
#pragma unroll
        for (int n = 0; n < N / 8; n++) {
            m0 = fmaxf(m0, fmaxf(s[n][0], s[n][1]));
            m1 = fmaxf(m1, fmaxf(s[n][2], s[n][3]));
        }
        m0 = quad_max(m0) * scale2, m1 = quad_max(m1) * scale2;
        uint32_t p[N16 / 16][4];
#pragma unroll
        for (int n = 0; n < N / 8; n++) {
            s[n][0] = exp2_fast(s[n][0] * scale2 - m0);
            s[n][1] = exp2_fast(s[n][1] * scale2 - m0);
            s[n][2] = exp2_fast(s[n][2] * scale2 - m1);
            s[n][3] = exp2_fast(s[n][3] * scale2 - m1);
            l0 += s[n][0] + s[n][1];
            l1 += s[n][2] + s[n][3];
            p[n / 2][n % 2 * 2] = pack_bf16(s[n][0], s[n][1]);
            p[n / 2][n % 2 * 2 + 1] = pack_bf16(s[n][2], s[n][3]);
        }
        if (N < N16) p[N16 / 16 - 1][2] = p[N16 / 16 - 1][3] = 0;
        if (first == 0) {
            copy_wait<1>();
            wgmma_fence();
            __syncthreads();
        }
        float o[8][4];
        wgmma_begin(p);
        wgmma<8, true, false>(o, p[0], swizzled_rows(sv));
#pragma unroll
        for (int k = 1; k < N16 / 16; k++) wgmma<8, true, true>(o, p[k], swizzled_rows(sv) + k * kAlongRows);
        wgmma_commit();
        wgmma_wait<0>(o, p);
        l0 = quad_sum(l0), l1 = quad_sum(l1);
        store_rows((bf16*)g.y + head.y, C, row, T, o, 1 / l0, 1 / l1);
        if (lane % 4 == 0) {
            float* lse = (float*)g.lse + head.row;
            const int r = row + lane / 4;
            if (r < T) lse[r] = m0 * kLn2 + logf(l0);
            if (r + 8 < T) lse[r + 8] = m1 * kLn2 + logf(l1);
        }
        copy_wait<0>();
    }
}

/// c [W] = products of rows of a with rows of b, over all of D.
template <int W>
__device__ inline void dots(float (&c)[W][4], const bf16* a, const bf16* b) {
    wgmma<W, false, false>(c, swizzled_rows(a), swizzled_rows(b));
#pragma unroll
    for (int k = 1; k < kD / 16; k++)
        wgmma<W, false, true>(c, swizzled_rows(a) + k * kAlongRow, swizzled_rows(b) + k * kAlongRow);
}

/// Begins the scores s (rows of a0 by rows of b0) and dP (rows of a1 by rows of b1) of a tile, and waits for the
/// scores: dP is still in flight while the caller takes exponentials.
template <int W>
__device__ inline void begin_dots(float (&s)[W][4], float (&dp)[W][4], const bf16* a0, const bf16* a1, const bf16* b0,
                                  const bf16* b1) {
    wgmma_begin();
    dots<W>(s, a0, b0);
    wgmma_commit();
    dots<W>(dp, a1, b1);
    wgmma_commit();
    wgmma_wait<1>(s);
}

/// c += a times 8 W rows of b.
template <int W>
__device__ inline void add_rows(float (&c)[8][4], const uint32_t (&a)[W / 2][4], const bf16* b) {
#pragma unroll
    for (int k = 0; k < W / 2; k++) wgmma<8, true, true>(c, a[k], swizzled_rows(b) + k * kAlongRows);
}

/// D_i of a row: the sum of y dY, in all lanes of the row's quad; 0 beyond T.
__device__ inline float row_dot(const bf16* y, const bf16* dY, int stride, int row, int T) {
    float s = 0;
    if (row < T)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float a[8], b[8];
            const i64 at = (i64)row * stride + h * 32 + (threadIdx.x & 3) * 8;
            load_vec(y + at, a);
            load_vec(dY + at, b);
#pragma unroll
            for (int i = 0; i < 8; i++) s += a[i] * b[i];
        }
    return quad_sum(s);
}

constexpr int kN = 208;  // rows that the backward pass keeps in shared memory

/// Gradients of a head's last rows, 16 at most, on mma.sync: a wgmma tile would cost as much as 64 rows.
/// The rows at t0 and t1 are multiplied by those at s0 and s1; each warp takes a quarter of the latter, 16 at a time,
/// and the four partial sums meet in s0. KEYS: dK to to0 and dV to to1, else dQ to to0.
template <bool KEYS>
__device__ inline void last_rows(bf16* to0, bf16* to1, i64 stride, const bf16* t0, const bf16* t1, bf16* s0,
                                 const bf16* s1, const float* se, const float* sd, int first, int T, float scale) {
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32, l8 = lane & 7, l4 = lane / 8;
    const float scale2 = scale * kLog2e;
    float g0[8][4], g1[8][4];  // g1 for KEYS alone
    zero(g0);
    zero(g1);
#pragma unroll 1
    for (int at = warp * 16; at < T; at += 64) {
        float s[2][4], dp[2][4];
        zero(s);
        zero(dp);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const int own = swizzled(l8 + (l4 & 1) * 8, 2 * k + (l4 >> 1)),
                      other = swizzled(at + l8 + (l4 >> 1) * 8, 2 * k + (l4 & 1));
            uint32_t a[4], f[4];
            load_matrices<false>(a, t0 + own);
            load_matrices<false>(f, s0 + other);
            mma_bf16(s[0], a, f[0], f[1]);
            mma_bf16(s[1], a, f[2], f[3]);
            load_matrices<false>(a, t1 + own);
            load_matrices<false>(f, s1 + other);
            mma_bf16(dp[0], a, f[0], f[1]);
            mma_bf16(dp[1], a, f[2], f[3]);
        }
        uint32_t p[4], ds[4];
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const int row = first + lane / 4 + 8 * r, col = at + n * 8 + lane % 4 * 2;
                float x[2], y[2];
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int query = KEYS ? col + e : row;
                    x[e] = exp2_fast(s[n][2 * r + e] * scale2 - se[query]);
                    y[e] = KEYS || col + e < T ? x[e] * (dp[n][2 * r + e] - sd[query])
                                               : 0;  // x may be infinite at keys beyond T
                }
                p[2 * n + r] = pack_bf16(x[0], x[1]);
                ds[2 * n + r] = pack_bf16(y[0], y[1]);
            }
#pragma unroll
        for (int d = 0; d < 4; d++) {
            const int other = swizzled(at + l8 + (l4 & 1) * 8, 2 * d + (l4 >> 1));
            uint32_t f[4];
            load_matrices<true>(f, s0 + other);
            mma_bf16(g0[2 * d], ds, f[0], f[1]);
            mma_bf16(g0[2 * d + 1], ds, f[2], f[3]);
            if (KEYS) {
                load_matrices<true>(f, s1 + other);
                mma_bf16(g1[2 * d], p, f[0], f[1]);
                mma_bf16(g1[2 * d + 1], p, f[2], f[3]);
            }
        }
    }
    __syncthreads();             // all warps have read s0
    float4* smem = (float4*)s0;  // [2][warp][n][lane]
#pragma unroll
    for (int n = 0; n < 8; n++) {
        smem[(warp * 8 + n) * 32 + lane] = float4{g0[n][0], g0[n][1], g0[n][2], g0[n][3]};
        if (KEYS) smem[((4 + warp) * 8 + n) * 32 + lane] = float4{g1[n][0], g1[n][1], g1[n][2], g1[n][3]};
    }
    __syncthreads();
#pragma unroll
    for (int v = 0; v < (KEYS ? 2 : 1); v++)
#pragma unroll
        for (int n = 2 * warp; n < 2 * warp + 2; n++) {
            float sum[4] = {0, 0, 0, 0};
#pragma unroll
            for (int w = 0; w < 4; w++) {
                const float4 c = smem[((4 * v + w) * 8 + n) * 32 + lane];
                sum[0] += c.x, sum[1] += c.y, sum[2] += c.z, sum[3] += c.w;
            }
            const float f = v ? 1 : scale;
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const int row = first + lane / 4 + 8 * r;
                if (row < T)
                    *(uint32_t*)((v ? to1 : to0) + row * stride + n * 8 + lane % 4 * 2) =
                        pack_bf16(sum[2 * r] * f, sum[2 * r + 1] * f);
            }
        }
}

/// dQ (rows are queries), then dK and dV (rows are keys). The second half reads again what the first read, from L2.
__global__ void __launch_bounds__(kThreads, 3) grad_wgmma(AttentionGradArgs g, float scale) {
    await_inputs();
    CG_SHARED_SWIZZLED(bf16, shared);  // K, V [kN][64], Q, dY [64][64]; then Q, dY [kN][64], K, V [64][64]
    const Head head = head_of(g, (int)blockIdx.x);
    const int T = (int)g.Tk, C = (int)g.H * kD, q_stride = (int)g.q_stride, kv_stride = (int)g.kv_stride;
    const bf16 *q = (const bf16*)g.q + head.q, *k = (const bf16*)g.k + head.kv, *v = (const bf16*)g.v + head.kv,
               *y = (const bf16*)g.y + head.y, *dY = (const bf16*)g.dY + head.y;
    bf16 *dQ = (bf16*)g.dQ + head.q, *dK = (bf16*)g.dK + head.kv, *dV = (bf16*)g.dV + head.kv;
    const float* lse = (const float*)g.lse + head.row;
    const int lane = (int)threadIdx.x & 31, warp_row = (int)threadIdx.x / 32 * 16;
    bf16 *s0 = shared, *s1 = s0 + kN * kD, *t0 = s1 + kN * kD, *t1 = t0 + 64 * kD;
    float *se = (float*)(t1 + 64 * kD), *sd = se + kN;  // lse / ln 2 and D_i [kN]
    stage_rows(t0, q, q_stride, 0, 64, T);
    stage_rows(t1, dY, C, 0, 64, T);
    stage_rows(s0, k, kv_stride, 0, kN, T);
    stage_rows(s1, v, kv_stride, 0, kN, T);
    copy_commit();
    for (int i = (int)threadIdx.x; i < kN; i += kThreads)
        se[i] = i < T ? lse[i] * kLog2e : INFINITY;  // p is 0 beyond T
    for (int r = (int)threadIdx.x / 4; r < kN; r += kThreads / 4) {
        const float d = row_dot(y, dY, C, r, T);
        if (lane % 4 == 0) sd[r] = d;
    }
    const float scale2 = scale * kLog2e;
    int first = 0;
#pragma unroll 1
    for (; T - first > 16; first += 64) {
        copy_wait<0>();
        wgmma_fence();
        __syncthreads();
        const int r0 = first + warp_row + lane / 4, r1 = r0 + 8;
        const float d0 = r0 < T ? sd[r0] : 0, d1 = r1 < T ? sd[r1] : 0, e0 = r0 < T ? se[r0] : INFINITY,
                    e1 = r1 < T ? se[r1] : INFINITY;
        float dq[8][4];
        zero(dq);
        auto keys = [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W][4], dp[W][4];
            begin_dots<W>(s, dp, t0, t1, s0 + at * kD, s1 + at * kD);
#pragma unroll
            for (int n = 0; n < W; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[n][e] = exp2_fast(s[n][e] * scale2 - (e < 2 ? e0 : e1));
            wgmma_wait<0>(dp);
            const int left = T - at;
            uint32_t ds[W / 2][4];
#pragma unroll
            for (int n = 0; n < W; n++) {
#pragma unroll
                for (int e = 0; e < 4; e++) s[n][e] *= dp[n][e] - (e < 2 ? d0 : d1);
                if (left < 8 * W)  // keys beyond T are zero, but p may be infinite there
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (n * 8 + lane % 4 * 2 + e % 2 >= left) s[n][e] = 0;
                ds[n / 2][n % 2 * 2] = pack_bf16(s[n][0], s[n][1]);
                ds[n / 2][n % 2 * 2 + 1] = pack_bf16(s[n][2], s[n][3]);
            }
            wgmma_begin(dq, ds);
            add_rows<W>(dq, ds, s0 + at * kD);
            wgmma_commit();
            wgmma_wait<0>(dq, ds);
        };
        keys(std::integral_constant<int, 8>(), 0);
        keys(std::integral_constant<int, 8>(), 64);
        keys(std::integral_constant<int, 10>(), 128);
        __syncthreads();  // all warps have read Q and dY
        if (first + 64 < T) {
            stage_rows(t0, q, q_stride, first + 64, 64, T);
            stage_rows(t1, dY, C, first + 64, 64, T);
        }
        copy_commit();
        store_rows(dQ, q_stride, first + warp_row, T, dq, scale, scale);
    }
    if (first < T) {
        copy_wait<0>();
        __syncthreads();
        last_rows<false>(dQ, dQ, q_stride, t0, t1, s0, s1, se, sd, first, T, scale);
        __syncthreads();
    }
    stage_rows(t0, k, kv_stride, 0, 64, T);
    stage_rows(t1, v, kv_stride, 0, 64, T);
    stage_rows(s0, q, q_stride, 0, kN, T);
    stage_rows(s1, dY, C, 0, kN, T);
    copy_commit();
#pragma unroll 1
    for (first = 0; T - first > 16; first += 64) {
        copy_wait<0>();
        wgmma_fence();
        __syncthreads();
        float dk[8][4], dv[8][4];
        zero(dk);
        zero(dv);
        auto queries = [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W][4], dp[W][4];
            begin_dots<W>(s, dp, t0, t1, s0 + at * kD, s1 + at * kD);
            uint32_t p[W / 2][4], ds[W / 2][4];
#pragma unroll
            for (int n = 0; n < W; n++) {
                const float2 e = *(const float2*)(se + at + n * 8 + lane % 4 * 2);
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    s[n][2 * r] = exp2_fast(s[n][2 * r] * scale2 - e.x);
                    s[n][2 * r + 1] = exp2_fast(s[n][2 * r + 1] * scale2 - e.y);
                    p[n / 2][n % 2 * 2 + r] = pack_bf16(s[n][2 * r], s[n][2 * r + 1]);
                }
            }
            wgmma_begin(dv, p);
            add_rows<W>(dv, p, s1 + at * kD);
            wgmma_commit();
            wgmma_wait<1>(dp);  // dV is in flight
#pragma unroll
            for (int n = 0; n < W; n++) {
                const float2 d = *(const float2*)(sd + at + n * 8 + lane % 4 * 2);
#pragma unroll
                for (int r = 0; r < 2; r++)
                    ds[n / 2][n % 2 * 2 + r] =
                        pack_bf16(s[n][2 * r] * (dp[n][2 * r] - d.x), s[n][2 * r + 1] * (dp[n][2 * r + 1] - d.y));
            }
            wgmma_begin(dk, ds);
            add_rows<W>(dk, ds, s0 + at * kD);
            wgmma_commit();
            wgmma_wait<0>(dk, dv, p, ds);
        };
#pragma unroll  // otherwise registers spill
        for (int at = 0; at < kN - 16; at += 64) queries(std::integral_constant<int, 8>(), at);
        queries(std::integral_constant<int, 2>(), kN - 16);
        __syncthreads();  // all warps have read K and V
        if (first + 64 < T) {
            stage_rows(t0, k, kv_stride, first + 64, 64, T);
            stage_rows(t1, v, kv_stride, first + 64, 64, T);
        }
        copy_commit();
        store_rows(dK, kv_stride, first + warp_row, T, dk, scale, scale);
        store_rows(dV, kv_stride, first + warp_row, T, dv, 1, 1);
    }
    if (first < T) {
        copy_wait<0>();
        __syncthreads();
        last_rows<true>(dK, dV, kv_stride, t0, t1, s0, s1, se, sd, first, T, scale);
    }
}

template <int N>
void forward(const AttentionArgs& g, Stream st) {
    CG_LAUNCH((forward_wgmma<N>), grid(g.B * g.H), kThreads, (size_t)(N + (N + 15) / 16 * 16 + 64) * kD * 2, st, g,
              kLog2e / sqrtf((float)kD));
}

/// Whether a block can keep a whole head in shared memory. The tiled kernels would read K and V from L2 several times.
template <class Args>
bool one_pass(const Args& g) {
    return g.D == kD && g.Tq == g.Tk && g.Tk <= kN;
}

constexpr size_t kHopperShared = 227 << 10;  // bytes of a block; the simulation can have another card's

/// Fewer than 64 queries leave a tile of 64 rows partly empty, where mma.sync has tiles of 16. Every row begins at a
/// multiple of 16 bytes, if the first ones do.
template <class Args>
bool fits(const Args& g) {
    return g.Tq >= 64 && g.q_stride % 8 == 0 && g.kv_stride % 8 == 0 && hopper() && most_shared() >= kHopperShared;
}

}  // namespace

bool takes(const AttentionArgs& g) { return tiled_fits(g.D) && fits(g) && aligned16(g.q, g.k, g.v, g.y); }
bool takes_grad(const AttentionGradArgs& g) {
    return tiled_fits_grad(g.D) && fits(g) && aligned16(g.q, g.k, g.v, g.y, g.dY, g.dQ, g.dK, g.dV);
}

void attention(const AttentionArgs& g, Stream st) {
    if (!one_pass(g)) attention_tiled(g, st);
    else if (g.Tk <= 200) forward<200>(g, st);
    else forward<208>(g, st);
}

void attention_grad(const AttentionGradArgs& g, Stream st) {
    if (!one_pass(g)) return attention_tiled_grad(g, st);
    CG_LAUNCH((grad_wgmma), grid(g.B * g.H), kThreads, (2 * kN + 2 * 64) * kD * 2 + kN * 8, st, g,
              1 / sqrtf((float)kD));
}

}  // namespace cg::cuda::sm90

#endif
