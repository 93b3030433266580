// SPDX-License-Identifier: Apache-2.0
// Forward: a warp computes a row and keeps it in registers (C a multiple of 16 bytes, up to 1024): one read, one write,
// mean and variance in two passes over the registers. Any other C takes three passes over the row, through the cache.
// Backward: the warps of a fixed grid walk over rows. A lane owns the same columns of every row, so dGamma and dBeta
// add up in registers, then over the block's warps, then over the blocks in order: deterministic, no atomics.
// Floor: bytes over bandwidth; forward 2-4 and backward 3-4 tensors of rows*C. Versions: only this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kWarps = 4;

/// Most vectors of a row in one lane; vector k holds the columns from (k 32 + lane) V on.
template <class T>
constexpr int kMost = 1024 / 32 / kVec<T>;

template <class T, int K>
__global__ void __launch_bounds__(32 * kWarps)
    normalise(const T* x, const T* r, const float* gamma, const float* beta, T* sum, T* y, float* mean, float* rstd,
              i64 rows, int C, float eps) {
    constexpr int V = kVec<T>;
    const int lane = (int)threadIdx.x & 31;
    const i64 i = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (i >= rows) return;
    // Load the row, adding the residual if there is one.
    float v[K][V], s = 0;
#pragma unroll
    for (int k = 0; k < K; k++) {
        const int c = (k * 32 + lane) * V;
        if (c < C) {
            load_vec(x + i * C + c, v[k]);
            if (r) {
                float w[V];
                load_vec(r + i * C + c, w);
#pragma unroll
                for (int j = 0; j < V; j++) v[k][j] = to_float(from_float<T>(v[k][j] + w[j]));
                store_vec(sum + i * C + c, v[k]);
            }
#pragma unroll
            for (int j = 0; j < V; j++) s += v[k][j];
        }
    }
    // Two-pass mean and variance.
    const float mean_i = warp_sum(s) / (float)C;
    s = 0;
#pragma unroll
    for (int k = 0; k < K; k++)
        if ((k * 32 + lane) * V < C)
#pragma unroll
            for (int j = 0; j < V; j++) s += (v[k][j] - mean_i) * (v[k][j] - mean_i);
    const float rstd_i = rsqrtf(warp_sum(s) / (float)C + eps);
    if (lane == 0) {
        mean[i] = mean_i;
        rstd[i] = rstd_i;
    }
    // Scale, shift and write back.
#pragma unroll
    for (int k = 0; k < K; k++) {
        const int c = (k * 32 + lane) * V;
        if (c < C) {
            float ga[V], be[V];
#pragma unroll
            for (int j = 0; j < V; j += 4) {
                load_vec(gamma + c + j, ga + j);
                load_vec(beta + c + j, be + j);
            }
#pragma unroll
            for (int j = 0; j < V; j++) v[k][j] = (v[k][j] - mean_i) * rstd_i * ga[j] + be[j];
            store_vec(y + i * C + c, v[k]);
        }
    }
}

/// For any C: reads the row three times, twice from cache.
template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    normalise_any(const T* x, const T* r, const float* gamma, const float* beta, T* sum, T* y, float* mean, float* rstd,
                  i64 rows, int C, float eps) {
    const int lane = (int)threadIdx.x & 31;
    const i64 i = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (i >= rows) return;
    const T* row = r ? sum + i * C : x + i * C;
    if (r)  // below, a lane reads only elements that it wrote here
        for (int c = lane; c < C; c += 32)
            sum[i * C + c] = from_float<T>(to_float(x[i * C + c]) + to_float(r[i * C + c]));
    float s = 0;
    for (int c = lane; c < C; c += 32) s += to_float(row[c]);
    const float mean_i = warp_sum(s) / (float)C;
    s = 0;
    for (int c = lane; c < C; c += 32) s += (to_float(row[c]) - mean_i) * (to_float(row[c]) - mean_i);
    const float rstd_i = rsqrtf(warp_sum(s) / (float)C + eps);
    if (lane == 0) {
        mean[i] = mean_i;
        rstd[i] = rstd_i;
    }
    for (int c = lane; c < C; c += 32)
        y[i * C + c] = from_float<T>((to_float(row[c]) - mean_i) * rstd_i * gamma[c] + beta[c]);
}

i64 grad_blocks(i64 rows) {
    const i64 b = ceil_div(rows, kWarps);
    return b < 2 * kBlocks ? b : 2 * kBlocks;
}

