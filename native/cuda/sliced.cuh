// SPDX-License-Identifier: Apache-2.0
// Pipelined products of bf16 matrices whose rows are slices of images:
//   y[m, n] = scale sum_k a[m, k] b[n, k] + bias[n]        sums in float, on the tensor cores (mma.sync m16n8k16)
// A row of `Slices` begins a fixed step after the row before it, and elements outside of its image are zero. A plain
// matrix is the case of one image whose step is the width. With channels innermost, a convolution over vertices is too:
// the window of output j is the contiguous slice of kernel x channels elements that begins at (j stride - pad)
// channels. So its operands are read like those of a plain product, 16 bytes at a time, and no loop divides.
//
// A block of 4 warps computes a tile of y. Tiles of a and b along k travel through a ring of stages in shared memory
// (cp.async); ldmatrix reads them, with their 16-byte chunks swizzled so that 8 rows lie in 8 different groups of
// banks. An operand may be stored with k along its slices (kAlongK) or with k as the number of the slice. Where slices
// do not begin at multiples of 16 bytes, a thread gathers the elements of a chunk one by one. Many problems (the
// regions' discriminators) share one grid. A problem with few tiles and a long k is split along k; the parts go to
// scratch and are summed in order, so the result is the same every time.
//
// Floor of 128 x 128 x 32 on a multiprocessor of Hopper: 256 HMMA of 4,096 FLOPs, 256 clocks at the tensor cores' full
// rate and 413 at the 0.62 of it that mma.sync reaches; shared memory 32 KiB read by LDSM and 16 KiB written, 384
// clocks of 128 bytes; 206 instructions a warp, 206 issue slots. So mma.sync sets the pace, at about 580 TFLOP/s, and
// shared memory is close behind. Prediction, not measured: 350.
//
// Versions: only this one.
#pragma once

#include <algorithm>
#include <vector>

#include "device.cuh"
#include "mma.cuh"

namespace cg::cuda::sliced {

constexpr int kThreads = 128;
/// Images, lengths and numbers of rows are below this, so that offsets and their sums with k fit 32 bits.
constexpr i64 kMost = 1 << 30;

/// Rows of `length` elements. Row i is slice i % count of image i / count, and begins at offset first + i % count *
/// step in it.
struct Slices {
    const bf16* p;
    int image;   // elements of an image
    int count;   // slices of an image
    int step;    // elements from the beginning of a slice to that of the next
    int first;   // offset of slice 0, may be negative
    int length;  // elements of a slice
};
/// A matrix [rows, length].
inline Slices matrix(const void* p, i64 rows, i64 length) {
    return {(const bf16*)p, (int)(rows * length), (int)rows, (int)length, 0, (int)length};
}
/// Where the result of type Y lies, itself slices of images.
template <class Y>
struct SlicesOut {
    static constexpr bool kWide = std::is_same_v<Y, bf16>;
    Y* p;
    int image, count, step, first;

