// SPDX-License-Identifier: Apache-2.0
// Pipelined products of matrices whose rows are slices of images:
//   y[m, n] = scale sum_k a[m, k] b[n, k] + bias[n]        sums in float
// A row of `Slices` begins a fixed step after the row before it, and elements outside of its image are zero. A plain
// matrix is the case of one image whose step is the width. With channels innermost, a convolution over vertices is too:
// the window of output j is the contiguous slice of kernel x channels elements that begins at (j stride - pad)
// channels. So its operands are read like those of a plain product, 16 bytes at a time, and no loop divides.
//
// A block of 4 warps computes a tile of y, in bf16 on the tensor cores (mma.sync m16n8k16), in float by FMA. Tiles of a
// and b along k travel through a ring of stages in shared memory (cp.async), with their 16-byte chunks swizzled so that
// 8 rows lie in 8 different groups of banks. An operand may be stored with k along its slices (kAlongK) or with k as
// the number of the slice. Where slices do not begin at multiples of 16 bytes, a thread gathers the elements of a chunk
// one by one.
// Many problems (the regions' discriminators) share one grid. A problem with few tiles and a long k is split along k;
// the parts go to scratch and are summed in order, so the result is the same every time.
//
// 2 M N K FLOPs. A tile reads its rows of a and b once: M K N / BN elements of a (through L1, where windows overlap)
// and M K N / BM of b; y is written once.
//
// Floor of 128 x 128 x 32 in bf16 on a multiprocessor of Hopper: 256 HMMA of 4,096 FLOPs, 256 clocks at the tensor
// cores' full rate and 413 at the 0.62 of it that mma.sync reaches; shared memory 32 KiB read by LDSM and 16 KiB
// written, 384 clocks of 128 bytes; 206 instructions a warp, 206 issue slots. So mma.sync sets the pace, at about 580
// TFLOP/s, and shared memory is close behind. Prediction, not measured: 350. In float 256 of the 333 instructions for
// four k are FMA; prediction, not measured: 40 of 67 TFLOP/s.
//
// Versions: 1, bf16 only; 2, float too.
// Tried, judged by SASS: a division for every element of y instead of every row, 13,528 instructions instead of 6,728
// in all; float unrolled along k, 255 registers and 52 bytes spilled instead of 168 registers.
#pragma once

#include <algorithm>
#include <vector>

#include "device.cuh"
#include "mma.cuh"
#include "split.cuh"

namespace cg::cuda::sliced {

using split::Extent;

constexpr int kThreads = 128;
/// Images, lengths and numbers of rows are below this, so that offsets and their sums with k fit 32 bits.
constexpr i64 kMost = 1 << 30;
/// An offset that is in no image, whatever is added.
constexpr int kNowhere = -(1 << 30);

/// Rows of `length` elements. Row i is slice i % count of image i / count, and begins at offset first + i % count *
/// step in it.
template <class T>
struct Slices {
    const T* p;
    int image;   // elements of an image
    int count;   // slices of an image
    int step;    // elements from the beginning of a slice to that of the next
    int first;   // offset of slice 0, may be negative
    int length;  // elements of a slice
};
/// A matrix [rows, length].
template <class T>
Slices<T> matrix(const void* p, i64 rows, i64 length) {
    return {(const T*)p, (int)(rows * length), (int)rows, (int)length, 0, (int)length};
}
/// Where the result of type Y lies, itself slices of images.
template <class Y>
struct SlicesOut {
    using Type = Y;
    static constexpr bool kWide = std::is_same_v<Y, bf16>;
    Y* p;
    int image, count, step, first;