/// dS, and part [blocks][2][C]: sums of dY h and of dY over the block's rows.
template <class T, int K>
__global__ void __launch_bounds__(32 * kWarps)
    normalise_grad(const T* dY, const T* dSum, const T* s, const float* gamma, const float* mean, const float* rstd,
                   T* dS, float* part, i64 rows, int C) {
    constexpr int V = kVec<T>;
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    float dG[K][V], dB[K][V];
#pragma unroll
    for (int k = 0; k < K; k++)
#pragma unroll
        for (int j = 0; j < V; j++) dG[k][j] = dB[k][j] = 0;
    for (i64 i = (i64)blockIdx.x * kWarps + warp; i < rows; i += (i64)gridDim.x * kWarps) {
        const float mean_i = mean[i], rstd_i = rstd[i];
        // h in h[][], dh in d[][]; a, b: means of dh and dh h.
        float h[K][V], d[K][V], a = 0, b = 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int c = (k * 32 + lane) * V;
            if (c < C) {
                float ga[V];
                load_vec(s + i * C + c, h[k]);
                load_vec(dY + i * C + c, d[k]);
#pragma unroll
                for (int j = 0; j < V; j += 4) load_vec(gamma + c + j, ga + j);
#pragma unroll
                for (int j = 0; j < V; j++) {
                    h[k][j] = (h[k][j] - mean_i) * rstd_i;
                    dG[k][j] += d[k][j] * h[k][j];
                    dB[k][j] += d[k][j];
                    d[k][j] *= ga[j];
                    a += d[k][j];
                    b += d[k][j] * h[k][j];
                }
            }
        }
        a = warp_sum(a) / (float)C;
        b = warp_sum(b) / (float)C;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int c = (k * 32 + lane) * V;
            if (c < C) {
                float e[V];
                if (dSum) load_vec(dSum + i * C + c, e);
#pragma unroll
                for (int j = 0; j < V; j++) d[k][j] = rstd_i * (d[k][j] - a - h[k][j] * b) + (dSum ? e[j] : 0.f);
                store_vec(dS + i * C + c, d[k]);
            }
        }
    }
    // Sum dGamma (pass 0) and dBeta (pass 1) over the block's warps.
    CG_SHARED(float, smem);  // [kWarps][C]
    float* out = part + (i64)blockIdx.x * 2 * C;
    for (int pass = 0; pass < 2; pass++) {
        __syncthreads();
#pragma unroll
        for (int k = 0; k < K; k++)
            if ((k * 32 + lane) * V < C)
#pragma unroll
                for (int j = 0; j < V; j++) smem[warp * C + (k * 32 + lane) * V + j] = pass == 0 ? dG[k][j] : dB[k][j];
        __syncthreads();
        for (int c = (int)threadIdx.x; c < C; c += 32 * kWarps) {
            float x = 0;
            for (int w = 0; w < kWarps; w++) x += smem[w * C + c];
            out[pass * C + c] = x;
        }
    }
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    normalise_grad_any(const T* dY, const T* dSum, const T* s, const float* gamma, const float* mean, const float* rstd,
                       T* dS, i64 rows, int C) {
    const int lane = (int)threadIdx.x & 31;
    const i64 i = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (i >= rows) return;
    const float mean_i = mean[i], rstd_i = rstd[i];
    float a = 0, b = 0;
    for (int c = lane; c < C; c += 32) {
        const float d = to_float(dY[i * C + c]) * gamma[c];
        a += d;
        b += d * (to_float(s[i * C + c]) - mean_i) * rstd_i;
    }
    a = warp_sum(a) / (float)C;
    b = warp_sum(b) / (float)C;
    for (int c = lane; c < C; c += 32) {
        const i64 k = i * C + c;
        const float h = (to_float(s[k]) - mean_i) * rstd_i;
        dS[k] = from_float<T>(rstd_i * (to_float(dY[k]) * gamma[c] - a - h * b) + (dSum ? to_float(dSum[k]) : 0.f));
    }
}

/// part [blocks][2][C]: block b sums rows b, b + blocks ...; a thread a column.
template <class T>
__global__ void __launch_bounds__(128)
    weights_grad_any(const T* dY, const T* s, const float* mean, const float* rstd, float* part, i64 rows, int C) {
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    float g = 0, b = 0;
    for (i64 i = blockIdx.y; i < rows; i += gridDim.y) {
        const float d = to_float(dY[i * C + c]);
        g += d * (to_float(s[i * C + c]) - mean[i]) * rstd[i];
        b += d;
    }
    part[((i64)blockIdx.y * 2) * C + c] = g;
    part[((i64)blockIdx.y * 2 + 1) * C + c] = b;
}