    struct Row {
        Y* image;
        int at;
    };
    __device__ Row row(int m) const {
        const int i = m / count;
        return {p + (i64)i * image, first + (m - i * count) * step};
    }
    __device__ void store(const Row& r, int n, float v) const {
        if ((unsigned)(r.at + n) < (unsigned)image) r.image[r.at + n] = from_float<Y>(v);
    }
    bool wide(i64 columns) const { return kWide && aligned16(p) && ((int)columns | image | step | first) % 8 == 0; }
};
/// A matrix [rows, length].
template <class Y>
SlicesOut<Y> matrix_out(void* p, i64 rows, i64 length) {
    return {(Y*)p, (int)(rows * length), (int)rows, (int)length, 0};
}

struct Extent {
    i64 M, N, K;
};

/// One product. Columns from `late` on have zeros in b before k = skip.
template <class Out>
struct Job {
    Slices a, b;
    Out y;
    int M, N, K;
    int late, skip;
    const float *bias, *scale;
    bool wide;  // whether y can be stored 16 bytes at a time
    int splits;
    float* part;  // [splits][M][N] if splits > 1
};

template <class Out>
Job<Out> job(const Slices& a, const Slices& b, const Out& y, const Extent& e, const void* bias, const void* scale) {
    return {a,           b, y,      (int)e.M, (int)e.N, (int)e.K, (int)e.N, 0, (const float*)bias, (const float*)scale,
            y.wide(e.N), 1, nullptr};
}

/// The tile of a block (BM x BN), of a stage (BK along k), and the warps along m, n and k. Warps along k sum their
/// results at the end.
template <int BM_, int BN_, int BK_, int WM_, int WN_, int WK_, int STAGES_>
struct Config {
    static constexpr int BM = BM_, BN = BN_, BK = BK_, WM = WM_, WN = WN_, WK = WK_, STAGES = STAGES_;
    static_assert(WM * WN * WK * 32 == kThreads);
    static constexpr int MI = BM / WM / 16, NJ = BN / WN / 8;  // products of 16 x 8 of a warp
    static constexpr int kStage = (BM + BN) * BK * 2;
    static constexpr int kSums = WK > 1 ? (WK - 1) * BM * BN * 4 : 0;
    static constexpr int kShared = STAGES * kStage > kSums ? STAGES * kStage : kSums;
};

/// A tile of an operand in shared memory: WIDTH rows or columns of the result by BK. Each lane finds its 16-byte
/// chunks.
template <int WIDTH, int BK, bool ALONG_K>
struct Tile {
    static constexpr int kRows = ALONG_K ? WIDTH : BK, kChunks = (ALONG_K ? BK : WIDTH) / 8;
    /// Rows that share 128 bytes have the same swizzle.
    static constexpr int kSwizzled = kChunks < 8 ? kChunks : 8, kTogether = 8 / kSwizzled;
    static __device__ int swizzle(int row) { return row / kTogether & (kSwizzled - 1); }
    static __device__ int offset(int row, int chunk) { return (row * kChunks + (chunk ^ swizzle(row))) * 16; }
};

/// What a thread copies of an operand. Slices run along k: each thread has the same rows all the time.
template <class C, int WIDTH, bool ALONG_K, bool CHUNKS>
struct Loader;

/// Elements i .. i + 7 of an image as 16 bytes, zero where they are outside of it or from i + left on.
__device__ inline int4 gather(const bf16* image, int elements, int i, int left) {
    uint32_t w[4];
#pragma unroll
    for (int e = 0; e < 8; e++) {
        const uint32_t v = e < left && (unsigned)(i + e) < (unsigned)elements ? image[i + e].bits : 0;
        w[e / 2] = e % 2 ? w[e / 2] | v << 16 : v;
    }
    return {(int)w[0], (int)w[1], (int)w[2], (int)w[3]};
}

/// Copies chunks of 16 bytes into a stage. take(pass, i, left) is called with the offset of a chunk in its image.
template <class C, int WIDTH, bool CHUNKS>
struct Loader<C, WIDTH, true, CHUNKS> {
    using T = Tile<WIDTH, C::BK, true>;
    static constexpr int kStep = kThreads / T::kChunks, kPasses = (T::kRows + kStep - 1) / kStep;
    const bf16* image[kPasses];
    int from[kPasses];
    int elements, row, chunk;
    int4 held[CHUNKS ? 1 : kPasses];

