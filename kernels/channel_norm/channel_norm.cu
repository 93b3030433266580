// SPDX-License-Identifier: Apache-2.0
// A thread owns a vector of channels (16 bytes; single channels where C is no multiple) and walks down rows. A block
// has 256 threads as (channels, rows). Each n's rows are split over blocks so that the grid fills the GPU, for
// N = 1 too.
// Statistics: a thread holds 8 rows in registers, passes over them twice, and merges such tiles by Chan's formula. Then
// the block merges its rows in order, and a warp for each (n, group) merges parts and channels.
// Backward: sums over the same parts; their merge gives dGamma, dBeta, dShift and the group's two means; then dX.
// Floor: bytes over bandwidth, 3 tensors forward, 5 backward. Versions, not measured on a card:
//   1. leaky ReLU only
//   2. swish and a shift
//   3. no 64-bit division of rows; bounds that keep 2 blocks of sums and 5 of apply on an SM, without spills
#include "activations.cuh"
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

/// The S rows of an n in P parts: part p begins at row S p / P. A division of 64 bits, which costs a call and a stack,
/// is left to the host; P is at most 4 kBlocks.
struct Parts {
    i64 each;
    unsigned rest, n;

    Parts(i64 S, i64 P) : each(S / P), rest((unsigned)(S % P)), n((unsigned)P) {}
    __device__ i64 begin(unsigned p) const { return each * p + rest * p / n; }
    __device__ float size(unsigned p) const { return (float)(begin(p + 1) - begin(p)); }
};

/// part [N][P][2][C]: mean and sum of squared distances from the mean, over the rows of a part.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) statistics(const T* x, float* part, i64 S, Parts parts, int C) {
    await_inputs();
    CG_SHARED(float, smem);  // [ty][2 V][tx], then the rows' counts
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, X = (int)blockDim.x, Y = (int)blockDim.y;
    const int c = ((int)blockIdx.x * X + tx) * V;
    const i64 n = blockIdx.z, end = parts.begin(blockIdx.y + 1);
    float mean[V], m2[V], count = 0;
#pragma unroll
    for (int j = 0; j < V; j++) mean[j] = m2[j] = 0;
    for (i64 s = parts.begin(blockIdx.y) + ty; s < end && c < C; s += (i64)Y * kTile) {
        const i64 left = end - s;
        const int k = left < (i64)Y * kTile ? ((int)left + Y - 1) / Y : kTile;
        float v[kTile][V];
#pragma unroll
        for (int i = 0; i < kTile; i++)
            if (i < k) load_vec<V>(x + (n * S + s + (i64)i * Y) * C + c, v[i]);
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
    float* out = part + (n * parts.n + blockIdx.y) * 2 * C + c;
#pragma unroll
    for (int j = 0; j < V; j++) {
        out[j] = mean[j];
        out[C + j] = m2[j];
    }
}

/// mean and rstd from the parts; a warp for each (n, group).
template <class T>
__global__ void __launch_bounds__(128) merge(const float* part, const T* shift, float* mean, float* rstd, int groups,
                                             i64 S, Parts parts, int C, int G, float eps) {
    await_inputs();
    const int k = (int)(blockIdx.x * 4 + threadIdx.x / 32), n = k / G;
    if (k >= groups) return;
    const int D = C / G, first = k % G * D, lane = (int)threadIdx.x & 31, terms = (int)parts.n * D;
    const float all = (float)(S * D);
    part += (i64)n * parts.n * 2 * C + first;
    auto at = [&](int i) { return part + (i64)(i / D) * 2 * C + i % D; };
    auto mean_of = [&](int i) { return shift ? *at(i) + to_float(shift[(i64)n * C + first + i % D]) : *at(i); };
    float m = 0, q = 0;
    for (int i = lane; i < terms; i += 32) m += parts.size(i / D) / all * mean_of(i);
    m = warp_sum(m);
    for (int i = lane; i < terms; i += 32) {
        const float d = mean_of(i) - m;
        q += at(i)[C] + parts.size(i / D) * d * d;
    }
    q = warp_sum(q);
    if (lane == 0) {
        mean[k] = m;
        rstd[k] = rsqrtf(q / all + eps);
    }
}

/// Every kernel computes z by this function, so that backward finds the sign that forward had.
__device__ inline float z_of(float x, float mean, float a, float beta) { return fmaf(x - mean, a, beta); }

