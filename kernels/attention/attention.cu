// SPDX-License-Identifier: Apache-2.0
// bf16 with D 32, 64 or 128, on tensor cores (mma.sync): a warp computes 16 rows of one (image, head).
// Forward: rows are queries. A block stages K and V in shared memory, up to 256 keys at a time; scores, softmax and
// output stay in registers. P goes from the accumulators of one product straight into the operand of the next.
// Backward: two kernels without atomics. Rows are queries for dQ (and D_i, to scratch), then keys for dK and dV. The
// second kernel computes S^T and dP^T, so neither kernel transposes.
// Token counts are padded to 16 in registers only.
//
// All this is the implementation "mma". Implementation "any", for other types and head dimensions: a warp computes a
// row, a lane a key, sums in float; for comparison and odd sizes, not for speed.
//
// Registers: no spills on sm_80, sm_90a and sm_100. Tiles are as wide as registers allow (forward 32 keys; 64 and 48
// spilled 20 to 60 bytes at two blocks a multiprocessor), and tiles of 16 end a row: 197 tokens cost 208.
// Floor at B 128, T 197, 12 heads of 64 on an H200: forward 36 us, backward 72 us (bytes over 4.3 TB/s; the products
// take 20 and 50 us at 790 TFLOP/s).
// Versions: heads along y of the grid, at most 65,535 of them; this one, with a head's blocks neighbours along x and
// otherwise the same work; attention_sm90.cu, implementation "wgmma",
// preferred on request.
#include "attention/attention_sm90.cuh"
#include "device.cuh"
#include "kernels_all.h"
#include "mma.cuh"