    struct Row {
        Y* image;
        int at;
    };
    /// Row m, or a row that has no element.
    __device__ Row row(int m, bool in) const {
        const int i = m / count;
        return {p + (i64)i * image, in ? first + (m - i * count) * step : kNowhere};
    }
    __device__ bool has(const Row& r, int n) const { return (unsigned)(r.at + n) < (unsigned)image; }
    __device__ Y* at(const Row& r, int n) const { return r.image + r.at + n; }
    bool wide(i64 columns) const { return kWide && aligned16(p) && ((int)columns | image | step | first) % 8 == 0; }
};
/// A matrix [rows, length].
template <class Y>
SlicesOut<Y> matrix_out(void* p, i64 rows, i64 length) {
    return {(Y*)p, (int)(rows * length), (int)rows, (int)length, 0};
}

/// One product. Columns from `late` on have zeros in b before k = skip.
template <class T, class Out>
struct Job {
    Slices<T> a, b;
    Out y;
    int M, N, K;
    int late, skip;
    const float *bias, *scale;
    bool wide;  // whether y can be stored 16 bytes at a time
    int splits;
    float* part;  // [splits][M][N] if splits > 1
};

template <class T, class Out>
Job<T, Out> job(const Slices<T>& a, const Slices<T>& b, const Out& y, const Extent& e, const void* bias,
                const void* scale) {
    return {a,           b, y,      (int)e.M, (int)e.N, (int)e.K, (int)e.N, 0, (const float*)bias, (const float*)scale,
            y.wide(e.N), 1, nullptr};
}

/// The tile of a block (BM x BN), of a stage (BK along k), and what divides it along m, n and k: warps in bf16, threads
/// in float. Divisions along k sum their results at the end.
template <class T_, int BM_, int BN_, int BK_, int M_, int N_, int K_>
struct Config {
    using T = T_;
    static constexpr int BM = BM_, BN = BN_, BK = BK_, kM = M_, kN = N_, kK = K_, kStages = 4;
    static_assert(kM * kN * kK * (std::is_same_v<T, bf16> ? 32 : 1) == kThreads);
    static constexpr int kStage = (BM + BN) * BK * (int)sizeof(T), kSums = (kK - 1) * BM * BN * 4;
    static constexpr int kShared = kStages * kStage > kSums ? kStages * kStage : kSums;
};

/// A tile of an operand in shared memory, WIDTH rows or columns of the result by BK.
template <class T, int WIDTH, int BK, bool ALONG_K>
struct Tile {
    static constexpr int kRows = ALONG_K ? WIDTH : BK, kChunks = (ALONG_K ? BK : WIDTH) / kVec<T>;
    /// Rows that share 128 bytes have the same swizzle.
    static constexpr int kSwizzled = kChunks < 8 ? kChunks : 8, kTogether = 8 / kSwizzled;
    static __device__ int swizzle(int row) { return row / kTogether & (kSwizzled - 1); }
    static __device__ int offset(int row, int chunk) { return (row * kChunks + (chunk ^ swizzle(row))) * 16; }
};

/// 16 bytes of an image from element i on, zero where they are outside of it or from i + left on.
template <class T>
__device__ inline int4 gather(const T* image, int elements, int i, int left) {
    uint32_t w[4];
#pragma unroll
    for (int e = 0; e < kVec<T>; e++) {
        const bool in = e < left && (unsigned)(i + e) < (unsigned)elements;
        if constexpr (std::is_same_v<T, bf16>) {
            const uint32_t v = in ? image[i + e].bits : 0;
            w[e / 2] = e % 2 ? w[e / 2] | v << 16 : v;
        } else {
            w[e] = in ? float_to_bits(image[i + e]) : 0;
        }
    }
    return {(int)w[0], (int)w[1], (int)w[2], (int)w[3]};
}

/// The chunks of an operand's tile that a thread brings to shared memory. fetch() of a loader begins to read the stage
/// that starts at k0, deposit() ends it; between them a product hides the latency of chunks that are gathered.
template <class C, int WIDTH, bool ALONG_K, bool CHUNKS>
struct Chunks {
    using E = typename C::T;
    using T = Tile<E, WIDTH, C::BK, ALONG_K>;
    static constexpr int kStep = kThreads / T::kChunks, kPasses = (T::kRows + kStep - 1) / kStep;
    int elements, row, chunk;  // of an image; of the thread's first chunk
    int4 held[CHUNKS ? 1 : kPasses];