/// dz = dY f'(z).
template <class T, ActivationKind K>
__device__ inline float slope_times(float z, float dY, float alpha) {
    if constexpr (K == ActivationKind::LEAKY_RELU) return z > 0.f ? dY : alpha * dY;
    else return dY * activation_slope<T, K>(z, alpha);
}

/// The group's mean for each of V channels from c on, less the channel's shift, since u - mean = x - (mean - shift).
template <int V, class T>
__device__ inline void load_means(const float* mean, const T* shift, i64 n, int c, int C, int G, float* m) {
    float moved[V];
    if (shift) load_vec<V>(shift + n * C + c, moved);
#pragma unroll
    for (int j = 0; j < V; j++) m[j] = mean[n * G + (c + j) / (C / G)] - (shift ? moved[j] : 0.f);
}

/// y from mean and rstd [N, G]; if `given`, from mean and variance [C], the latter in rstd.
template <class T, int V, ActivationKind K>
__global__ void __launch_bounds__(kThreads, 5)
    apply(const T* x, const T* shift, const float* gamma, const float* beta, const float* mean, const float* rstd, T* y,
          i64 S, Parts parts, int C, int G, bool given, float eps, float alpha) {
    await_inputs();
    const int c = ((int)blockIdx.x * (int)blockDim.x + (int)threadIdx.x) * V;
    if (c >= C) return;
    const i64 n = blockIdx.z, end = parts.begin(blockIdx.y + 1);
    float m[V], a[V], b[V];
    load_means<V>(mean, shift, n, c, C, G, m);
#pragma unroll
    for (int j = 0; j < V; j++) {
        const i64 k = n * G + (c + j) / (C / G);
        a[j] = (given ? 1.f / sqrtf(rstd[k] + eps) : rstd[k]) * gamma[c + j];
        b[j] = beta[c + j];
    }
    for (i64 s = parts.begin(blockIdx.y) + threadIdx.y; s < end; s += blockDim.y) {
        float v[V];
        load_vec<V>(x + (n * S + s) * C + c, v);
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = activation_value<T, K>(z_of(v[j], m[j], a[j], b[j]), alpha);
        store_vec<V>(y + (n * S + s) * C + c, v);
    }
}

/// part [N][P][2][C]: sums of dz h and dz; if x is shifted, offsets [N][P][C]: sums of u - mean. Two blocks a
/// multiprocessor: for three, ptxas spills 12 bytes in bf16 on sm_80.
template <class T, int V, ActivationKind K>
__global__ void __launch_bounds__(kThreads, 2)
    sums(const T* dY, const T* x, const T* shift, const float* gamma, const float* beta, const float* mean,
         const float* rstd, float* part, float* offsets, i64 S, Parts parts, int C, int G, float alpha) {
    await_inputs();
    CG_SHARED(float, smem);  // [ty][2 V][tx], then [ty][V][tx] if x is shifted
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, X = (int)blockDim.x, Y = (int)blockDim.y;
    const int c = ((int)blockIdx.x * X + tx) * V;
    const i64 n = blockIdx.z, end = parts.begin(blockIdx.y + 1);
    float h[V], d[V], o[V];
#pragma unroll
    for (int j = 0; j < V; j++) h[j] = d[j] = o[j] = 0;
    if (c < C) {
        float m[V], a[V], b[V];
        load_means<V>(mean, shift, n, c, C, G, m);
#pragma unroll
        for (int j = 0; j < V; j++) {
            a[j] = rstd[n * G + (c + j) / (C / G)] * gamma[c + j];
            b[j] = beta[c + j];
        }
        for (i64 s = parts.begin(blockIdx.y) + ty; s < end; s += Y) {
            float v[V], w[V];
            load_vec<V>(x + (n * S + s) * C + c, v);
            load_vec<V>(dY + (n * S + s) * C + c, w);
#pragma unroll
            for (int j = 0; j < V; j++) {
                const float dz = slope_times<T, K>(z_of(v[j], m[j], a[j], b[j]), w[j], alpha);
                h[j] += dz * (v[j] - m[j]);
                d[j] += dz;
                if (shift) o[j] += v[j] - m[j];
            }
        }
#pragma unroll
        for (int j = 0; j < V; j++) h[j] *= rstd[n * G + (c + j) / (C / G)];  // read again, to keep registers free
    }
#pragma unroll
    for (int j = 0; j < V; j++) {
        smem[(ty * 2 * V + j) * X + tx] = h[j];
        smem[(ty * 2 * V + V + j) * X + tx] = d[j];
        if (shift) smem[((2 * Y + ty) * V + j) * X + tx] = o[j];
    }
    __syncthreads();
    if (ty > 0 || c >= C) return;
    float* out = part + (n * parts.n + blockIdx.y) * 2 * C + c;
#pragma unroll
    for (int j = 0; j < V; j++) {
        for (int r = 1; r < Y; r++) {
            h[j] += smem[(r * 2 * V + j) * X + tx];
            d[j] += smem[(r * 2 * V + V + j) * X + tx];
        }
        out[j] = h[j];
        out[C + j] = d[j];
        if (!shift) continue;
        for (int r = 1; r < Y; r++) o[j] += smem[((2 * Y + r) * V + j) * X + tx];
        offsets[(n * parts.n + blockIdx.y) * C + c + j] = o[j];
    }
}