namespace cg::cuda {

namespace {

constexpr int kStage = 256;  // most rows in shared memory at a time
constexpr int kMostWarps = 8;

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
    forward_mma(const bf16* qkv, bf16* y, float* lse, int T, int H, int parts, int stage, float scale2) {
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8]
    const int C = H * D, bh = (int)blockIdx.x / parts, b = bh / H, h = bh % H;
    const bf16 *q = qkv + (i64)b * T * 3 * C + h * D, *k = q + C, *v = k + C;
    const int lane = (int)threadIdx.x & 31;
    const int row = ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16;
    bf16 *sk = shared, *sv = shared + stage * (D + 8);
    uint32_t a[D / 16][4];
    left_rows<D>(a, q, 3 * C, row, T);
    float o[D / 8][4], m0 = -INFINITY, m1 = -INFINITY, l0 = 0, l1 = 0;
    zero(o);
    for (int first = 0; first < T; first += stage) {
        if (first > 0) __syncthreads();
        stage_rows<D>(sk, k, 3 * C, first, stage, T);
        stage_rows<D>(sv, v, 3 * C, first, stage, T);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
        if (row >= T) continue;  // this warp still takes part in copies and barriers
        tiles<N>(T - first < stage ? T - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4];
            zero(s);
            times_rows<D, W>(s, a, sk + at * (D + 8));
            const int left = T - first - at;
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
    if (row >= T) return;
    l0 = quad_sum(l0), l1 = quad_sum(l1);
    store_rows<D>(y + (i64)b * T * C + h * D, C, row, T, o, 1 / l0, 1 / l1);
    if (lane % 4 == 0) {
        const int r = row + lane / 4;
        if (r < T) lse[(i64)bh * T + r] = m0 * scale2 * kLn2 + logf(l0);
        if (r + 8 < T) lse[(i64)bh * T + r + 8] = m1 * scale2 * kLn2 + logf(l1);
    }
}

/// dQ, and D_i [B H, T]; N keys at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps, D < 128 ? 2 : 1)
    grad_queries(const bf16* qkv, const bf16* y, const float* lse, const bf16* dY, bf16* dQKV, float* delta, int T,
                 int H, int parts, int stage, float scale) {
    CG_SHARED(bf16, shared);  // K, V [stage][D + 8]
    const int C = H * D, bh = (int)blockIdx.x / parts, b = bh / H, h = bh % H;
    const bf16 *q = qkv + (i64)b * T * 3 * C + h * D, *k = q + C, *v = k + C;
    const int lane = (int)threadIdx.x & 31;
    const int row = ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16,
              r0 = row + lane / 4, r1 = r0 + 8;
    bf16 *sk = shared, *sv = shared + stage * (D + 8);
    uint32_t a[D / 16][4], dy[D / 16][4];
    float d0 = 0, d1 = 0;
    {  // D_i from the same fragments of y and dY; `a` holds y for a moment
        left_rows<D>(a, y + (i64)b * T * C + h * D, C, row, T);
        left_rows<D>(dy, dY + (i64)b * T * C + h * D, C, row, T);
#pragma unroll
        for (int i = 0; i < D / 16; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float s = bits_to_float(a[i][e] << 16) * bits_to_float(dy[i][e] << 16) +
                                bits_to_float(a[i][e] & 0xffff0000u) * bits_to_float(dy[i][e] & 0xffff0000u);
                if (e % 2) d1 += s;
                else d0 += s;
            }
        d0 = quad_sum(d0), d1 = quad_sum(d1);
        if (lane % 4 == 0) {
            if (r0 < T) delta[(i64)bh * T + r0] = d0;
            if (r1 < T) delta[(i64)bh * T + r1] = d1;
        }
    }
    left_rows<D>(a, q, 3 * C, row, T);
    const float scale2 = scale * kLog2e;
    const float e0 = (r0 < T ? lse[(i64)bh * T + r0] : 0) * kLog2e, e1 = (r1 < T ? lse[(i64)bh * T + r1] : 0) * kLog2e;
    float dq[D / 8][4];
    zero(dq);
    for (int first = 0; first < T; first += stage) {
        if (first > 0) __syncthreads();
        stage_rows<D>(sk, k, 3 * C, first, stage, T);
        stage_rows<D>(sv, v, 3 * C, first, stage, T);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
        if (row >= T) continue;
        tiles<N>(T - first < stage ? T - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4], dp[W / 8][4];
            zero(s);
            zero(dp);
            times_rows<D, W>(s, a, sk + at * (D + 8));
            times_rows<D, W>(dp, dy, sv + at * (D + 8));
            const int left = T - first - at;
#pragma unroll
            for (int n = 0; n < W / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float p = exp2_fast(s[n][e] * scale2 - (e < 2 ? e0 : e1)) * (dp[n][e] - (e < 2 ? d0 : d1));
                    // keys beyond T are zero, but p may be infinite there
                    s[n][e] = n * 8 + lane % 4 * 2 + e % 2 < left ? p : 0;
                }
            times_columns<D, W>(dq, s, sk + at * (D + 8));
        });
    }
    if (row < T) store_rows<D>(dQKV + (i64)b * T * 3 * C + h * D, 3 * C, row, T, dq, scale, scale);
}

