// SPDX-License-Identifier: Apache-2.0
// Forward, implementation "registers" (C a multiple of 16 bytes, up to 1024): a warp keeps a row in registers; one
// read, one write, mean and variance in two passes over the registers. Implementation "cache" takes three passes.
// Backward: groups of 8, 16 or 32 lanes of a fixed grid walk over rows, in "registers" with the next rows on their way
// to shared memory. A lane owns the same columns of every row, so dGamma and dBeta add up in registers, then over the
// block's groups, then over the blocks in order: deterministic, no atomics.
// Floor: bytes over bandwidth; forward 2-4 and backward 3-4 tensors of rows*C. At 4.3 TB/s and 0.8 us of latency, 132
// multiprocessors need 20 KB of reads in flight each.
// Versions of the backward pass, bf16, sm_90a: instructions a row at C 768 and at C 384, and predicted time of 25,216 x
// 768, floor 36 us, not measured:
//   1  A warp a row, dSum loaded after the reduction: 579 and 409. 16 warps with 3 or 1.5 KB in flight for half of the
//      time; 58-65 us.
//   2  Ring of rows in shared memory, filled by cp.async; a warp has two rows up to C 512, four up to 256: 458 and 227.
//      8 warps, two blocks by registers, with 9 KB in flight all the time, 74 KB a multiprocessor; instructions issue
//      in 12 us; 42-46 us.
#include <algorithm>

#include "kernels_all.h"
#include "mma.cuh"

