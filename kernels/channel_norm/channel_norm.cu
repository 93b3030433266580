// SPDX-License-Identifier: Apache-2.0
// A thread owns a vector of channels (16 bytes; single channels where C is no multiple) and walks down rows. A block
// has 256 threads as (channels, rows). Each n's rows are split over blocks so that the grid fills the GPU, for
// N = 1 too.
// Statistics: a thread holds 8 rows in registers, passes over them twice, and merges such tiles by Chan's formula. Then
// the block merges its rows in order, and a warp for each (n, group) merges parts and channels.
// Backward: sums over the same parts; their merge gives dGamma, dBeta and the group's two means; then dX.
// Floor: bytes over bandwidth, 3 tensors forward, 5 backward. Versions: only this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256, kTile = 8;

/// Split of the work on [N, S, C]: tx vectors of channels by ty rows a block, `columns` such blocks across the
/// channels, and P parts of the rows.
struct Split {
    int tx, ty;
    i64 columns, P;
};

Split split(i64 N, i64 S, i64 C, int V) {
    Split k;
    const i64 vectors = ceil_div(C, V);
    for (k.tx = 1; k.tx < 32 && k.tx < vectors;) k.tx *= 2;
    k.ty = kThreads / k.tx;
    k.columns = ceil_div(vectors, k.tx);
    const i64 most = ceil_div(S, (i64)k.ty * kTile), want = ceil_div(4 * kBlocks, k.columns * N);
    k.P = want < most ? want : most;
    return k;
}

/// Length of a thread's vector.
template <class T>
int vector(i64 C) {
    return C % kVec<T> == 0 ? kVec<T> : 1;
}

template <int V, class T>
__device__ inline void read(const T* p, float* v) {
    if constexpr (V == 1) v[0] = to_float(*p);
    else load_vec(p, v);
}
template <int V, class T>
__device__ inline void write(T* p, const float* v) {
    if constexpr (V == 1) *p = from_float<T>(v[0]);
    else store_vec(p, v);
}

__device__ inline i64 row_of_part(i64 S, i64 p, i64 P) { return S * p / P; }

/// part [N][P][2][C]: mean and sum of squared distances from the mean, over the rows of a part.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) statistics(const T* x, float* part, i64 S, int C) {
    await_inputs();
    CG_SHARED(float, smem);  // [ty][2 V][tx], then the rows' counts
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, X = (int)blockDim.x, Y = (int)blockDim.y;
    const int c = ((int)blockIdx.x * X + tx) * V;
    const i64 P = gridDim.y, n = blockIdx.z, end = row_of_part(S, blockIdx.y + 1, P);
    float mean[V], m2[V], count = 0;
#pragma unroll
    for (int j = 0; j < V; j++) mean[j] = m2[j] = 0;
    for (i64 s = row_of_part(S, blockIdx.y, P) + ty; s < end && c < C; s += (i64)Y * kTile) {
        const i64 left = ceil_div(end - s, Y);
        const int k = left < kTile ? (int)left : kTile;
        float v[kTile][V];
#pragma unroll
        for (int i = 0; i < kTile; i++)
            if (i < k) read<V>(x + (n * S + s + (i64)i * Y) * C + c, v[i]);
        const float share = (float)k / (count + (float)k), pair = count * share;
#pragma unroll
        for (int j = 0; j < V; j++) {
            float m = 0, q = 0;
#pragma unroll
            for (int i = 0; i < kTile; i++)
                if (i < k) m += v[i][j];
            m /= (float)k;
#pragma unroll
            for (int i = 0; i < kTile; i++)
                if (i < k) q += (v[i][j] - m) * (v[i][j] - m);
            const float d = m - mean[j];
            mean[j] += d * share;
            m2[j] += q + d * d * pair;
        }
        count += (float)k;
    }
    float* counts = smem + 2 * V * X * Y;
#pragma unroll
    for (int j = 0; j < V; j++) {
        smem[(ty * 2 * V + j) * X + tx] = mean[j];
        smem[(ty * 2 * V + V + j) * X + tx] = m2[j];
    }
    if (tx == 0) counts[ty] = c < C ? count : 0.f;
    __syncthreads();
    if (ty > 0 || c >= C) return;
    for (int r = 1; r < Y; r++) {
        const float k = counts[r];
        if (k == 0.f) break;  // later rows are empty too
        const float share = k / (count + k), pair = count * share;
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float d = smem[(r * 2 * V + j) * X + tx] - mean[j];
            mean[j] += d * share;
            m2[j] += smem[(r * 2 * V + V + j) * X + tx] + d * d * pair;
        }
        count += k;
    }
    float* out = part + (n * P + blockIdx.y) * 2 * C + c;