    __device__ explicit Chunks(const Slices<E>& s)
        : elements(s.image), row((int)threadIdx.x / T::kChunks), chunk((int)threadIdx.x % T::kChunks) {}
    /// Calls f(pass) for every chunk of the thread.
    template <class F>
    __device__ void each(F&& f) const {
#pragma unroll
        for (int p = 0; p < kPasses; p++) {
            if (T::kRows % kStep && row + p * kStep >= T::kRows) break;
            f(p);
        }
    }
    /// Reads the chunk of a pass, from element i of an image on, of which `left` are in the operand.
    __device__ void read(unsigned char* stage, int p, const E* image, int i, int left) {
        if constexpr (CHUNKS) {
            const bool ok = left > 0 && (unsigned)i < (unsigned)elements;
            copy_async<true>(stage + T::offset(row + p * kStep, chunk), image + (ok ? i : 0), ok);
        } else {
            held[p] = gather(image, elements, i, left);
        }
    }
    __device__ void deposit(unsigned char* stage) const {
        if constexpr (!CHUNKS) each([&](int p) { *(int4*)(stage + T::offset(row + p * kStep, chunk)) = held[p]; });
    }
};

template <class C, int WIDTH, bool ALONG_K, bool CHUNKS>
struct Loader;

/// k runs along the slices, so a thread has the same rows in every stage.
template <class C, int WIDTH, bool CHUNKS>
struct Loader<C, WIDTH, true, CHUNKS> : Chunks<C, WIDTH, true, CHUNKS> {
    using Base = Chunks<C, WIDTH, true, CHUNKS>;
    using E = typename C::T;
    const E* image[Base::kPasses];
    int from[Base::kPasses];

    /// Rows from i0 on, of `rows` in all.
    __device__ Loader(const Slices<E>& s, int rows, int i0, int) : Base(s) {
#pragma unroll
        for (int p = 0; p < Base::kPasses; p++) {
            const int i = i0 + this->row + p * Base::kStep, b = i / s.count;
            const bool in = i < rows;
            image[p] = s.p + (in ? (i64)b * s.image : 0);
            from[p] = in ? s.first + (i - b * s.count) * s.step : kNowhere;
        }
    }
    __device__ void fetch(unsigned char* stage, int k0, int k_end) {
        const int k = k0 + this->chunk * kVec<E>;
        this->each([&](int p) { this->read(stage, p, image[p], from[p] + k, k_end - k); });
    }
};

/// k is the number of the slice, so a thread's slices move on from stage to stage.
template <class C, int WIDTH, bool CHUNKS>
struct Loader<C, WIDTH, false, CHUNKS> : Chunks<C, WIDTH, false, CHUNKS> {
    using Base = Chunks<C, WIDTH, false, CHUNKS>;
    using E = typename C::T;
    const E* image[Base::kPasses];
    int slice[Base::kPasses];
    int count, step, at, left;
    int images_on, slices_on;  // from one stage to the next

    /// Elements of the slices from i0 on.
    __device__ Loader(const Slices<E>& s, int, int i0, int k0) : Base(s), count(s.count), step(s.step) {
        at = s.first + i0 + this->chunk * kVec<E>;
        left = s.length - i0 - this->chunk * kVec<E>;
        images_on = C::BK / s.count;
        slices_on = C::BK - images_on * s.count;
#pragma unroll
        for (int p = 0; p < Base::kPasses; p++) {
            const int k = k0 + this->row + p * Base::kStep, b = k / s.count;
            image[p] = s.p + (i64)b * s.image;
            slice[p] = k - b * s.count;
        }
    }
    __device__ void fetch(unsigned char* stage, int k0, int k_end) {
        this->each([&](int p) {
            const int here = k0 + this->row + p * Base::kStep < k_end ? left : 0;
            this->read(stage, p, image[p], at + slice[p] * step, here);
            slice[p] += slices_on;
            image[p] += (i64)images_on * this->elements;
            if (slice[p] >= count) slice[p] -= count, image[p] += this->elements;
        });
    }
};

/// Whether operands run along k, and whether copies of 16 bytes can read them.
template <bool A_ALONG_K, bool B_ALONG_K, bool A_CHUNKS, bool B_CHUNKS>
struct Form {
    static constexpr bool kA = A_ALONG_K, kB = B_ALONG_K, kAChunks = A_CHUNKS, kBChunks = B_CHUNKS;
};

/// Where a lane reads its fragments of 16 x 16 of a bf16 tile.
template <int WIDTH, int BK, bool ALONG_K>
struct Fragments {
    using T = Tile<bf16, WIDTH, BK, ALONG_K>;
    int base, low;  // of the lane's row; of its chunk