    /// @param rows of the whole operand, @param i0 first row of the tile
    __device__ Loader(const Slices& s, int rows, int i0, int)
        : elements(s.image), row((int)threadIdx.x / T::kChunks), chunk((int)threadIdx.x % T::kChunks) {
#pragma unroll
        for (int p = 0; p < kPasses; p++) {
            const int i = i0 + row + p * kStep, b = i / s.count;
            const bool in = i < rows;
            image[p] = s.p + (in ? (i64)b * s.image : 0);
            from[p] = in ? s.first + (i - b * s.count) * s.step : -(1 << 30);
        }
    }
    /// Begins to read the stage at k0.
    __device__ void fetch(unsigned char* stage, int k0, int k_end) {
        const int k = k0 + chunk * 8;
#pragma unroll
        for (int p = 0; p < kPasses; p++) {
            if (T::kRows % kStep && row + p * kStep >= T::kRows) break;
            const int i = from[p] + k;
            if constexpr (CHUNKS) {
                const bool ok = k < k_end && (unsigned)i < (unsigned)elements;
                copy_async<true>(stage + T::offset(row + p * kStep, chunk), image[p] + (ok ? i : 0), ok);
            } else {
                held[p] = gather(image[p], elements, i, k_end - k);
            }
        }
    }
    /// Ends it. The stage must be free.
    __device__ void deposit(unsigned char* stage) const {
        if constexpr (!CHUNKS) {
#pragma unroll
            for (int p = 0; p < kPasses; p++) {
                if (T::kRows % kStep && row + p * kStep >= T::kRows) break;
                *(int4*)(stage + T::offset(row + p * kStep, chunk)) = held[p];
            }
        }
    }
};

/// Here k is the number of the slice, so a thread's slices move on from stage to stage.
template <class C, int WIDTH, bool CHUNKS>
struct Loader<C, WIDTH, false, CHUNKS> {
    using T = Tile<WIDTH, C::BK, false>;
    static constexpr int kStep = kThreads / T::kChunks, kPasses = (T::kRows + kStep - 1) / kStep;
    const bf16* image[kPasses];
    int slice[kPasses];
    int elements, count, step, at, left, row, chunk;
    int images_on, slices_on;  // from one stage to the next
    int4 held[CHUNKS ? 1 : kPasses];

    __device__ Loader(const Slices& s, int, int i0, int k0)
        : elements(s.image),
          count(s.count),
          step(s.step),
          row((int)threadIdx.x / T::kChunks),
          chunk((int)threadIdx.x % T::kChunks) {
        at = s.first + i0 + chunk * 8;
        left = s.length - i0 - chunk * 8;
        images_on = C::BK / s.count;
        slices_on = C::BK - images_on * s.count;
#pragma unroll
        for (int p = 0; p < kPasses; p++) {
            const int k = k0 + row + p * kStep, b = k / s.count;
            image[p] = s.p + (i64)b * s.image;
            slice[p] = k - b * s.count;
        }
    }
    __device__ void fetch(unsigned char* stage, int k0, int k_end) {
#pragma unroll
        for (int p = 0; p < kPasses; p++) {
            if (T::kRows % kStep && row + p * kStep >= T::kRows) break;
            const int i = at + slice[p] * step, here = k0 + row + p * kStep < k_end ? left : 0;
            if constexpr (CHUNKS) {
                const bool ok = here > 0 && (unsigned)i < (unsigned)elements;
                copy_async<true>(stage + T::offset(row + p * kStep, chunk), ok ? image[p] + i : image[0], ok);
            } else {
                held[p] = gather(image[p], elements, i, here);
            }
            slice[p] += slices_on;
            image[p] += (i64)images_on * elements;
            if (slice[p] >= count) slice[p] -= count, image[p] += elements;
        }
    }
    __device__ void deposit(unsigned char* stage) const {
        if constexpr (!CHUNKS) {
#pragma unroll
            for (int p = 0; p < kPasses; p++) {
                if (T::kRows % kStep && row + p * kStep >= T::kRows) break;
                *(int4*)(stage + T::offset(row + p * kStep, chunk)) = held[p];
            }
        }
    }
};

/// Where a lane reads its fragments of 16 x 16 in a tile: `inner` of a lane's row of 8 elements in the four matrices of
/// ldmatrix that lie 8 further along the result, `outer` 8 further along k, or the other way round for b.
template <int WIDTH, int BK, bool ALONG_K>
struct Reader {
    using T = Tile<WIDTH, BK, ALONG_K>;
    int base, low;  // of the lane's row; of its chunk