#pragma unroll
    for (int j = 0; j < V; j++) {
        out[j] = mean[j];
        out[C + j] = m2[j];
    }
}

/// mean and rstd from the parts; a warp for each (n, group).
__global__ void __launch_bounds__(128)
    merge(const float* part, float* mean, float* rstd, i64 groups, i64 S, int C, int G, i64 P, float eps) {
    await_inputs();
    const i64 k = (i64)blockIdx.x * 4 + threadIdx.x / 32, n = k / G;
    if (k >= groups) return;
    const int D = C / G, first = (int)(k % G) * D, lane = (int)threadIdx.x & 31;
    const float all = (float)(S * D);
    float m = 0, q = 0;
    for (i64 i = lane; i < P * D; i += 32) {
        const i64 p = i / D;
        m += (float)(row_of_part(S, p + 1, P) - row_of_part(S, p, P)) / all * part[(n * P + p) * 2 * C + first + i % D];
    }
    m = warp_sum(m);
    for (i64 i = lane; i < P * D; i += 32) {
        const i64 p = i / D;
        const float* s = part + (n * P + p) * 2 * C + first + i % D;
        q += s[C] + (float)(row_of_part(S, p + 1, P) - row_of_part(S, p, P)) * (s[0] - m) * (s[0] - m);
    }
    q = warp_sum(q);
    if (lane == 0) {
        mean[k] = m;
        rstd[k] = rsqrtf(q / all + eps);
    }
}

/// Every kernel computes z by this function, so that backward finds the sign that forward had.
__device__ inline float z_of(float x, float mean, float a, float beta) { return fmaf(x - mean, a, beta); }

/// y from mean and rstd [N, G]; if `given`, from mean and variance [C], the latter in rstd.
template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    apply(const T* x, const float* gamma, const float* beta, const float* mean, const float* rstd, T* y, i64 S, int C,
          int G, bool given, float eps, float slope) {
    await_inputs();
    const int c = ((int)blockIdx.x * (int)blockDim.x + (int)threadIdx.x) * V;
    if (c >= C) return;
    const i64 P = gridDim.y, n = blockIdx.z, end = row_of_part(S, blockIdx.y + 1, P);
    float m[V], a[V], b[V];
#pragma unroll
    for (int j = 0; j < V; j++) {
        const i64 k = n * G + (c + j) / (C / G);
        m[j] = mean[k];
        a[j] = (given ? 1.f / sqrtf(rstd[k] + eps) : rstd[k]) * gamma[c + j];
        b[j] = beta[c + j];
    }
    for (i64 s = row_of_part(S, blockIdx.y, P) + threadIdx.y; s < end; s += blockDim.y) {
        float v[V];
        read<V>(x + (n * S + s) * C + c, v);
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float z = z_of(v[j], m[j], a[j], b[j]);
            v[j] = z > 0.f ? z : slope * z;
        }
        write<V>(y + (n * S + s) * C + c, v);
    }
}

/// part [N][P][2][C]: sums of dz h and dz.
template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    sums(const T* dY, const T* x, const float* gamma, const float* beta, const float* mean, const float* rstd,
         float* part, i64 S, int C, int G, float slope) {
    await_inputs();
    CG_SHARED(float, smem);  // [ty][2 V][tx]
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, X = (int)blockDim.x, Y = (int)blockDim.y;
    const int c = ((int)blockIdx.x * X + tx) * V;
    const i64 P = gridDim.y, n = blockIdx.z, end = row_of_part(S, blockIdx.y + 1, P);
    float h[V], d[V];
#pragma unroll
    for (int j = 0; j < V; j++) h[j] = d[j] = 0;
    if (c < C) {
        float m[V], q[V], a[V], b[V];
#pragma unroll
        for (int j = 0; j < V; j++) {
            const i64 k = n * G + (c + j) / (C / G);
            m[j] = mean[k];
            q[j] = rstd[k];
            a[j] = q[j] * gamma[c + j];
            b[j] = beta[c + j];
        }
        for (i64 s = row_of_part(S, blockIdx.y, P) + ty; s < end; s += Y) {
            float v[V], w[V];
            read<V>(x + (n * S + s) * C + c, v);
            read<V>(dY + (n * S + s) * C + c, w);
#pragma unroll
            for (int j = 0; j < V; j++) {
                const float dz = z_of(v[j], m[j], a[j], b[j]) > 0.f ? w[j] : slope * w[j];
                h[j] += dz * (v[j] - m[j]);
                d[j] += dz;
            }
        }
#pragma unroll
        for (int j = 0; j < V; j++) h[j] *= q[j];
    }
#pragma unroll
    for (int j = 0; j < V; j++) {
        smem[(ty * 2 * V + j) * X + tx] = h[j];
        smem[(ty * 2 * V + V + j) * X + tx] = d[j];
    }
    __syncthreads();
    if (ty > 0 || c >= C) return;
    float* out = part + (n * P + blockIdx.y) * 2 * C + c;
#pragma unroll
    for (int j = 0; j < V; j++) {
        for (int r = 1; r < Y; r++) {
            h[j] += smem[(r * 2 * V + j) * X + tx];
            d[j] += smem[(r * 2 * V + V + j) * X + tx];
        }
        out[j] = h[j];
        out[C + j] = d[j];
    }
}