    /// @param at first row or column of the warp
    /// @param along, by_k 8 or 0: where the matrix of ldmatrix whose address the lane passes lies in the 16 x 16
    __device__ Fragments(int at, int along, int by_k) {
        const int l8 = (int)threadIdx.x & 7, row = (ALONG_K ? at + along : by_k) + l8;
        base = row * T::kChunks * 16;
        low = T::swizzle(row) ^ ((ALONG_K ? by_k : at + along) / 8);
    }
    /// Reads the 16 x 16 that begins i after the warp's first row or column and at k, both multiples of 16.
    __device__ void read(uint32_t (&f)[4], const unsigned char* tile, int i, int k) const {
        if (ALONG_K) load_matrices<false>(f, tile + base + i * T::kChunks * 16 + (low ^ k / 8) * 16);
        else load_matrices<true>(f, tile + base + k * T::kChunks * 16 + (low ^ i / 8) * 16);
    }
};

/// A thread's part of the tile of y. add() adds the product of a stage. each(row, f) calls f(row(m), n, value) for all
/// sums, with m and n counted from the tile's first. `part` is the thread's division along k, `slot` its place there.
template <class C, class F, class T = typename C::T>
struct Sums;

template <class C, class F>
struct Sums<C, F, bf16> {
    static constexpr int kI = C::BM / C::kM / 16, kJ = C::BN / C::kN / 8, kCount = kI * kJ * 4;
    float c[kI][kJ][4];
    int part, slot, m0, n0;

    __device__ Sums() {
        const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
        part = warp % C::kK;
        slot = warp / C::kK * 32 + lane;
        m0 = warp / C::kK / C::kN * kI * 16;
        n0 = warp / C::kK % C::kN * kJ * 8;
#pragma unroll
        for (int i = 0; i < kI; i++) zero(c[i]);
    }
    __device__ void add(const unsigned char* a, const unsigned char* b) {
        const int l4 = (int)threadIdx.x / 8 & 3;
        // a: rows 0-7 and 8-15 at k, then both at k + 8; b: columns 0-7 at k and k + 8, then columns 8-15
        const Fragments<C::BM, C::BK, F::kA> read_a(m0, l4 % 2 * 8, l4 / 2 * 8);
        const Fragments<C::BN, C::BK, F::kB> read_b(n0, l4 / 2 * 8, l4 % 2 * 8);
#pragma unroll
        for (int k = 0; k < C::BK / C::kK; k += 16) {
            uint32_t fa[kI][4], fb[kJ / 2][4];
            const int at = k + part * (C::BK / C::kK);
#pragma unroll
            for (int i = 0; i < kI; i++) read_a.read(fa[i], a, i * 16, at);
#pragma unroll
            for (int j = 0; j < kJ / 2; j++) read_b.read(fb[j], b, j * 16, at);
#pragma unroll
            for (int i = 0; i < kI; i++)
#pragma unroll
                for (int j = 0; j < kJ; j++) mma_bf16(c[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
        }
    }
    __device__ float* values() { return &c[0][0][0]; }
    template <class R, class G>
    __device__ void each(R&& row, G&& f) const {
        const int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
#pragma unroll
        for (int i = 0; i < kI; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const auto r = row(m0 + i * 16 + h * 8 + g);
#pragma unroll
                for (int j = 0; j < kJ; j++)
#pragma unroll
                    for (int e = 0; e < 2; e++) f(r, n0 + j * 8 + 2 * t + e, c[i][j][h * 2 + e]);
            }
    }
    /// Calls f(row(m), n, words) for 8 neighbouring columns, value(n, x) giving the result of sum x in column n. The
    /// lanes of a quad trade words for that.
    template <class R, class V, class G>
    __device__ void each_eight(R&& row, V&& value, G&& f) const {
        const int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
#pragma unroll
        for (int i = 0; i < kI; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const auto r = row(m0 + i * 16 + h * 8 + g);
#pragma unroll
                for (int j = 0; j < kJ / 4 * 4; j += 4) {
                    uint32_t w[4];
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const int n = n0 + (j + e) * 8 + 2 * t;
                        w[e] = pack_bf16(value(n, c[i][j + e][h * 2]), value(n + 1, c[i][j + e][h * 2 + 1]));
                    }
                    quad_transpose(w);
                    f(r, n0 + (j + t) * 8, int4{(int)w[0], (int)w[1], (int)w[2], (int)w[3]});
                }
            }
    }
};

/// Reads four values of k of COUNT rows or columns of a float tile, those of place `at` of PLACES.
template <int WIDTH, int BK, bool ALONG_K, int COUNT, int PLACES>
struct Floats {
    using T = Tile<float, WIDTH, BK, ALONG_K>;
    /// The i-th row or column. Neighbours in memory belong to one thread where k is the number of the slice.
    static __device__ int index(int at, int i) {
        return ALONG_K ? at + PLACES * i : (at + PLACES * (i / 4)) * 4 + i % 4;
    }
    static __device__ void read(float (&v)[COUNT][4], const unsigned char* tile, int at, int k) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            // A chunk has four k of row i where k runs along, else four rows at one k.
            float x[4];
            const int row = ALONG_K ? index(at, i) : k + i % 4, chunk = ALONG_K ? k / 4 : at + PLACES * (i / 4);
            load_vec((const float*)(tile + T::offset(row, chunk)), x);
#pragma unroll
            for (int e = 0; e < 4; e++) v[ALONG_K ? i : i / 4 * 4 + e][ALONG_K ? e : i % 4] = x[e];
        }
    }
};