/// Calls f with the number of vectors per lane if a warp can hold a row; otherwise returns false.
template <class T, class F>
bool in_registers(i64 C, bool aligned, F&& f) {
    if (C % kVec<T> != 0 || C > 1024 || !aligned) return false;
    const i64 k = ceil_div(C, 32 * kVec<T>);
    if (k <= 1) f(std::integral_constant<int, 1>());
    else if (k <= 2) f(std::integral_constant<int, 2>());
    else if (k <= 3) f(std::integral_constant<int, 3>());
    else if (k <= 4) f(std::integral_constant<int, 4>());
    else if (k <= 6) f(std::integral_constant < int, kMost<T><6 ? kMost<T> : 6>());
    else f(std::integral_constant<int, kMost<T>>());
    return true;
}

/// Sums the blocks' parts [n][2][C] to dGamma and dBeta.
__global__ void __launch_bounds__(1024) weights_sum(const float* part, i64 n, float* dGamma, float* dBeta, int C) {
    const int c = (int)blockIdx.x * 32 + (int)threadIdx.x;
    const float s = column_sum(part + (i64)blockIdx.y * C, n, 2 * C, c, C);
    if (threadIdx.y == 0 && c < C) (blockIdx.y == 0 ? dGamma : dBeta)[c] = s;
}

}  // namespace

template <class T>
void layernorm(const LayerNormArgs& g, Stream st) {
    const dim3 blocks = grid(ceil_div(g.rows, kWarps));
    const T *x = (const T*)g.x, *r = (const T*)g.r;
    const float *ga = (const float*)g.gamma, *be = (const float*)g.beta;
    const bool fast = in_registers<T>(g.C, aligned16(x, r, ga, be, g.sum, g.y), [&](auto k) {
        CG_LAUNCH((normalise<T, decltype(k)::value>), blocks, 32 * kWarps, 0, st, x, r, ga, be, (T*)g.sum, (T*)g.y,
                  (float*)g.mean, (float*)g.rstd, g.rows, (int)g.C, (float)g.eps);
    });
    if (!fast)
        CG_LAUNCH((normalise_any<T>), blocks, 32 * kWarps, 0, st, x, r, ga, be, (T*)g.sum, (T*)g.y, (float*)g.mean,
                  (float*)g.rstd, g.rows, (int)g.C, (float)g.eps);
}

i64 layernorm_grad_scratch(const LayerNormGradArgs& g) { return align_up(grad_blocks(g.rows) * 2 * g.C * 4, 256); }

template <class T>
void layernorm_grad(const LayerNormGradArgs& g, Stream st) {
    const T *dY = (const T*)g.dY, *dSum = (const T*)g.dSum, *s = (const T*)g.s;
    const float *ga = (const float*)g.gamma, *mean = (const float*)g.mean, *rstd = (const float*)g.rstd;
    float* part = (float*)g.scratch;
    const i64 n = grad_blocks(g.rows);
    const int C = (int)g.C;
    const bool fast = in_registers<T>(g.C, aligned16(dY, dSum, s, ga, g.dS), [&](auto k) {
        CG_LAUNCH((normalise_grad<T, decltype(k)::value>), grid(n), 32 * kWarps, (size_t)(kWarps * C * 4), st, dY, dSum,
                  s, ga, mean, rstd, (T*)g.dS, part, g.rows, C);
    });
    if (!fast) {
        CG_LAUNCH((weights_grad_any<T>), grid(ceil_div(C, 128), n), 128, 0, st, dY, s, mean, rstd, part, g.rows, C);
        CG_LAUNCH((normalise_grad_any<T>), grid(ceil_div(g.rows, kWarps)), 32 * kWarps, 0, st, dY, dSum, s, ga, mean,
                  rstd, (T*)g.dS, g.rows, C);
    }
    CG_LAUNCH((weights_sum), grid(ceil_div(C, 32), 2), dim3(32, 32), 0, st, (const float*)part, n, (float*)g.dGamma,
              (float*)g.dBeta, C);
}

CG_CUDA(layernorm, LayerNormArgs)
CG_CUDA(layernorm_grad, LayerNormGradArgs)

}  // namespace cg::cuda
