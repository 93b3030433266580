// SPDX-License-Identifier: Apache-2.0
// Forward, implementation "registers" (C a multiple of 16 bytes, up to 1024): a warp keeps a row in registers; one
// read, one write, mean and variance in two passes over the registers. Implementation "cache" takes three passes.
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

/// Whether a warp can hold a row of C elements.
template <class T>
bool fits_registers(i64 C) {
    return C % kVec<T> == 0 && C <= 1024;
}

/// Calls f with the number of vectors of a row in one lane.
template <class T, class F>
void with_vectors(i64 C, F&& f) {
    const i64 k = ceil_div(C, 32 * kVec<T>);
    if (k <= 1) f(std::integral_constant<int, 1>());
    else if (k <= 2) f(std::integral_constant<int, 2>());
    else if (k <= 3) f(std::integral_constant<int, 3>());
    else if (k <= 4) f(std::integral_constant<int, 4>());
    else if (k <= 6) f(std::integral_constant<int, (kMost<T> < 6 ? kMost<T> : 6)>());
    else f(std::integral_constant<int, kMost<T>>());
}

/// Sums the blocks' parts [n][2][C] to dGamma and dBeta.
__global__ void __launch_bounds__(1024) weights_sum(const float* part, i64 n, float* dGamma, float* dBeta, int C) {
    const int c = (int)blockIdx.x * 32 + (int)threadIdx.x;
    const float s = column_sum(part + (i64)blockIdx.y * C, n, 2 * C, c, C);
    if (threadIdx.y == 0 && c < C) (blockIdx.y == 0 ? dGamma : dBeta)[c] = s;
}

template <class T>
bool takes_registers(const LayerNormArgs& g) {
    return fits_registers<T>(g.C) && aligned16(g.x, g.r, g.gamma, g.beta, g.sum, g.y);
}

template <class T>
void registers(const LayerNormArgs& g, Stream st) {
    with_vectors<T>(g.C, [&](auto k) {
        CG_LAUNCH((normalise<T, decltype(k)::value>), grid(ceil_div(g.rows, kWarps)), 32 * kWarps, 0, st, (const T*)g.x,
                  (const T*)g.r, (const float*)g.gamma, (const float*)g.beta, (T*)g.sum, (T*)g.y, (float*)g.mean,
                  (float*)g.rstd, g.rows, (int)g.C, (float)g.eps);
    });
}

template <class T>
void cache(const LayerNormArgs& g, Stream st) {
    CG_LAUNCH((normalise_any<T>), grid(ceil_div(g.rows, kWarps)), 32 * kWarps, 0, st, (const T*)g.x, (const T*)g.r,
              (const float*)g.gamma, (const float*)g.beta, (T*)g.sum, (T*)g.y, (float*)g.mean, (float*)g.rstd, g.rows,
              (int)g.C, (float)g.eps);
}

void weights(const LayerNormGradArgs& g, Stream st) {
    CG_LAUNCH((weights_sum), grid(ceil_div(g.C, 32), 2), dim3(32, 32), 0, st, (const float*)g.scratch,
              grad_blocks(g.rows), (float*)g.dGamma, (float*)g.dBeta, (int)g.C);
}

template <class T>
bool takes_registers_grad(const LayerNormGradArgs& g) {
    return fits_registers<T>(g.C) && aligned16(g.dY, g.dSum, g.s, g.gamma, g.dS);
}

template <class T>
void registers_grad(const LayerNormGradArgs& g, Stream st) {
    with_vectors<T>(g.C, [&](auto k) {
        CG_LAUNCH((normalise_grad<T, decltype(k)::value>), grid(grad_blocks(g.rows)), 32 * kWarps,
                  (size_t)(kWarps * g.C * 4), st, (const T*)g.dY, (const T*)g.dSum, (const T*)g.s,
                  (const float*)g.gamma, (const float*)g.mean, (const float*)g.rstd, (T*)g.dS, (float*)g.scratch,
                  g.rows, (int)g.C);
    });
    weights(g, st);
}

template <class T>
void cache_grad(const LayerNormGradArgs& g, Stream st) {
    CG_LAUNCH((weights_grad_any<T>), grid(ceil_div(g.C, 128), grad_blocks(g.rows)), 128, 0, st, (const T*)g.dY,
              (const T*)g.s, (const float*)g.mean, (const float*)g.rstd, (float*)g.scratch, g.rows, (int)g.C);
    CG_LAUNCH((normalise_grad_any<T>), grid(ceil_div(g.rows, kWarps)), 32 * kWarps, 0, st, (const T*)g.dY,
              (const T*)g.dSum, (const T*)g.s, (const float*)g.gamma, (const float*)g.mean, (const float*)g.rstd,
              (T*)g.dS, g.rows, (int)g.C);
    weights(g, st);
}

}  // namespace

i64 layernorm_grad_scratch(const LayerNormGradArgs& g) { return align_up(grad_blocks(g.rows) * 2 * g.C * 4, 256); }

#define CG_LISTS(T)                                                                                                \
    CG_IMPLEMENTATIONS(layernorm, T, implementation<LayerNormArgs, registers<T>, takes_registers<T>>("registers"), \
                       implementation<LayerNormArgs, cache<T>>("cache"))                                           \
    CG_IMPLEMENTATIONS(layernorm_grad, T,                                                                          \
                       implementation<LayerNormGradArgs, registers_grad<T>, takes_registers_grad<T>>("registers"), \
                       implementation<LayerNormGradArgs, cache_grad<T>>("cache"))
CG_LISTS(float)
CG_LISTS(bf16)

}  // namespace cg::cuda