/// less [N][G][2], the terms that dX subtracts: rstd mean(dh) and rstd^2 mean(dh h). A warp for each (n, group).
__global__ void __launch_bounds__(128) merge_grad(const float* part, const float* gamma, const float* rstd, float* less,
                                                  int groups, i64 S, int C, int G, int P) {
    await_inputs();
    const int k = (int)(blockIdx.x * 4 + threadIdx.x / 32), n = k / G;
    if (k >= groups) return;
    const int D = C / G, first = k % G * D, lane = (int)threadIdx.x & 31;
    float a = 0, b = 0;
    for (int i = lane; i < P * D; i += 32) {
        const int c = first + i % D;
        const float* s = part + ((i64)n * P + i / D) * 2 * C + c;
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

/// dShift [N, C], the sum of dX over the rows.
template <class T>
__global__ void __launch_bounds__(128)
    merge_shift(const float* part, const float* offsets, const float* gamma, const float* rstd, const float* less,
                T* dShift, i64 S, int C, int G, i64 P) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    const i64 n = blockIdx.y, k = n * G + c / (C / G);
    float d = 0, o = 0;
    for (i64 p = n * P; p < (n + 1) * P; p++) {
        d += part[(p * 2 + 1) * C + c];
        o += offsets[p * C + c];
    }
    dShift[n * C + c] = from_float<T>(rstd[k] * gamma[c] * d - (float)S * less[2 * k] - o * less[2 * k + 1]);
}

template <class T, int V, ActivationKind K>
__global__ void __launch_bounds__(kThreads)
    apply_grad(const T* dY, const T* x, const T* shift, const float* gamma, const float* beta, const float* mean,
               const float* rstd, const float* less, T* dX, i64 S, Parts parts, int C, int G, float alpha) {
    await_inputs();
    const int c = ((int)blockIdx.x * (int)blockDim.x + (int)threadIdx.x) * V;
    if (c >= C) return;
    const i64 n = blockIdx.z, end = parts.begin(blockIdx.y + 1);
    float m[V], a[V], b[V], la[V], lb[V];
    load_means<V>(mean, shift, n, c, C, G, m);
#pragma unroll
    for (int j = 0; j < V; j++) {
        const i64 k = n * G + (c + j) / (C / G);
        a[j] = rstd[k] * gamma[c + j];
        b[j] = beta[c + j];
        la[j] = less[2 * k];
        lb[j] = less[2 * k + 1];
    }
    for (i64 s = parts.begin(blockIdx.y) + threadIdx.y; s < end; s += blockDim.y) {
        float v[V], w[V];
        load_vec<V>(x + (n * S + s) * C + c, v);
        load_vec<V>(dY + (n * S + s) * C + c, w);
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float dz = slope_times<T, K>(z_of(v[j], m[j], a[j], b[j]), w[j], alpha);
            w[j] = dz * a[j] - la[j] - (v[j] - m[j]) * lb[j];
        }
        store_vec<V>(dX + (n * S + s) * C + c, w);
    }
}

/// Sums of x and x^2 in double, from the parts' means and squared distances.
__global__ void __launch_bounds__(128) raw_sums(const float* part, double* sums, Parts parts, int C) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    double s = 0, q = 0;
    for (unsigned p = 0; p < parts.n; p++) {
        const double rows = parts.size(p), m = part[(i64)p * 2 * C + c];
        s += rows * m;
        q += part[(i64)p * 2 * C + C + c] + rows * m * m;
    }
    sums[c] = s;
    sums[C + c] = q;
}