template <class C, class F>
struct Sums<C, F, float> {
    static constexpr int kI = C::BM / C::kM, kJ = C::BN / C::kN, kCount = kI * kJ;
    using A = Floats<C::BM, C::BK, F::kA, kI, C::kM>;
    using B = Floats<C::BN, C::BK, F::kB, kJ, C::kN>;
    float c[kI][kJ];
    int part, slot, m, n;

    __device__ Sums() {
        slot = (int)threadIdx.x % (C::kM * C::kN);
        part = (int)threadIdx.x / (C::kM * C::kN);
        m = slot / C::kN;
        n = slot % C::kN;
#pragma unroll
        for (int i = 0; i < kI; i++)
#pragma unroll
            for (int j = 0; j < kJ; j++) c[i][j] = 0;
    }
    __device__ void add(const unsigned char* a, const unsigned char* b) {
#pragma unroll 1  // registers
        for (int k = 0; k < C::BK / C::kK; k += 4) {
            float x[kI][4], y[kJ][4];
            const int at = k + part * (C::BK / C::kK);
            A::read(x, a, m, at);
            B::read(y, b, n, at);
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int i = 0; i < kI; i++)
#pragma unroll
                    for (int j = 0; j < kJ; j++) c[i][j] += x[i][e] * y[j][e];
        }
    }
    __device__ float* values() { return &c[0][0]; }
    template <class R, class G>
    __device__ void each(R&& row, G&& f) const {
#pragma unroll
        for (int i = 0; i < kI; i++) {
            const auto r = row(A::index(m, i));
#pragma unroll
            for (int j = 0; j < kJ; j++) f(r, B::index(n, j), c[i][j]);
        }
    }
};

/// Stores the sums of the tile at m0, n0 of part z.
template <class S, class T, class Out>
__device__ inline void store(const S& sums, const Job<T, Out>& j, int m0, int n0, int z) {
    if (j.splits > 1) {
        sums.each([&](int m) { return m0 + m < j.M ? j.part + ((i64)z * j.M + m0 + m) * j.N + n0 : nullptr; },
                  [&](float* row, int n, float v) {
                      if (row && n0 + n < j.N) row[n] = v;
                  });
        return;
    }
    auto row = [&](int m) { return j.y.row(m0 + m, m0 + m < j.M); };
    const float s = j.scale ? *j.scale : 1.f;
    auto value = [&](int n, float v) { return s * v + (j.bias && n0 + n < j.N ? j.bias[n0 + n] : 0.f); };
    if constexpr (Out::kWide && S::kJ % 4 == 0) {
        if (j.wide) {
            sums.each_eight(row, value, [&](const auto& r, int n, const int4& eight) {
                if (n0 + n < j.N && j.y.has(r, n0 + n)) *(int4*)j.y.at(r, n0 + n) = eight;
            });
            return;
        }
    }
    sums.each(row, [&](const auto& r, int n, float v) {
        if (n0 + n < j.N && j.y.has(r, n0 + n)) *j.y.at(r, n0 + n) = from_float<typename Out::Type>(value(n, v));
    });
}