    /// @param at first row or column of the warp, @param along 8 or 0 for the lane's matrix, likewise by_k
    __device__ Reader(int at, int along, int by_k) {
        const int l8 = (int)threadIdx.x & 7;
        const int row = ALONG_K ? at + along + l8 : by_k + l8;
        base = row * T::kChunks * 16;
        low = T::swizzle(row) ^ (ALONG_K ? by_k / 8 : at / 8 + along / 8);
    }
    /// The 16 x 16 that begins at i (a multiple of 16 from the warp's first) and k (a multiple of 16).
    __device__ void read(uint32_t (&f)[4], const unsigned char* tile, int i, int k) const {
        if (ALONG_K) load_matrices<false>(f, tile + base + i * T::kChunks * 16 + (low ^ k / 8) * 16);
        else load_matrices<true>(f, tile + base + k * T::kChunks * 16 + (low ^ i / 8) * 16);
    }
};

/// Whether operands run along k, and whether copies of 16 bytes can read them.
template <bool A_ALONG_K, bool B_ALONG_K, bool A_CHUNKS, bool B_CHUNKS>
struct Form {
    static constexpr bool kA = A_ALONG_K, kB = B_ALONG_K, kAChunks = A_CHUNKS, kBChunks = B_CHUNKS;
};

/// Stores a warp's accumulators. The lanes of a quad trade words, so that each stores 16 bytes of a row, where the
/// result allows.
template <class C, class Out>
__device__ inline void store(const Job<Out>& j, float (&c)[C::MI][C::NJ][4], int m0, int n0, int z) {
    const int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
    const float s = j.scale ? *j.scale : 1.f;
#pragma unroll
    for (int i = 0; i < C::MI; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int m = m0 + i * 16 + h * 8 + g;
            const bool in = m < j.M;
            if (j.splits > 1) {
                if (in)
#pragma unroll
                    for (int q = 0; q < C::NJ; q++)
#pragma unroll
                        for (int e = 0; e < 2; e++) {
                            const int n = n0 + q * 8 + 2 * t + e;
                            if (n < j.N) j.part[((i64)z * j.M + m) * j.N + n] = c[i][q][h * 2 + e];
                        }
                continue;
            }
            const auto row = j.y.row(in ? m : 0);
            if constexpr (C::NJ % 4 == 0 && Out::kWide) {
                if (j.wide) {
#pragma unroll
                    for (int q = 0; q < C::NJ; q += 4) {
                        uint32_t w[4];
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const int n = n0 + (q + e) * 8 + 2 * t;
                            const bool add = j.bias && n < j.N;
                            w[e] = pack_bf16(s * c[i][q + e][h * 2] + (add ? j.bias[n] : 0.f),
                                             s * c[i][q + e][h * 2 + 1] + (add ? j.bias[n + 1] : 0.f));
                        }
                        quad_transpose(w);
                        const int n = n0 + (q + t) * 8, at = row.at + n;
                        if (in && n < j.N && (unsigned)at < (unsigned)j.y.image)
                            *(int4*)(row.image + at) = {(int)w[0], (int)w[1], (int)w[2], (int)w[3]};
                    }
                    continue;
                }
            }
            if (in)
#pragma unroll
                for (int q = 0; q < C::NJ; q++)
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        const int n = n0 + q * 8 + 2 * t + e;
                        if (n < j.N) j.y.store(row, n, s * c[i][q][h * 2 + e] + (j.bias ? j.bias[n] : 0.f));
                    }
        }
}

constexpr int kJobs = 128;
template <class Out>
using Jobs = Rows<Job<Out>, kJobs>;