/// mean and rstd from the sums of `count` rows.
__global__ void __launch_bounds__(128)
    from_sums(const double* sums, float* mean, float* rstd, int C, double inv_count, double eps) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    const double m = sums[c] * inv_count;
    mean[c] = (float)m;
    rstd[c] = (float)(1 / sqrt(fmax(sums[C + c] * inv_count - m * m, 0.0) + eps));
}

/// The parts' sums of dz h and dz, added up: in double, and as dGamma and dBeta.
__global__ void __launch_bounds__(128)
    add_parts(const float* part, double* sums, float* dGamma, float* dBeta, i64 parts, int C) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    double h = 0, d = 0;
    for (i64 p = 0; p < parts; p++) {
        h += part[p * 2 * C + c];
        d += part[p * 2 * C + C + c];
    }
    sums[c] = h;
    sums[C + c] = d;
    dGamma[c] = (float)h;
    dBeta[c] = (float)d;
}

/// less [C][2], the terms that dX subtracts, from the sums of `count` rows.
__global__ void __launch_bounds__(128)
    less_from_sums(const double* sums, const float* gamma, const float* rstd, float* less, int C, double inv_count) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    const double a = (double)rstd[c] * (double)gamma[c] * inv_count;
    less[2 * c] = (float)(a * sums[C + c]);
    less[2 * c + 1] = (float)(a * (double)rstd[c] * sums[c]);
}

__global__ void __launch_bounds__(128)
    track(float* rm, float* rv, const float* mean, const float* rstd, int C, float momentum, float bessel, float eps) {
    await_inputs();
    const int c = (int)(blockIdx.x * 128 + threadIdx.x);
    if (c >= C) return;
    rm[c] += momentum * (mean[c] - rm[c]);
    rv[c] += momentum * ((1.f / (rstd[c] * rstd[c]) - eps) * bessel - rv[c]);
}

/// Calls f with the vector's length and the activation as constants.
template <class T, class F>
void with_form(i64 C, ActivationKind kind, F&& f) {
    auto with_vector = [&](auto k) {
        if (vector<T>(C) == 1) f(std::integral_constant<int, 1>(), k);
        else f(std::integral_constant<int, kVec<T>>(), k);
    };
    switch (kind) {
        case ActivationKind::LEAKY_RELU:
            return with_vector(std::integral_constant<ActivationKind, ActivationKind::LEAKY_RELU>());
        case ActivationKind::SWISH: return with_vector(std::integral_constant<ActivationKind, ActivationKind::SWISH>());
        default: CG_CHECK(false, "a normalisation ends in leaky ReLU or swish");
    }
}

/// Parts of the rows of an n, the largest number over the vectors' lengths: the type is unknown where scratch memory is
/// sized.
i64 most_parts(i64 N, i64 S, i64 C) {
    i64 most = 0;
    for (int V : {1, kVec<float>, kVec<bf16>}) {
        const i64 P = split(N, S, C, V).P;
        if (P > most) most = P;
    }
    return most;
}

}  // namespace

i64 channel_norm_scratch(const ChannelNormArgs& g) {
    return align_up(g.N * most_parts(g.N, g.S, g.C) * 2 * g.C * 4, 256);
}

template <class T>
void channel_norm(const ChannelNormArgs& g, Stream st) {
    const T *x = (const T*)g.x, *shift = (const T*)g.shift;
    float *mean = (float*)g.mean, *rstd = (float*)g.rstd, *part = (float*)g.scratch;
    const int C = (int)g.C, G = (int)g.G;
    const Split k = split(g.N, g.S, g.C, vector<T>(g.C));
    const Parts parts(g.S, k.P);
    const dim3 blocks = grid(k.columns, k.P, g.N), threads(k.tx, k.ty);
    with_form<T>(g.C, g.kind, [&](auto v, auto kind) {
        constexpr int V = decltype(v)::value;
        CG_LAUNCH((statistics<T, V>), blocks, threads, (size_t)(2 * V * kThreads + k.ty) * 4, st, x, part, g.S, parts,
                  C);
        CG_LAUNCH((merge<T>), grid(ceil_div(g.N * G, 4)), 128, 0, st, (const float*)part, shift, mean, rstd,
                  (int)(g.N * G), g.S, parts, C, G, (float)g.eps);
        CG_LAUNCH((apply<T, V, decltype(kind)::value>), blocks, threads, 0, st, x, shift, (const float*)g.gamma,
                  (const float*)g.beta, (const float*)mean, (const float*)rstd, (T*)g.y, g.S, parts, C, G, false, 0.f,
                  (float)g.alpha);
    });
}