/// dK and dV; N queries at a time.
template <int D, int N>
__global__ void __launch_bounds__(32 * kMostWarps)
    grad_keys(const bf16* qkv, const float* lse, const bf16* dY, bf16* dQKV, const float* delta, int T, int H,
              int parts, int stage, float scale) {
    CG_SHARED(bf16, shared);  // Q, dY [stage][D + 8], then lse / ln 2 and D_i [stage]
    const int C = H * D, bh = (int)blockIdx.x / parts, b = bh / H, h = bh % H;
    const bf16 *q = qkv + (i64)b * T * 3 * C + h * D, *k = q + C, *v = k + C;
    const int lane = (int)threadIdx.x & 31;
    const int row = ((int)blockIdx.x % parts * (int)(blockDim.x / 32) + (int)threadIdx.x / 32) * 16;
    bf16 *sq = shared, *sy = shared + stage * (D + 8);
    float *se = (float*)(sy + stage * (D + 8)), *sd = se + stage;
    uint32_t ka[D / 16][4], va[D / 16][4];
    left_rows<D>(ka, k, 3 * C, row, T);
    if (D < 128) left_rows<D>(va, v, 3 * C, row, T);
    const float scale2 = scale * kLog2e;
    float dk[D / 8][4], dv[D / 8][4];
    zero(dk);
    zero(dv);
    for (int first = 0; first < T; first += stage) {
        if (first > 0) __syncthreads();
        stage_rows<D>(sq, q, 3 * C, first, stage, T);
        stage_rows<D>(sy, dY + (i64)b * T * C + h * D, C, first, stage, T);
        copy_commit();
        for (int i = (int)threadIdx.x; i < stage; i += (int)blockDim.x) {
            const bool ok = first + i < T;
            se[i] = ok ? lse[(i64)bh * T + first + i] * kLog2e : INFINITY;  // p is 0 beyond T
            sd[i] = ok ? delta[(i64)bh * T + first + i] : 0;
        }
        copy_wait<0>();
        __syncthreads();
        if (row >= T) continue;
        tiles<N>(T - first < stage ? T - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value;
            float s[W / 8][4], dp[W / 8][4];
            zero(dp);
            zero(s);
            if (D == 128) left_rows<D>(va, v, 3 * C, row, T);  // from cache each time: too few registers
            times_rows<D, W>(dp, va, sy + at * (D + 8));
            times_rows<D, W>(s, ka, sq + at * (D + 8));
#pragma unroll
            for (int n = 0; n < W / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int i = at + n * 8 + lane % 4 * 2 + e % 2;
                    s[n][e] = exp2_fast(s[n][e] * scale2 - se[i]);
                    dp[n][e] = s[n][e] * (dp[n][e] - sd[i]);
                }
            times_columns<D, W>(dv, s, sy + at * (D + 8));
            times_columns<D, W>(dk, dp, sq + at * (D + 8));
        });
    }
    if (row >= T) return;
    bf16* to = dQKV + (i64)b * T * 3 * C + h * D;
    store_rows<D>(to + C, 3 * C, row, T, dk, scale, scale);
    store_rows<D>(to + 2 * C, 3 * C, row, T, dv, 1, 1);
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
__global__ void __launch_bounds__(32 * kWarps)
    forward_any(const T* qkv, T* y, float* lse, i64 Tn, int H, int D, float scale) {
    CG_SHARED(float, shared);  // q, o [warp][2][D]
    const i64 C = (i64)H * D, parts = (Tn + kWarps - 1) / kWarps, bh = quotient(blockIdx.x, parts), b = bh / H,
              h = bh % H;
    const i64 i = remainder(blockIdx.x, parts) * kWarps + threadIdx.x / 32;
    if (i >= Tn) return;
    const int lane = (int)threadIdx.x & 31;
    float *q = shared + threadIdx.x / 32 * 2 * D, *o = q + D;
    const T *x = qkv + b * Tn * 3 * C + h * D, *k = x + C, *v = k + C;
    load_row(q, x + i * 3 * C, D);
    for (int d = lane; d < D; d += 32) o[d] = 0;
    __syncwarp();
    float m = -INFINITY, l = 0;
    for (i64 first = 0; first < Tn; first += 32) {
        const i64 j = first + lane;
        const float s = j < Tn ? dot(k + j * 3 * C, q, D) * scale : -INFINITY;
        float top = s;
        for (int d = 16; d > 0; d /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, d));
        top = fmaxf(top, m);
        const float p = expf(s - top), c = expf(m - top);
        l = l * c + warp_sum(p);
        m = top;
        for (int d = lane; d < D; d += 32) o[d] *= c;
        add_rows(o, v, 3 * C, first, Tn, p, D);
    }
    for (int d = lane; d < D; d += 32) y[(b * Tn + i) * C + h * D + d] = from_float<T>(o[d] / l);
    if (lane == 0) lse[bh * Tn + i] = m + logf(l);
}