template <class C, class F, class Out>
__global__ void __launch_bounds__(kThreads) sliced_product(const Jobs<Out> __grid_constant__ jobs) {
    CG_SHARED(unsigned char, shared);
    int block;
    const Job<Out>& j = jobs.row[jobs.find((int)blockIdx.x, block)];
    // Neighbouring blocks read the same rows of a.
    const int tiles_n = (j.N + C::BN - 1) / C::BN, tiles_m = (j.M + C::BM - 1) / C::BM;
    const int tile_m = block / tiles_n, n0 = (block - tile_m * tiles_n) * C::BN;
    const int z = tile_m / tiles_m, m0 = (tile_m - z * tiles_m) * C::BM;
    // Parts of k begin at multiples of a stage.
    const int k_first = n0 >= j.late ? j.skip : 0, steps_all = (j.K - k_first + C::BK - 1) / C::BK;
    const int first = (int)((i64)steps_all * z / j.splits), steps = (int)((i64)steps_all * (z + 1) / j.splits) - first;
    const int k_begin = k_first + first * C::BK;

    Loader<C, C::BM, F::kA, F::kAChunks> a(j.a, j.M, m0, k_begin);
    Loader<C, C::BN, F::kB, F::kBChunks> b(j.b, j.N, n0, k_begin);
    const int k_end = j.K;
    auto stage = [&](int i) { return shared + i % C::STAGES * C::kStage; };
    auto fetch = [&](int i) {
        if (i < steps) {
            a.fetch(stage(i), k_begin + i * C::BK, k_end);
            b.fetch(stage(i) + C::BM * C::BK * 2, k_begin + i * C::BK, k_end);
        }
        copy_commit();
    };
    auto deposit = [&](int i) {
        if (i < steps) {
            a.deposit(stage(i));
            b.deposit(stage(i) + C::BM * C::BK * 2);
        }
    };

    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32, l4 = lane / 8;
    const int wk = warp % C::WK, wn = warp / C::WK % C::WN, wm = warp / C::WK / C::WN;
    const int warp_m = wm * C::MI * 16, warp_n = wn * C::NJ * 8;
    // a: rows 0-7 and 8-15 at k, then both at k + 8; b: columns 0-7 at k and k + 8, then columns 8-15
    const Reader<C::BM, C::BK, F::kA> read_a(warp_m, l4 % 2 * 8, l4 / 2 * 8);
    const Reader<C::BN, C::BK, F::kB> read_b(warp_n, l4 / 2 * 8, l4 % 2 * 8);
    float c[C::MI][C::NJ][4];
#pragma unroll
    for (int i = 0; i < C::MI; i++) zero(c[i]);

#pragma unroll
    for (int i = 0; i < C::STAGES - 1; i++) {
        fetch(i);
        deposit(i);
    }
    for (int i = 0; i < steps; i++) {
        copy_wait<C::STAGES - 2>();
        __syncthreads();
        // The stage that this one fills was read in the step before.
        fetch(i + C::STAGES - 1);
        const unsigned char *sa = stage(i), *sb = sa + C::BM * C::BK * 2;
#pragma unroll
        for (int k = 0; k < C::BK / C::WK; k += 16) {
            uint32_t fa[C::MI][4], fb[C::NJ / 2][4];
            const int at = k + wk * (C::BK / C::WK);
#pragma unroll
            for (int q = 0; q < C::MI; q++) read_a.read(fa[q], sa, q * 16, at);
#pragma unroll
            for (int q = 0; q < C::NJ / 2; q++) read_b.read(fb[q], sb, q * 16, at);
#pragma unroll
            for (int q = 0; q < C::MI; q++)
#pragma unroll
                for (int r = 0; r < C::NJ; r++)
                    mma_bf16(c[q][r], fa[q], fb[r / 2][r % 2 * 2], fb[r / 2][r % 2 * 2 + 1]);
        }
        deposit(i + C::STAGES - 1);
    }
    if constexpr (C::WK > 1) {
        // The warps along k leave their sums to the first of them, which adds them in order.
        copy_wait<0>();
        __syncthreads();
        constexpr int kSum = C::MI * C::NJ * 4;
        float* sums = (float*)shared;
        if (wk > 0)
#pragma unroll
            for (int e = 0; e < kSum; e++)
                sums[((wk - 1) * kSum + e) * (kThreads / C::WK) + warp / C::WK * 32 + lane] = (&c[0][0][0])[e];
        __syncthreads();
        if (wk > 0) return;
#pragma unroll
        for (int w = 0; w < C::WK - 1; w++)
#pragma unroll
            for (int e = 0; e < kSum; e++)
                (&c[0][0][0])[e] += sums[(w * kSum + e) * (kThreads / C::WK) + warp / C::WK * 32 + lane];
    }
    store<C>(j, c, m0 + warp_m, n0 + warp_n, z);
}

