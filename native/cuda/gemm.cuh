// SPDX-License-Identifier: Apache-2.0
// Matrix products: y[m, n] = scale sum_k a(m, k) b(k, n) + bias[n]. Functors read a and b, so that plain products and
// all three convolutions (implicit GEMM) share it. A functor's along_k says whether k runs along its memory.
// Tiles are 64 x 64; bf16 through mma.sync m16n8k16, float by FMA. One grid computes one product or many (grouped
// discriminators). A long k is split, so that no block gets more than an equal share of the total work, whatever the
// products' sizes: the parts go to scratch and are summed in order, so the result is the same every time.
// cuBLASLt and cuDNN run plain products and 2-D convolutions on a GPU, sliced.cuh grouped products and convolutions
// over vertices. This product needs no library, runs in the simulation, and serves what the others refuse.
//
// Versions: 1, with functors that divided for every element; 2, divisions as products (Divisor); 3, one kernel for one
// product and for many, for every layout (nvcc takes a quarter less time for matmul.cu; not measured on a GPU).
// Floor: the larger of 2 M N K FLOPs over the peak rate and the bytes of a, b and y over bandwidth.
#pragma once

#include <type_traits>
#include <vector>

#include "device.cuh"
#include "mma.cuh"
#include "split.cuh"

namespace cg::cuda::gemm {

using split::Extent;

constexpr int kM = 64, kN = 64, kThreads = 128;

/// The upper 32 bits of a product.
__device__ inline uint32_t mul_high(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
    return __umulhi(a, b);
#else
    return (uint32_t)((uint64_t)a * b >> 32);
#endif
}

/// Division of 0 <= n < 2^31 by a fixed number, as a product (Granlund and Montgomery 1994, section 4).
struct Divisor {
    uint32_t d, magic, shift;

    static Divisor by(i64 d) {
        uint32_t shift = 0;
        while ((1ll << shift) < d) shift++;
        return {(uint32_t)d, (uint32_t)(((1ull << 32) * ((1ull << shift) - (uint64_t)d)) / (uint64_t)d + 1), shift};
    }
    __device__ int of(int n) const { return (int)((mul_high((uint32_t)n, magic) + (uint32_t)n) >> shift); }
    /// Divides n and leaves its remainder there.
    __device__ int split(int& n) const {
        const int q = of(n);
        n -= q * (int)d;
        return q;
    }
};

struct Problem {
    i64 M, N, K;
    const float *bias, *scale;
    i64 splits;
    float* part;  // [splits][M][N] if splits > 1
};

/// The accumulators of a block's tile of 64 rows and 64 columns. each(f) calls f(row, column, value).
template <class T>
struct Tile;

template <>
struct Tile<bf16> {
    static constexpr int kK = 32, kPad = 8;
    static constexpr size_t kShared = (size_t)(kM + kN) * (kK + kPad) * 2;
    float c[2][4][4];  // a warp has 32 x 32: 2 x 4 products of 16 x 8