/// KEYS: a warp computes dK and dV of a key; otherwise dQ and D_i of a query.
template <class T, bool KEYS>
__global__ void __launch_bounds__(32 * kWarps) grad_any(const T* qkv, const T* y, const float* lse, const T* dY,
                                                        T* dQKV, float* delta, i64 Tn, int H, int D, float scale) {
    CG_SHARED(float, shared);  // [warp][4][D]: the row's q, dY, dQ; or its k, v, dK, dV
    const i64 C = (i64)H * D, parts = (Tn + kWarps - 1) / kWarps, bh = quotient(blockIdx.x, parts), b = bh / H,
              h = bh % H;
    const i64 i = remainder(blockIdx.x, parts) * kWarps + threadIdx.x / 32;
    if (i >= Tn) return;
    const int lane = (int)threadIdx.x & 31;
    float *x0 = shared + threadIdx.x / 32 * 4 * D, *x1 = x0 + D, *g0 = x1 + D, *g1 = g0 + D;
    const T *q = qkv + b * Tn * 3 * C + h * D, *k = q + C, *v = k + C, *dy = dY + b * Tn * C + h * D;
    load_row(x0, (KEYS ? k : q) + i * 3 * C, D);
    load_row(x1, KEYS ? v + i * 3 * C : dy + i * C, D);
    for (int d = lane; d < D; d += 32) g0[d] = g1[d] = 0;
    __syncwarp();
    float own = 0;
    if (!KEYS) {
        const T* yi = y + (b * Tn + i) * C + h * D;
        for (int d = lane; d < D; d += 32) own += x1[d] * to_float(yi[d]);
        own = warp_sum(own);
        if (lane == 0) delta[bh * Tn + i] = own;
    }
    for (i64 first = 0; first < Tn; first += 32) {
        const i64 j = first + lane;
        float p = 0, dS = 0;
        if (j < Tn) {
            const float s = dot((KEYS ? q : k) + j * 3 * C, x0, D) * scale,
                        dP = KEYS ? dot(dy + j * C, x1, D) : dot(v + j * 3 * C, x1, D);
            p = expf(s - lse[bh * Tn + (KEYS ? j : i)]);
            dS = p * (dP - (KEYS ? delta[bh * Tn + j] : own)) * scale;
        }
        add_rows(g0, KEYS ? q : k, 3 * C, first, Tn, dS, D);
        if (KEYS) add_rows(g1, dy, C, first, Tn, p, D);
    }
    T* to = dQKV + (b * Tn + i) * 3 * C + h * D;
    for (int d = lane; d < D; d += 32)
        if (KEYS) {
            to[C + d] = from_float<T>(g0[d]);
            to[2 * C + d] = from_float<T>(g1[d]);
        } else {
            to[d] = from_float<T>(g0[d]);
        }
}

// ---- host

/// Sets the blocks (parts) per head and the threads of a block. A head's blocks are neighbours, so that its K and V
/// stay in L2. The grid is one-dimensional: y and z end at 65,535, and a batch can have more heads.
void split(i64 T, i64& parts, int& threads) {
    const i64 tiles = ceil_div(T, 16);
    parts = ceil_div(tiles, kMostWarps);
    threads = (int)ceil_div(tiles, parts) * 32;
}

/// Rows staged at a time: all T, limited by kStage and by shared memory for two such tensors.
int stage_of(i64 T, int D) {
    int n = (int)(align_up(T, 16) < kStage ? align_up(T, 16) : kStage);
    while (n > 64 && (size_t)n * ((D + 8) * 4 + 8) > most_shared()) n = n > 128 ? 128 : 64;
    return n;
}

template <int D>
void forward_bf16(const AttentionArgs& g, Stream st) {
    i64 parts;
    int threads;
    split(g.T, parts, threads);
    const int stage = stage_of(g.T, D);
    CG_LAUNCH((forward_mma<D, 32>), grid(g.B * g.H * parts), threads, (size_t)stage * (D + 8) * 4, st,
              (const bf16*)g.qkv, (bf16*)g.y, (float*)g.lse, (int)g.T, (int)g.H, (int)parts, stage,
              kLog2e / sqrtf((float)D));
}