constexpr int kJobs = 128;
template <class T, class Out>
using Jobs = Rows<Job<T, Out>, kJobs>;

template <class T, class C, class F, class Out>
__global__ void __launch_bounds__(kThreads) sliced_product(const Jobs<T, Out> __grid_constant__ jobs) {
    await_inputs();
    CG_SHARED(unsigned char, shared);
    constexpr int kAhead = C::kStages - 1, kTileA = C::BM * C::BK * (int)sizeof(T);
    int block;
    const Job<T, Out>& j = jobs.row[jobs.find((int)blockIdx.x, block)];
    // Neighbouring blocks read the same rows of a.
    const int tiles_n = (j.N + C::BN - 1) / C::BN, tiles_m = (j.M + C::BM - 1) / C::BM;
    const int tile_m = block / tiles_n, n0 = (block - tile_m * tiles_n) * C::BN;
    const int z = tile_m / tiles_m, m0 = (tile_m - z * tiles_m) * C::BM;
    // Parts of k begin at multiples of a stage.
    const int k_first = n0 >= j.late ? j.skip : 0, all = (j.K - k_first + C::BK - 1) / C::BK;
    const int first = (int)((i64)all * z / j.splits), steps = (int)((i64)all * (z + 1) / j.splits) - first;
    const int k0 = k_first + first * C::BK, k_end = j.K;

    Loader<C, C::BM, F::kA, F::kAChunks> a(j.a, j.M, m0, k0);
    Loader<C, C::BN, F::kB, F::kBChunks> b(j.b, j.N, n0, k0);
    auto stage = [&](int i) { return shared + i % C::kStages * C::kStage; };
    auto fetch = [&](int i) {
        if (i < steps) {
            a.fetch(stage(i), k0 + i * C::BK, k_end);
            b.fetch(stage(i) + kTileA, k0 + i * C::BK, k_end);
        }
        copy_commit();
    };
    auto deposit = [&](int i) {
        if (i >= steps) return;
        a.deposit(stage(i));
        b.deposit(stage(i) + kTileA);
    };

    Sums<C, F> sums;
#pragma unroll
    for (int i = 0; i < kAhead; i++) {
        fetch(i);
        deposit(i);
    }
    for (int i = 0; i < steps; i++) {
        copy_wait<kAhead - 1>();
        __syncthreads();
        // All warps have read the stage that is filled now.
        fetch(i + kAhead);
        sums.add(stage(i), stage(i) + kTileA);
        deposit(i + kAhead);
    }
    if constexpr (C::kK > 1) {
        // The divisions along k leave their sums to the first of them, which adds them in order.
        constexpr int kPlaces = kThreads / C::kK;
        float *shared_sums = (float*)shared, *own = sums.values();
        copy_wait<0>();
        __syncthreads();
        if (sums.part > 0)
#pragma unroll
            for (int e = 0; e < sums.kCount; e++)
                shared_sums[((sums.part - 1) * sums.kCount + e) * kPlaces + sums.slot] = own[e];
        __syncthreads();
        if (sums.part > 0) return;
#pragma unroll
        for (int p = 0; p < C::kK - 1; p++)
#pragma unroll
            for (int e = 0; e < sums.kCount; e++) own[e] += shared_sums[(p * sums.kCount + e) * kPlaces + sums.slot];
    }
    store(sums, j, m0, n0, z);
}

/// The sum of a split product's parts. A block has 32 columns of [splits, M N] and 32 warps.
template <class T, class Out>
__global__ void __launch_bounds__(1024) sum_parts(const Jobs<T, Out> __grid_constant__ jobs) {
    await_inputs();
    int block;
    const Job<T, Out>& j = jobs.row[jobs.find((int)blockIdx.x, block)];
    const i64 all = (i64)j.M * j.N, i = (i64)block * 32 + threadIdx.x;
    const float v = column_sum(j.part, j.splits, all, i, all);
    if (threadIdx.y > 0 || i >= all) return;
    const int m = (int)quotient(i, j.N), n = (int)(i - (i64)m * j.N);
    const auto row = j.y.row(m, true);
    if (j.y.has(row, n))
        *j.y.at(row, n) = from_float<typename Out::Type>((j.scale ? *j.scale : 1.f) * v + (j.bias ? j.bias[n] : 0.f));
}