    __device__ void clear() {
        for (auto& x : c)
            for (auto& y : x)
                for (float& z : y) z = 0;
    }
    template <class A, class B>
    __device__ void add(const A& a, const B& b, i64 m0, i64 n0, i64 k0, const Problem& p, i64 k_end,
                        unsigned char* shared) {
        bf16(*sa)[kK + kPad] = (bf16(*)[kK + kPad]) shared;
        bf16(*sb)[kK + kPad] = sa + kM;
        const int tid = (int)threadIdx.x, lane = tid & 31, warp = tid / 32;
        const bf16 zero{0};
        // Neighbouring threads read neighbouring elements.
        for (int i = tid; i < kM * kK; i += kThreads) {
            const int m = a.along_k ? i / kK : i % kM, k = a.along_k ? i % kK : i / kM;
            sa[m][k] = m0 + m < p.M && k0 + k < k_end ? a(m0 + m, k0 + k) : zero;
        }
        for (int i = tid; i < kN * kK; i += kThreads) {
            const int n = b.along_k ? i / kK : i % kN, k = b.along_k ? i % kK : i / kN;
            sb[n][k] = n0 + n < p.N && k0 + k < k_end ? b(k0 + k, n0 + n) : zero;
        }
        __syncthreads();
        const int wm = warp / 2 * 32, wn = warp % 2 * 32, l8 = lane & 7, l4 = lane / 8;
#pragma unroll
        for (int k = 0; k < kK; k += 16) {
            uint32_t fa[2][4], fb[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                // matrices: rows 0-7 and 8-15 at k, then both at k + 8
                load_matrices<false>(fa[i], &sa[wm + i * 16 + l8 + (l4 & 1) * 8][k + (l4 >> 1) * 8]);
                // columns 0-7 at k and k + 8, then columns 8-15
                load_matrices<false>(fb[i], &sb[wn + i * 16 + l8 + (l4 >> 1) * 8][k + (l4 & 1) * 8]);
            }
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) mma_bf16(c[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
        }
        __syncthreads();
    }
    template <class F>
    __device__ void each(F&& f) const {
        const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    f(warp / 2 * 32 + i * 16 + lane / 4 + e / 2 * 8, warp % 2 * 32 + j * 8 + lane % 4 * 2 + e % 2,
                      c[i][j][e]);
    }
};

template <>
struct Tile<float> {
    static constexpr int kK = 16, kPad = 4;
    static constexpr size_t kShared = (size_t)kK * (kM + kPad + kN + kPad) * 4;
    float c[8][4];  // a thread has rows tm + 8 i and 4 neighbouring columns