/// less [N][G][2], the terms that dX subtracts: rstd mean(dh) and rstd^2 mean(dh h). A warp for each (n, group).
__global__ void __launch_bounds__(128) merge_grad(const float* part, const float* gamma, const float* rstd, float* less,
                                                  i64 groups, i64 S, int C, int G, i64 P) {
    await_inputs();
    const i64 k = (i64)blockIdx.x * 4 + threadIdx.x / 32, n = k / G;
    if (k >= groups) return;
    const int D = C / G, first = (int)(k % G) * D, lane = (int)threadIdx.x & 31;
    float a = 0, b = 0;
    for (i64 i = lane; i < P * D; i += 32) {
        const int c = first + (int)(i % D);
        const float* s = part + (n * P + i / D) * 2 * C + c;
        b += gamma[c] * s[0];
        a += gamma[c] * s[C];
    }
    a = warp_sum(a) / (float)(S * D);
    b = warp_sum(b) / (float)(S * D);
    if (lane == 0) {
        less[2 * k] = rstd[k] * a;
        less[2 * k + 1] = rstd[k] * rstd[k] * b;
    }
}

__global__ void __launch_bounds__(256) merge_weights(const float* part, float* dGamma, float* dBeta, i64 parts, int C) {
    await_inputs();
    __shared__ float smem[8][32];
    const int c = (int)(blockIdx.x * 32 + threadIdx.x);
    float s = 0;
    if (c < C)
        for (i64 p = threadIdx.y; p < parts; p += 8) s += part[(p * 2 + blockIdx.y) * C + c];
    smem[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.y > 0 || c >= C) return;
    for (int i = 1; i < 8; i++) s += smem[i][threadIdx.x];
    (blockIdx.y == 0 ? dGamma : dBeta)[c] = s;
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    apply_grad(const T* dY, const T* x, const float* gamma, const float* beta, const float* mean, const float* rstd,
               const float* less, T* dX, i64 S, int C, int G, float slope) {
    await_inputs();
    const int c = ((int)blockIdx.x * (int)blockDim.x + (int)threadIdx.x) * V;
    if (c >= C) return;
    const i64 P = gridDim.y, n = blockIdx.z, end = row_of_part(S, blockIdx.y + 1, P);
    float m[V], a[V], b[V], la[V], lb[V];
#pragma unroll
    for (int j = 0; j < V; j++) {
        const i64 k = n * G + (c + j) / (C / G);
        m[j] = mean[k];
        a[j] = rstd[k] * gamma[c + j];
        b[j] = beta[c + j];
        la[j] = less[2 * k];
        lb[j] = less[2 * k + 1];
    }
    for (i64 s = row_of_part(S, blockIdx.y, P) + threadIdx.y; s < end; s += blockDim.y) {
        float v[V], w[V];
        read<V>(x + (n * S + s) * C + c, v);
        read<V>(dY + (n * S + s) * C + c, w);
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float dz = z_of(v[j], m[j], a[j], b[j]) > 0.f ? w[j] : slope * w[j];
            w[j] = dz * a[j] - la[j] - (v[j] - m[j]) * lb[j];
        }
        write<V>(dX + (n * S + s) * C + c, w);
    }
}

__global__ void __launch_bounds__(128)
    track(float* rm, float* rv, const float* mean, const float* rstd, int C, float momentum, float bessel, float eps) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    rm[c] += momentum * (mean[c] - rm[c]);
    rv[c] += momentum * ((1.f / (rstd[c] * rstd[c]) - eps) * bessel - rv[c]);
}

/// Calls f with the vector's length as a constant.
template <class T, class F>
void with_vector(i64 C, F&& f) {
    if (vector<T>(C) == 1) f(std::integral_constant<int, 1>());
    else f(std::integral_constant<int, kVec<T>>());
}

}  // namespace

i64 channel_norm_scratch(const ChannelNormArgs& g) {
    // The vector's length depends on the type, which is unknown here: take the largest number of parts.
    i64 most = 0;
    for (int V : {1, kVec<float>, kVec<bf16>}) {
        const i64 P = split(g.N, g.S, g.C, V).P;
        if (P > most) most = P;
    }
    return align_up(g.N * most * 2 * g.C * 4, 256);
}

