#include "attention_sm90.h"

#include "wgmma.cuh"

namespace cg::cuda::sm90 {

#if defined(CG_SM90A) || defined(CG_SIM)

namespace {

constexpr float kLog2e = 1.44269504088896341f, kLn2 = 0.69314718055994531f;
constexpr int kD = 64;
constexpr int kThreads = 128;

/// Accumulators times s0 (rows 0 to 7) and s1 to 16 rows of y.
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
            if (i < T) *(int4*)(y + (i64)i * stride + h * 32 + lane % 4 * 8) = int4{(int)v[0], (int)v[1], (int)v[2], (int)v[3]};
        }
}

/// Rows first .. first + n of x to swizzled shared memory, zero beyond T.
__device__ inline void stage_rows(bf16* to, const bf16* x, int stride, int first, int n, int T) {
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < n * 8; i += kThreads) {
        const int r = i / 8, c = i % 8;
        const bool ok = first + r < T;
        copy_async(to + swizzled(r, c), ok ? x + (i64)(first + r) * stride + c * 8 : x, ok);
    }
}

__device__ inline float quad_sum(float v) {
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}
__device__ inline float quad_max(float v) {
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

template <int N8, bool SUM>
__device__ inline void across(float (&s)[N8][4], uint64_t a, uint64_t b) {
    constexpr int W = 14, rest = N8 % W;
#pragma unroll
    for (int n = 0; n < N8 / W * W; n += W) wgmma<W, false, SUM>(s + n, a, b + n * 64);
    if constexpr (rest > 0) wgmma<rest, false, SUM>(s + N8 - rest, a, b + (N8 - rest) * 64);
}

/// N keys, T of them true.
template <int N>
__global__ void __launch_bounds__(kThreads, 3) forward_wgmma(const bf16* qkv, bf16* y, float* lse, int T, int H, float scale2) {
    CG_SHARED_SWIZZLED(bf16, shared);  // K [N][64], V [N16][64], Q [64][64]
    constexpr int N16 = (N + 15) / 16 * 16;
    const int C = H * kD, bh = (int)blockIdx.x, b = bh / H, h = bh % H;
    const bf16* q = qkv + (i64)b * T * 3 * C + h * kD;
    const int lane = (int)threadIdx.x & 31, warp_row = (int)threadIdx.x / 32 * 16;
    bf16 *sk = shared, *sv = sk + N * kD, *sq = sv + N16 * kD;
    stage_rows(sq, q, 3 * C, 0, 64, T);
    stage_rows(sk, q + C, 3 * C, 0, N, T);
    copy_commit();
    stage_rows(sv, q + 2 * C, 3 * C, 0, N16, T);
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
        for (int k = 1; k < 4; k++) across<N / 8, true>(s, swizzled_rows(sq) + k * kAlongRow, swizzled_rows(sk) + k * kAlongRow);
        wgmma_commit();
        wgmma_wait<0>(s);
        __syncthreads();  // everybody has read Q
        if (first + 64 < T) stage_rows(sq, q, 3 * C, first + 64, 64, T);
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
        store_rows(y + (i64)b * T * C + h * kD, C, row, T, o, 1 / l0, 1 / l1);
        if (lane % 4 == 0) {
            const int r = row + lane / 4;
            if (r < T) lse[(i64)bh * T + r] = m0 * kLn2 + logf(l0);
            if (r + 8 < T) lse[(i64)bh * T + r + 8] = m1 * kLn2 + logf(l1);
        }
        copy_wait<0>();
    }
}

template <int N>
void forward(const AttentionArgs& g, Stream st) {
    CG_LAUNCH((forward_wgmma<N>), grid(g.B * g.H), kThreads, (size_t)(N + (N + 15) / 16 * 16 + 64) * kD * 2, st, (const bf16*)g.qkv,
              (bf16*)g.y, (float*)g.lse, (int)g.T, (int)g.H, kLog2e / sqrtf((float)kD));
}

}  // namespace

bool built() { return true; }
bool takes(i64 T, i64 D) { return D == kD && T <= 208; }

void attention(const AttentionArgs& g, Stream st) {
    if (g.T <= 200) forward<200>(g, st);
    else forward<208>(g, st);
}

#else

bool built() { return false; }
bool takes(i64, i64) { return false; }
void attention(const AttentionArgs&, Stream) { CG_CHECK(false, "not built"); }

#endif

}  // namespace cg::cuda::sm90