template <int D>
void grad_bf16(const AttentionGradArgs& g, Stream st) {
    i64 parts;
    int threads;
    split(g.T, parts, threads);
    const int stage = stage_of(g.T, D);
    const size_t shared = (size_t)stage * (D + 8) * 4;
    const float scale = 1 / sqrtf((float)D);
    CG_LAUNCH((grad_queries<D, 16>), grid(g.B * g.H * parts), threads, shared, st, (const bf16*)g.qkv, (const bf16*)g.y,
              (const float*)g.lse, (const bf16*)g.dY, (bf16*)g.dQKV, (float*)g.scratch, (int)g.T, (int)g.H, (int)parts,
              stage, scale);
    CG_LAUNCH((grad_keys<D, (D == 64 ? 32 : 16)>), grid(g.B * g.H * parts), threads, shared + (size_t)stage * 8, st,
              (const bf16*)g.qkv, (const float*)g.lse, (const bf16*)g.dY, (bf16*)g.dQKV, (const float*)g.scratch,
              (int)g.T, (int)g.H, (int)parts, stage, scale);
}

bool mma_has(i64 D) { return D == 32 || D == 64 || D == 128; }

bool takes_mma(const AttentionArgs& g) { return mma_has(g.D) && aligned16(g.qkv, g.y); }
bool takes_mma_grad(const AttentionGradArgs& g) { return mma_has(g.D) && aligned16(g.qkv, g.y, g.dY, g.dQKV); }

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
    CG_LAUNCH((forward_any<T>), grid(g.B * g.H * ceil_div(g.T, kWarps)), 32 * kWarps, (size_t)(kWarps * 2 * g.D * 4),
              st, (const T*)g.qkv, (T*)g.y, (float*)g.lse, g.T, (int)g.H, (int)g.D, 1 / sqrtf((float)g.D));
}

template <class T>
void any_grad(const AttentionGradArgs& g, Stream st) {
    check(g.D);
    const dim3 blocks = grid(g.B * g.H * ceil_div(g.T, kWarps));
    const size_t shared = (size_t)(kWarps * 4 * g.D * 4);
    const float scale = 1 / sqrtf((float)g.D);
    CG_LAUNCH((grad_any<T, false>), blocks, 32 * kWarps, shared, st, (const T*)g.qkv, (const T*)g.y,
              (const float*)g.lse, (const T*)g.dY, (T*)g.dQKV, (float*)g.scratch, g.T, (int)g.H, (int)g.D, scale);
    CG_LAUNCH((grad_any<T, true>), blocks, 32 * kWarps, shared, st, (const T*)g.qkv, (const T*)g.y, (const float*)g.lse,
              (const T*)g.dY, (T*)g.dQKV, (float*)g.scratch, g.T, (int)g.H, (int)g.D, scale);
}

}  // namespace

i64 attention_scratch(const AttentionArgs&) { return 0; }
i64 attention_grad_scratch(const AttentionGradArgs& g) { return align_up(g.B * g.H * g.T * 4, 256); }

CG_IMPLEMENTATIONS(attention, float, implementation<AttentionArgs, any<float>>("any"))
CG_IMPLEMENTATIONS(attention, bf16, implementation<AttentionArgs, mma, takes_mma>("mma"),
                   CG_HOPPER(implementation<AttentionArgs, sm90::attention, sm90::takes>("wgmma"))
                       implementation<AttentionArgs, any<bf16>>("any"))
CG_IMPLEMENTATIONS(attention_grad, float, implementation<AttentionGradArgs, any_grad<float>>("any"))
CG_IMPLEMENTATIONS(attention_grad, bf16, implementation<AttentionGradArgs, mma_grad, takes_mma_grad>("mma"),
                   CG_HOPPER(implementation<AttentionGradArgs, sm90::attention_grad, sm90::takes_grad>("wgmma"))
                       implementation<AttentionGradArgs, any_grad<bf16>>("any"))

}  // namespace cg::cuda