    __device__ void clear() {
        for (auto& x : c)
            for (float& y : x) y = 0;
    }
    template <class A, class B>
    __device__ void add(const A& a, const B& b, i64 m0, i64 n0, i64 k0, const Problem& p, i64 k_end,
                        unsigned char* shared) {
        float (*sa)[kM + kPad] = (float (*)[kM + kPad]) shared;
        float (*sb)[kN + kPad] = (float (*)[kN + kPad])(sa + kK);
        const int tid = (int)threadIdx.x, tm = tid / 16, tn = tid % 16;
        for (int i = tid; i < kM * kK; i += kThreads) {
            const int m = a.along_k ? i / kK : i % kM, k = a.along_k ? i % kK : i / kM;
            sa[k][m] = m0 + m < p.M && k0 + k < k_end ? a(m0 + m, k0 + k) : 0.f;
        }
        for (int i = tid; i < kN * kK; i += kThreads) {
            const int n = b.along_k ? i / kK : i % kN, k = b.along_k ? i % kK : i / kN;
            sb[k][n] = n0 + n < p.N && k0 + k < k_end ? b(k0 + k, n0 + n) : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < kK; k++) {
            float x[8], y[4];
#pragma unroll
            for (int i = 0; i < 8; i++) x[i] = sa[k][tm + 8 * i];
#pragma unroll
            for (int j = 0; j < 4; j++) y[j] = sb[k][tn * 4 + j];
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) c[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
    template <class F>
    __device__ void each(F&& f) const {
        const int tm = (int)threadIdx.x / 16, tn = (int)threadIdx.x % 16;
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) f(tm + 8 * i, tn * 4 + j, c[i][j]);
    }
};

/// A product: operands, result and sizes.
template <class Y, class A, class B>
struct Job {
    A a;
    B b;
    Y* y;
    Problem p;
};
constexpr int kJobs = 64;
template <class J>
using Jobs = Rows<J, kJobs>;
/// The result's type of element.
template <class J>
using Element = std::remove_pointer_t<decltype(J::y)>;

template <class T, class J>
__global__ void __launch_bounds__(kThreads) products(const Jobs<J> __grid_constant__ jobs) {
    await_inputs();
    __shared__ __align__(16) unsigned char shared[Tile<T>::kShared];
    int part;
    const J& j = jobs.row[jobs.find((int)blockIdx.x, part)];
    const Problem& p = j.p;
    // The block's tile at m0, n0 of part z of k. Parts of k begin at multiples of the tile.
    const i64 tm = ceil_div(p.M, kM), tn = ceil_div(p.N, kN), steps = ceil_div(p.K, Tile<T>::kK);
    const i64 m0 = part % tm * kM, n0 = part / tm % tn * kN, z = part / (tm * tn);
    const i64 begin = steps * z / p.splits * Tile<T>::kK, end = steps * (z + 1) / p.splits * Tile<T>::kK;
    const i64 k_end = end < p.K ? end : p.K;
    Tile<T> tile;
    tile.clear();
    for (i64 k0 = begin; k0 < k_end; k0 += Tile<T>::kK) tile.add(j.a, j.b, m0, n0, k0, p, k_end, shared);
    const float s = p.scale ? *p.scale : 1.f;
    tile.each([&](int r, int c, float v) {
        const i64 m = m0 + r, n = n0 + c;
        if (m >= p.M || n >= p.N) return;
        if (p.splits > 1) p.part[(z * p.M + m) * p.N + n] = v;
        else j.y[m * p.N + n] = from_float<Element<J>>(s * v + (p.bias ? p.bias[n] : 0.f));
    });
}

/// A result whose parts lie in scratch.
template <class Y>
struct Parts {
    Y* y;
    Problem p;
};

template <class Y>
__global__ void __launch_bounds__(256) sum_parts(const Rows<Parts<Y>, kJobs> __grid_constant__ all) {
    await_inputs();
    int part;
    const auto& [y, p] = all.row[all.find((int)blockIdx.x, part)];
    const i64 i = (i64)part * 256 + threadIdx.x, n = p.M * p.N;
    if (i >= n) return;
    float v = 0;
    for (i64 z = 0; z < p.splits; z++) v += p.part[z * n + i];
    y[i] = from_float<Y>((p.scale ? *p.scale : 1.f) * v + (p.bias ? p.bias[i % p.N] : 0.f));
}

/// A wave's worth of parts.
constexpr split::Rule kSplit = {kM, kN, kBlocks, 256, 64};

template <class E>
i64 group_scratch(i64 n, E&& extent) {
    return split::scratch(kSplit, n, extent);
}
inline i64 scratch(i64 M, i64 N, i64 K) {
    return group_scratch(1, [&](i64) { return Extent{M, N, K}; });
}

/// Launches n products. job(i) gives a product's operands, result, bias and scale; `scratch` has group_scratch() bytes.
template <class T, class E, class F>
void run_groups(i64 n, E&& extent, F&& job, void* scratch, Stream s) {
    using J = decltype(job(0));
    using Y = Element<J>;
    std::vector<J> jobs;
    for (i64 i = 0; i < n; i++) {
        J j = job(i);
        const Extent e = extent(i);
        j.p.M = e.M, j.p.N = e.N, j.p.K = e.K;
        jobs.push_back(j);
    }
    split::place(kSplit, n, [&](i64 i) -> Problem& { return jobs[i].p; }, scratch);
    for_rows<kJobs>(
        jobs.data(), n,
        [](const J& j) { return split::tiles(kSplit, split::Extent{j.p.M, j.p.N, j.p.K}) * j.p.splits; },
        [&](const Jobs<J>& t, i64 blocks, i64) { CG_LAUNCH((products<T, J>), grid(blocks), kThreads, 0, s, t); });
    std::vector<Parts<Y>> parts;
    for (const J& j : jobs)
        if (j.p.splits > 1) parts.push_back({j.y, j.p});
    for_rows<kJobs>(
        parts.data(), (i64)parts.size(), [](const Parts<Y>& r) { return ceil_div(r.p.M * r.p.N, 256); },
        [&](const Rows<Parts<Y>, kJobs>& t, i64 blocks, i64) {
            CG_LAUNCH((sum_parts<Y>), grid(blocks), 256, 0, s, t);
        });
}

/// Launches one product; `scratch` has scratch(M, N, K) bytes.
template <class T, class Y, class A, class B>
void run(const A& a, const B& b, Y* y, i64 M, i64 N, i64 K, const void* bias, const void* scale, void* scratch,
         Stream s) {
    run_groups<T>(
        1, [&](i64) { return Extent{M, N, K}; },
        [&](i64) { return Job<Y, A, B>{a, b, y, {0, 0, 0, (const float*)bias, (const float*)scale, 0, nullptr}}; },
        scratch, s);
}

}  // namespace cg::cuda::gemm