i64 channel_norm_grad_scratch(const ChannelNormGradArgs& g) {
    return align_up((g.N * most_parts(g.N, g.S, g.C) * 3 * g.C + g.N * g.G * 2) * 4, 256);
}

template <class T>
void channel_norm_grad(const ChannelNormGradArgs& g, Stream st) {
    const T *dY = (const T*)g.dY, *x = (const T*)g.x, *shift = (const T*)g.shift;
    const float *ga = (const float*)g.gamma, *be = (const float*)g.beta, *mean = (const float*)g.mean,
                *rstd = (const float*)g.rstd;
    const int C = (int)g.C, G = (int)g.G, sums_kept = shift ? 3 : 2;
    const Split k = split(g.N, g.S, g.C, vector<T>(g.C));
    float *part = (float*)g.scratch, *offsets = part + g.N * k.P * 2 * g.C, *less = offsets + g.N * k.P * g.C;
    const Parts parts(g.S, k.P);
    const dim3 blocks = grid(k.columns, k.P, g.N), threads(k.tx, k.ty);
    with_form<T>(g.C, g.kind, [&](auto v, auto kind) {
        constexpr int V = decltype(v)::value;
        constexpr ActivationKind K = decltype(kind)::value;
        CG_LAUNCH((sums<T, V, K>), blocks, threads, (size_t)(sums_kept * V * kThreads) * 4, st, dY, x, shift, ga, be,
                  mean, rstd, part, offsets, g.S, parts, C, G, (float)g.alpha);
        CG_LAUNCH((merge_grad), grid(ceil_div(g.N * G, 4)), 128, 0, st, (const float*)part, ga, rstd, less,
                  (int)(g.N * G), g.S, C, G, (int)k.P);
        CG_LAUNCH((merge_weights), grid(ceil_div(C, 32), 2), dim3(32, 8), 0, st, (const float*)part, (float*)g.dGamma,
                  (float*)g.dBeta, g.N * k.P, C);
        if (shift)
            CG_LAUNCH((merge_shift<T>), grid(ceil_div(C, 128), g.N), 128, 0, st, (const float*)part,
                      (const float*)offsets, ga, rstd, (const float*)less, (T*)g.dShift, g.S, C, G, k.P);
        CG_LAUNCH((apply_grad<T, V, K>), blocks, threads, 0, st, dY, x, shift, ga, be, mean, rstd, (const float*)less,
                  (T*)g.dX, g.S, parts, C, G, (float)g.alpha);
    });
}

template <class T>
void channel_affine(const ChannelAffineArgs& g, Stream st) {
    const int C = (int)g.C;
    const Split k = split(1, g.rows, g.C, vector<T>(g.C));
    with_form<T>(g.C, ActivationKind::LEAKY_RELU, [&](auto v, auto kind) {
        CG_LAUNCH((apply<T, decltype(v)::value, decltype(kind)::value>), grid(k.columns, k.P), dim3(k.tx, k.ty), 0, st,
                  (const T*)g.x, (const T*)nullptr, (const float*)g.gamma, (const float*)g.beta, (const float*)g.mean,
                  (const float*)g.var, (T*)g.y, g.rows, Parts(g.rows, k.P), C, C, true, (float)g.eps, (float)g.slope);
    });
}

template <class T>
void track_statistics(const TrackStatisticsArgs& g, Stream st) {
    CG_LAUNCH((track), grid(ceil_div(g.C, 128)), 128, 0, st, (float*)g.runningMean, (float*)g.runningVar,
              (const float*)g.mean, (const float*)g.rstd, (int)g.C, (float)g.momentum, (float)(g.count / (g.count - 1)),
              (float)g.eps);
}

i64 channel_sums_scratch(const ChannelSumsArgs& g) { return align_up(most_parts(1, g.S, g.C) * 2 * g.C * 4, 256); }

i64 channel_grad_sums_scratch(const ChannelGradSumsArgs& g) {
    return align_up(most_parts(1, g.S, g.C) * 2 * g.C * 4, 256);
}

i64 channel_grad_given_scratch(const ChannelGradGivenArgs& g) { return align_up(2 * g.C * 4, 256); }