/// Tiles by the columns of the widest problem; Flat is for few rows and a long k.
template <class T>
struct Tiles {
    using Wide = Config<T, 128, 128, 32, 2, 2, 1>;
    using Half = Config<T, 128, 64, 32, 2, 2, 1>;
    using Quarter = Config<T, 128, 32, 32, 4, 1, 1>;
    using Narrow = Config<T, 128, 16, 32, 4, 1, 1>;
    using Flat = Config<T, 16, 64, 64, 1, 1, 4>;
};
template <>
struct Tiles<float> {
    using Half = Config<float, 128, 64, 16, 16, 8, 1>;
    using Narrow = Config<float, 128, 16, 16, 32, 4, 1>;
    using Flat = Config<float, 16, 64, 32, 4, 16, 2>;
    using Wide = Half;
    using Quarter = Half;
};

/// Parts of k that fill two waves. Less than 1,024 of k does not pay for a part's way through scratch.
template <class C>
constexpr split::Rule kSplit = {C::BM, C::BN, 2 * kBlocks, 1024, 512};

template <class C, class E>
i64 scratch(i64 n, E&& extent) {
    return split::scratch(kSplit<C>, n, extent);
}

/// Sums the parts of the jobs that were split.
template <class T, class Out>
void sum_splits(const std::vector<Job<T, Out>>& jobs, Stream s) {
    for_rows<kJobs>(
        jobs.data(), (i64)jobs.size(),
        [](const Job<T, Out>& j) { return j.splits > 1 ? ceil_div((i64)j.M * j.N, 32) : 0; },
        [&](const Jobs<T, Out>& t, i64 blocks, i64) {
            CG_LAUNCH((sum_parts<T, Out>), grid(blocks), dim3(32, 32), 0, s, t);
        });
}

/// Launches the jobs; `scratch` has the bytes of scratch<C>().
template <class C, class F, class Out>
void run(std::vector<Job<typename C::T, Out>> jobs, void* scratch, Stream s) {
    using T = typename C::T;
    using J = Job<T, Out>;
    const i64 n = (i64)jobs.size();
    split::place(kSplit<C>, n, [&](i64 i) -> J& { return jobs[i]; }, scratch);
    for_rows<kJobs>(
        jobs.data(), n, [](const J& j) { return split::tiles(kSplit<C>, split::Extent{j.M, j.N, j.K}) * j.splits; },
        [&](const Jobs<T, Out>& t, i64 blocks, i64) {
            CG_LAUNCH((sliced_product<T, C, F, Out>), grid(blocks), kThreads, C::kShared, s, t);
        });
    sum_splits(jobs, s);
}

/// Convolutions and grouped products share these, which kernels/matmul has: one symbol, one kernel.
#define CG_SHARED_PRODUCTS(DECLARE)                                                                            \
    DECLARE void sliced::sum_splits(const std::vector<sliced::Job<bf16, sliced::SlicesOut<bf16>>>&, Stream);   \
    DECLARE void sliced::sum_splits(const std::vector<sliced::Job<float, sliced::SlicesOut<float>>>&, Stream); \
    DECLARE void sliced::run<sliced::Tiles<bf16>::Wide, sliced::Form<true, true, true, true>>(                 \
        std::vector<sliced::Job<bf16, sliced::SlicesOut<bf16>>>, void*, Stream);                               \
    DECLARE void sliced::run<sliced::Tiles<bf16>::Half, sliced::Form<true, true, true, true>>(                 \
        std::vector<sliced::Job<bf16, sliced::SlicesOut<bf16>>>, void*, Stream);                               \
    DECLARE void sliced::run<sliced::Tiles<float>::Half, sliced::Form<true, true, true, true>>(                \
        std::vector<sliced::Job<float, sliced::SlicesOut<float>>>, void*, Stream);

}  // namespace cg::cuda::sliced

namespace cg::cuda {
CG_SHARED_PRODUCTS(extern template)
}  // namespace cg::cuda