/// The sum of a split product's parts. A block has 32 columns of [splits, M N] and 32 warps.
template <class Out>
__global__ void __launch_bounds__(1024) sum_parts(const Jobs<Out> __grid_constant__ jobs) {
    int block;
    const Job<Out>& j = jobs.row[jobs.find((int)blockIdx.x, block)];
    const i64 all = (i64)j.M * j.N, i = (i64)block * 32 + threadIdx.x;
    const float v = column_sum(j.part, j.splits, all, i, all);
    if (threadIdx.y > 0 || i >= all) return;
    const int m = (int)quotient(i, j.N), n = (int)(i - (i64)m * j.N);
    j.y.store(j.y.row(m), n, (j.scale ? *j.scale : 1.f) * v + (j.bias ? j.bias[n] : 0.f));
}

/// Most columns that a tile has; several problems have those of the widest.
using Wide = Config<128, 128, 32, 2, 2, 1, 4>;
using Half = Config<128, 64, 32, 2, 2, 1, 4>;
using Quarter = Config<128, 32, 32, 4, 1, 1, 4>;
using Narrow = Config<128, 16, 32, 4, 1, 1, 4>;
/// For few rows and a long k, which the warps share.
using Flat = Config<16, 64, 64, 1, 1, 4, 4>;

template <class C>
i64 tiles(i64 M, i64 N) {
    return ceil_div(M, C::BM) * ceil_div(N, C::BN);
}

/// The parts of k for each of n problems: no block gets more than an equal share of the work of two waves, nor less
/// than what a part's way through scratch costs.
template <class C, class E>
std::vector<int> parts(i64 n, E&& extent) {
    i64 work = 0;
    for (i64 i = 0; i < n; i++) work += tiles<C>(extent(i).M, extent(i).N) * extent(i).K;
    const i64 share = std::max<i64>(ceil_div(work, 2 * kBlocks), 1024);
    std::vector<int> s;
    for (i64 i = 0; i < n; i++) s.push_back((int)std::min<i64>(std::max<i64>(ceil_div(extent(i).K, share), 1), 512));
    return s;
}
template <class C, class E>
i64 scratch(i64 n, E&& extent) {
    const std::vector<int> s = parts<C>(n, extent);
    i64 bytes = 0;
    for (i64 i = 0; i < n; i++)
        if (s[i] > 1) bytes += align_up(s[i] * extent(i).M * extent(i).N * 4, 256);
    return bytes;
}

/// Launches the jobs; `scratch` has the bytes of scratch<C>().
template <class C, class F, class Out>
void run(std::vector<Job<Out>> jobs, void* scratch, Stream s) {
    const i64 n = (i64)jobs.size();
    const std::vector<int> splits = parts<C>(n, [&](i64 i) { return Extent{jobs[i].M, jobs[i].N, jobs[i].K}; });
    char* at = (char*)scratch;
    for (i64 i = 0; i < n; i++) {
        Job<Out>& j = jobs[i];
        j.splits = splits[i];
        j.part = (float*)at;
        if (splits[i] > 1) at += align_up((i64)splits[i] * j.M * j.N * 4, 256);
    }
    for_rows<kJobs>(
        jobs.data(), n, [](const Job<Out>& j) { return tiles<C>(j.M, j.N) * j.splits; },
        [&](const Jobs<Out>& t, i64 blocks, i64) {
            CG_LAUNCH((sliced_product<C, F, Out>), grid(blocks), kThreads, C::kShared, s, t);
        });
    for_rows<kJobs>(
        jobs.data(), n, [](const Job<Out>& j) { return j.splits > 1 ? ceil_div((i64)j.M * j.N, 32) : 0; },
        [&](const Jobs<Out>& t, i64 blocks, i64) { CG_LAUNCH((sum_parts<Out>), grid(blocks), dim3(32, 32), 0, s, t); });
}

}  // namespace cg::cuda::sliced