template <class T>
void channel_sums(const ChannelSumsArgs& g, Stream st) {
    const int C = (int)g.C;
    const Split k = split(1, g.S, g.C, vector<T>(g.C));
    const Parts parts(g.S, k.P);
    with_form<T>(g.C, ActivationKind::LEAKY_RELU, [&](auto v, auto) {
        constexpr int V = decltype(v)::value;
        CG_LAUNCH((statistics<T, V>), grid(k.columns, k.P), dim3(k.tx, k.ty), (size_t)(2 * V * kThreads + k.ty) * 4, st,
                  (const T*)g.x, (float*)g.scratch, g.S, parts, C);
    });
    CG_LAUNCH((raw_sums), grid(ceil_div(C, 128)), 128, 0, st, (const float*)g.scratch, (double*)g.sums, parts, C);
}

template <class T>
void channel_norm_given(const ChannelNormGivenArgs& g, Stream st) {
    const int C = (int)g.C;
    const Split k = split(1, g.S, g.C, vector<T>(g.C));
    CG_LAUNCH((from_sums), grid(ceil_div(C, 128)), 128, 0, st, (const double*)g.sums, (float*)g.mean, (float*)g.rstd, C,
              1 / (double)g.count, g.eps);
    with_form<T>(g.C, ActivationKind::LEAKY_RELU, [&](auto v, auto kind) {
        CG_LAUNCH((apply<T, decltype(v)::value, decltype(kind)::value>), grid(k.columns, k.P), dim3(k.tx, k.ty), 0, st,
                  (const T*)g.x, (const T*)nullptr, (const float*)g.gamma, (const float*)g.beta, (const float*)g.mean,
                  (const float*)g.rstd, (T*)g.y, g.S, Parts(g.S, k.P), C, C, false, 0.f, (float)g.slope);
    });
}

template <class T>
void channel_grad_sums(const ChannelGradSumsArgs& g, Stream st) {
    const int C = (int)g.C;
    const Split k = split(1, g.S, g.C, vector<T>(g.C));
    float* part = (float*)g.scratch;
    with_form<T>(g.C, ActivationKind::LEAKY_RELU, [&](auto v, auto kind) {
        constexpr int V = decltype(v)::value;
        CG_LAUNCH((sums<T, V, decltype(kind)::value>), grid(k.columns, k.P), dim3(k.tx, k.ty),
                  (size_t)(2 * V * kThreads) * 4, st, (const T*)g.dY, (const T*)g.x, (const T*)nullptr,
                  (const float*)g.gamma, (const float*)g.beta, (const float*)g.mean, (const float*)g.rstd, part,
                  (float*)nullptr, g.S, Parts(g.S, k.P), C, C, (float)g.slope);
    });
    CG_LAUNCH((add_parts), grid(ceil_div(C, 128)), 128, 0, st, (const float*)part, (double*)g.sums, (float*)g.dGamma,
              (float*)g.dBeta, k.P, C);
}

template <class T>
void channel_grad_given(const ChannelGradGivenArgs& g, Stream st) {
    const int C = (int)g.C;
    const Split k = split(1, g.S, g.C, vector<T>(g.C));
    float* less = (float*)g.scratch;
    CG_LAUNCH((less_from_sums), grid(ceil_div(C, 128)), 128, 0, st, (const double*)g.sums, (const float*)g.gamma,
              (const float*)g.rstd, less, C, 1 / (double)g.count);
    with_form<T>(g.C, ActivationKind::LEAKY_RELU, [&](auto v, auto kind) {
        CG_LAUNCH((apply_grad<T, decltype(v)::value, decltype(kind)::value>), grid(k.columns, k.P), dim3(k.tx, k.ty), 0,
                  st, (const T*)g.dY, (const T*)g.x, (const T*)nullptr, (const float*)g.gamma, (const float*)g.beta,
                  (const float*)g.mean, (const float*)g.rstd, (const float*)less, (T*)g.dX, g.S, Parts(g.S, k.P), C, C,
                  (float)g.slope);
    });
}

CG_CUDA(channel_sums, ChannelSumsArgs)
CG_CUDA(channel_norm_given, ChannelNormGivenArgs)
CG_CUDA(channel_grad_sums, ChannelGradSumsArgs)
CG_CUDA(channel_grad_given, ChannelGradGivenArgs)
CG_CUDA(channel_norm, ChannelNormArgs)
CG_CUDA(channel_norm_grad, ChannelNormGradArgs)
CG_CUDA(channel_affine, ChannelAffineArgs)
CG_CUDA_F32(track_statistics, TrackStatisticsArgs)

}  // namespace cg::cuda