template <class T>
void channel_norm(const ChannelNormArgs& g, Stream st) {
    const T* x = (const T*)g.x;
    float *mean = (float*)g.mean, *rstd = (float*)g.rstd, *part = (float*)g.scratch;
    const int C = (int)g.C, G = (int)g.G;
    const Split k = split(g.N, g.S, g.C, vector<T>(g.C));
    const dim3 blocks = grid(k.columns, k.P, g.N), threads(k.tx, k.ty);
    with_vector<T>(g.C, [&](auto v) {
        constexpr int V = decltype(v)::value;
        CG_LAUNCH((statistics<T, V>), blocks, threads, (size_t)(2 * V * kThreads + k.ty) * 4, st, x, part, g.S, C);
        CG_LAUNCH((merge), grid(ceil_div(g.N * G, 4)), 128, 0, st, (const float*)part, mean, rstd, g.N * G, g.S, C, G,
                  k.P, (float)g.eps);
        CG_LAUNCH((apply<T, V>), blocks, threads, 0, st, x, (const float*)g.gamma, (const float*)g.beta,
                  (const float*)mean, (const float*)rstd, (T*)g.y, g.S, C, G, false, 0.f, (float)g.slope);
    });
}

i64 channel_norm_grad_scratch(const ChannelNormGradArgs& g) {
    ChannelNormArgs same{};
    same.N = g.N, same.S = g.S, same.C = g.C;
    return channel_norm_scratch(same) + align_up(g.N * g.G * 2 * 4, 256);
}

template <class T>
void channel_norm_grad(const ChannelNormGradArgs& g, Stream st) {
    const T *dY = (const T*)g.dY, *x = (const T*)g.x;
    const float *ga = (const float*)g.gamma, *be = (const float*)g.beta, *mean = (const float*)g.mean,
                *rstd = (const float*)g.rstd;
    const int C = (int)g.C, G = (int)g.G;
    const Split k = split(g.N, g.S, g.C, vector<T>(g.C));
    float *part = (float*)g.scratch, *less = part + g.N * k.P * 2 * g.C;
    const dim3 blocks = grid(k.columns, k.P, g.N), threads(k.tx, k.ty);
    with_vector<T>(g.C, [&](auto v) {
        constexpr int V = decltype(v)::value;
        CG_LAUNCH((sums<T, V>), blocks, threads, (size_t)(2 * V * kThreads) * 4, st, dY, x, ga, be, mean, rstd, part,
                  g.S, C, G, (float)g.slope);
        CG_LAUNCH((merge_grad), grid(ceil_div(g.N * G, 4)), 128, 0, st, (const float*)part, ga, rstd, less, g.N * G,
                  g.S, C, G, k.P);
        CG_LAUNCH((merge_weights), grid(ceil_div(C, 32), 2), dim3(32, 8), 0, st, (const float*)part, (float*)g.dGamma,
                  (float*)g.dBeta, g.N * k.P, C);
        CG_LAUNCH((apply_grad<T, V>), blocks, threads, 0, st, dY, x, ga, be, mean, rstd, (const float*)less, (T*)g.dX,
                  g.S, C, G, (float)g.slope);
    });
}

template <class T>
void channel_affine(const ChannelAffineArgs& g, Stream st) {
    const int C = (int)g.C;
    const Split k = split(1, g.rows, g.C, vector<T>(g.C));
    with_vector<T>(g.C, [&](auto v) {
        CG_LAUNCH((apply<T, decltype(v)::value>), grid(k.columns, k.P), dim3(k.tx, k.ty), 0, st, (const T*)g.x,
                  (const float*)g.gamma, (const float*)g.beta, (const float*)g.mean, (const float*)g.var, (T*)g.y,
                  g.rows, C, C, true, (float)g.eps, (float)g.slope);
    });
}

template <class T>
void track_statistics(const TrackStatisticsArgs& g, Stream st) {
    CG_LAUNCH((track), grid(ceil_div(g.C, 128)), 128, 0, st, (float*)g.runningMean, (float*)g.runningVar,
              (const float*)g.mean, (const float*)g.rstd, (int)g.C, (float)g.momentum, (float)(g.count / (g.count - 1)),
              (float)g.eps);
}

CG_CUDA(channel_norm, ChannelNormArgs)
CG_CUDA(channel_norm_grad, ChannelNormGradArgs)
CG_CUDA(channel_affine, ChannelAffineArgs)
CG_CUDA_F32(track_statistics, TrackStatisticsArgs)

}  // namespace cg::cuda