namespace cg::cuda {

namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;

/// Most vectors of a row in one lane; vector k holds the columns from (k 32 + lane) V on.
template <class T>
constexpr int kMost = 1024 / 32 / kVec<T>;

/// Sum over L neighbouring lanes, returned in each of them.
template <int L>
__device__ inline float row_sum(float v) {
#pragma unroll
    for (int d = L / 2; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

template <class T, int K>
__global__ void __launch_bounds__(32 * kWarps)
    normalise(const T* x, const T* r, const float* gamma, const float* beta, T* sum, T* y, float* mean, float* rstd,
              i64 rows, int C, float eps) {
    await_inputs();
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
    await_inputs();
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

/// Stages of the backward pass's ring: one row of each group of lanes is computed while the others arrive.
template <class T>
constexpr int kStages = sizeof(T) == 4 ? 2 : 3;
/// Tensors in the ring: s, dY and dSum.
constexpr int kRead = 3;
template <class T, int K>
constexpr int kRingBytes = kStages<T> * kRead * K * kThreads * 16;

/// part [2][C] = sums of dGamma and dBeta over the block's groups of L lanes, in shared memory [2][groups][C].
template <int K, int V, int L>
__device__ inline void write_part(const float (&dG)[K][V], const float (&dB)[K][V], float* sums, float* part, int C) {
    constexpr int kGroups = kThreads / L;
    const int group = (int)threadIdx.x / L, column = (int)threadIdx.x % L * V;
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k++)
        if (const int c = column + k * L * V; c < C)
#pragma unroll
            for (int j = 0; j < V; j += 4) {
                store_vec(sums + group * C + c + j, dG[k] + j);
                store_vec(sums + (kGroups + group) * C + c + j, dB[k] + j);
            }
    __syncthreads();
    for (int c = (int)threadIdx.x; c < C; c += kThreads)
        for (int which = 0; which < 2; which++) {
            float y = 0;
#pragma unroll
            for (int g = 0; g < kGroups; g++) y += sums[(which * kGroups + g) * C + c];
            part[which * C + c] = y;
        }
}

/// dS, and part [blocks][2][C]: sums of dY h and of dY over the block's rows. L neighbouring lanes share a row.
template <class T, int K, int L>
__global__ void __launch_bounds__(kThreads, 2)
    normalise_grad(const T* dY, const T* dSum, const T* s, const float* gamma, const float* mean, const float* rstd,
                   T* dS, float* part, int rows, int C) {
    await_inputs();
    constexpr int V = kVec<T>, kRows = kThreads / L, kAhead = kStages<T> - 1;
    const int group = (int)threadIdx.x / L, column = (int)threadIdx.x % L * V;
    const int step = (int)gridDim.x * kRows;
    const float inverse = 1 / (float)C;
    // A lane reads only vectors that it copied itself, so the ring needs no barrier.
    CG_SHARED(T, ring);  // [kStages<T>][kRead][K][kThreads][V]
    auto slot = [&](int stage, int tensor, int k) {
        return ring + (((stage * kRead + tensor) * K + k) * kThreads + (int)threadIdx.x) * V;
    };
    // Vectors beyond the row, or of rows beyond the last, become zeros, which add nothing to any sum.
    auto fetch = [&](int i, int stage) {
        const i64 at = (i64)i * C + column;
        const int left = i < rows ? C - column : 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const bool ok = k * L * V < left;
            copy_async(slot(stage, 0, k), s + at + k * L * V, ok);
            copy_async(slot(stage, 1, k), dY + at + k * L * V, ok);
            copy_async(slot(stage, 2, k), (dSum ? dSum : dY) + at + k * L * V, ok && dSum);
        }
        copy_commit();
    };
    float dG[K][V], dB[K][V];
#pragma unroll
    for (int k = 0; k < K; k++)
#pragma unroll
        for (int j = 0; j < V; j++) dG[k][j] = dB[k][j] = 0;
    int i = (int)blockIdx.x * kRows + group;
#pragma unroll
    for (int k = 0; k < kAhead; k++) fetch(i + k * step, k);
    float mean_i = i < rows ? mean[i] : 0, rstd_i = i < rows ? rstd[i] : 0;
    int stage = 0;
    for (int first = i - group; first < rows; first += step, i += step) {
        fetch(i + kAhead * step, stage == 0 ? kAhead : stage - 1);
        const int next = i + step;
        const float next_mean = next < rows ? mean[next] : 0, next_rstd = next < rows ? rstd[next] : 0;
        copy_wait<kAhead>();
        // x = s - mean, d = rstd dh; a, b: means of d and d x.
        float x[K][V], d[K][V], a = 0, b = 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            float ga[V];
            load_vec(slot(stage, 0, k), x[k]);
            load_vec(slot(stage, 1, k), d[k]);
            const float* from = gamma + (column + k * L * V < C ? column + k * L * V : 0);
#pragma unroll
            for (int j = 0; j < V; j += 4) load_vec(from + j, ga + j);
#pragma unroll
            for (int j = 0; j < V; j++) {
                x[k][j] -= mean_i;
                dB[k][j] += d[k][j];
                d[k][j] *= rstd_i;
                dG[k][j] += d[k][j] * x[k][j];
                d[k][j] *= ga[j];
                a += d[k][j];
                b += d[k][j] * x[k][j];
            }
        }
        a = row_sum<L>(a) * inverse;
        b = row_sum<L>(b) * inverse * rstd_i * rstd_i;
        T* out = dS + (i64)i * C + column;
        const int left = i < rows ? C - column : 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            float e[V];
            load_vec(slot(stage, 2, k), e);
#pragma unroll
            for (int j = 0; j < V; j++) d[k][j] = d[k][j] - a - x[k][j] * b + e[j];
            if (k * L * V < left) store_vec(out + k * L * V, d[k]);
        }
        mean_i = next_mean, rstd_i = next_rstd;
        stage = stage == kAhead ? 0 : stage + 1;
    }
    copy_wait<0>();
    write_part<K, V, L>(dG, dB, (float*)ring, part + (i64)blockIdx.x * 2 * C, C);
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    normalise_grad_any(const T* dY, const T* dSum, const T* s, const float* gamma, const float* mean, const float* rstd,
                       T* dS, i64 rows, int C) {
    await_inputs();
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
    await_inputs();
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

/// Calls f with the number of vectors of a row in one of L lanes, LEAST or more.
template <class T, int L, int LEAST, class F>
void with_vectors(i64 C, F&& f) {
    const i64 k = ceil_div(C, L * kVec<T>);
    auto takes = [&](auto n) {
        constexpr int K = decltype(n)::value;
        if constexpr (K >= LEAST && K <= kMost<T>)
            if (k <= K) return f(n), true;
        return false;
    };
    (void)(takes(std::integral_constant<int, 1>()) || takes(std::integral_constant<int, 2>()) ||
           takes(std::integral_constant<int, 3>()) || takes(std::integral_constant<int, 4>()) ||
           takes(std::integral_constant<int, 6>()) || takes(std::integral_constant<int, 8>()));
}

/// Sums the blocks' parts [n][2][C] to dGamma and dBeta.
__global__ void __launch_bounds__(1024) weights_sum(const float* part, i64 n, float* dGamma, float* dBeta, int C) {
    await_inputs();
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
    with_vectors<T, 32, 1>(g.C, [&](auto k) {
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

void weights(const LayerNormGradArgs& g, i64 blocks, Stream st) {
    CG_LAUNCH((weights_sum), grid(ceil_div(g.C, 32), 2), dim3(32, 32), 0, st, (const float*)g.scratch, blocks,
              (float*)g.dGamma, (float*)g.dBeta, (int)g.C);
}

template <class T>
bool takes_registers_grad(const LayerNormGradArgs& g) {
    return fits_registers<T>(g.C) && g.rows < 1 << 30 && aligned16(g.dY, g.dSum, g.s, g.gamma, g.dS);
}

template <class T, int L>
void registers_grad_by(const LayerNormGradArgs& g, Stream st) {
    with_vectors<T, L, L == 8 ? 1 : kMost<T> / 2 + 1>(g.C, [&](auto n) {
        constexpr int K = decltype(n)::value;
        const i64 blocks = std::min(ceil_div(g.rows, kThreads / L), (i64)kBlocks);
        CG_LAUNCH((normalise_grad<T, K, L>), grid(blocks), kThreads, (size_t)kRingBytes<T, K>, st, (const T*)g.dY,
                  (const T*)g.dSum, (const T*)g.s, (const float*)g.gamma, (const float*)g.mean, (const float*)g.rstd,
                  (T*)g.dS, (float*)g.scratch, (int)g.rows, (int)g.C);
        weights(g, blocks, st);
    });
}

/// The fewer lanes share a row, the more rows a warp has in flight.
template <class T>
void registers_grad(const LayerNormGradArgs& g, Stream st) {
    constexpr int most = kMost<T> * kVec<T>;
    if (g.C <= 8 * most) registers_grad_by<T, 8>(g, st);
    else if (g.C <= 16 * most) registers_grad_by<T, 16>(g, st);
    else registers_grad_by<T, 32>(g, st);
}

template <class T>
void cache_grad(const LayerNormGradArgs& g, Stream st) {
    CG_LAUNCH((weights_grad_any<T>), grid(ceil_div(g.C, 128), grad_blocks(g.rows)), 128, 0, st, (const T*)g.dY,
              (const T*)g.s, (const float*)g.mean, (const float*)g.rstd, (float*)g.scratch, g.rows, (int)g.C);
    CG_LAUNCH((normalise_grad_any<T>), grid(ceil_div(g.rows, kWarps)), 32 * kWarps, 0, st, (const T*)g.dY,
              (const T*)g.dSum, (const T*)g.s, (const float*)g.gamma, (const float*)g.mean, (const float*)g.rstd,
              (T*)g.dS, g.rows, (int)g.C);
    weights(g, grad_blocks(g.rows), st);
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
