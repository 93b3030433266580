// SPDX-License-Identifier: Apache-2.0
// A thread takes a run of vertices, eight vectors at a time: first down all images for the means, then vector by vector
// for the sums about the means. So the n rows of up to 512 bytes are read from memory once. Sums are double, in
// registers, two vectors for one of floats.
// Floor at [64, 39548] f32: 23.4 MB, 0.4 to 0.65 ms at 57 to 36 GB/s.
// Versions, CPU time of one thread at [64, 39548] on a Zen 4 core of a busy machine, so only the ratios count: one
// vector at a time 3.9 to 4.3 ms, four 4.1 to 4.6, eight 3.2 to 4.0 (at V 2012, in L2, 0.07 against 0.11 ms for one).
// Eight on both cores of a quiet machine (JMH): 0.75 ms in f32, 31 GB/s, 0.82 with bf16 predictions.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

/// A vector of doubles, as many bytes as vf and so half its elements.
typedef double vd __attribute__((vector_size(W * 4)));

inline void widen(vf v, vd* to) {
#if defined(__AVX512F__)
    to[0] = (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v));
    to[1] = (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1));
#elif defined(__AVX2__)
    to[0] = (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
    to[1] = (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#else
    to[0] = (vd)_mm_cvtps_pd((__m128)v);
    to[1] = (vd)_mm_cvtps_pd(_mm_movehl_ps((__m128)v, (__m128)v));
#endif
}

template <class T>
inline void get(const T* p, i64 n, vd* to) {
    widen(n == W ? load(p) : load_n(p, n), to);
}

/// Vectors that a thread takes at once: half a KiB of a row, so that it touches few pages for the bytes it reads.
constexpr int K = 8;

/// First row of W vertices, and the mean distance of all rows from it.
struct Shift {
    vd first[2], mean[2] = {};
};

/// Computes the shifts of N vectors of a tensor; the last vector has n elements.
template <int N, class T>
inline void shifts(const T* p, i64 rows, i64 V, i64 n, Shift* s) {
    vd x[2];
    for (int k = 0; k < N; k++) get(p + k * W, k < N - 1 ? W : n, s[k].first);
    for (i64 i = 1; i < rows; i++)
        for (int k = 0; k < N; k++) {
            get(p + i * V + k * W, k < N - 1 ? W : n, x);
            for (int h = 0; h < 2; h++) s[k].mean[h] += x[h] - s[k].first[h];
        }
    for (int k = 0; k < N; k++)
        for (int h = 0; h < 2; h++)
            // Adding x - x, 0 or NaN, makes a first value that is not finite show even if there is only one row.
            s[k].mean[h] = (s[k].mean[h] + (s[k].first[h] - s[k].first[h])) / (double)rows;
}

/// Merges the rows of n <= W vertices into their moments. share and weight: the header's n / (N + n) and N n / (N + n).
template <class T>
inline void merge(const T* p, const float* t, i64 rows, i64 V, i64 n, Shift a, Shift b, double* state, double share,
                  double weight) {
    vd x[2], y[2], sum[3][2] = {};
    for (i64 i = 0; i < rows; i++) {
        get(p + i * V, n, x);
        get(t + i * V, n, y);
        for (int h = 0; h < 2; h++) {
            x[h] = (x[h] - a.first[h]) - a.mean[h];
            y[h] = (y[h] - b.first[h]) - b.mean[h];
            sum[0][h] += x[h] * x[h];
            sum[1][h] += y[h] * y[h];
            sum[2][h] += x[h] * y[h];
        }
    }
    double s[5][W], d[W], e[W], q[3][W];
    for (int j = 0; j < 5; j++) {
        if (n < W) std::memset(s[j], 0, sizeof s[j]);
        std::memcpy(s[j], state + j * V, (size_t)n * 8);
    }
    for (int h = 0; h < 2; h++) a.mean[h] += a.first[h], b.mean[h] += b.first[h];
    std::memcpy(d, a.mean, sizeof d);
    std::memcpy(e, b.mean, sizeof e);
    std::memcpy(q, sum, sizeof q);
    for (int i = 0; i < W; i++) {
        d[i] -= s[0][i];
        e[i] -= s[1][i];
        s[0][i] += d[i] * share;
        s[1][i] += e[i] * share;
        s[2][i] += q[0][i] + d[i] * d[i] * weight;
        s[3][i] += q[1][i] + e[i] * e[i] * weight;
        s[4][i] += q[2][i] + d[i] * e[i] * weight;
    }
    for (int j = 0; j < 5; j++) std::memcpy(state + j * V, s[j], (size_t)n * 8);
}

/// Updates N vectors of vertices; the last has n vertices.
template <int N, class T>
inline void run(const T* p, const float* t, i64 rows, i64 V, i64 n, double* state, double share, double weight) {
    Shift a[N], b[N];
    shifts<N>(p, rows, V, n, a);
    shifts<N>(t, rows, V, n, b);
    for (int k = 0; k < N; k++)
        merge(p + k * W, t + k * W, rows, V, k < N - 1 ? W : n, a[k], b[k], state + k * W, share, weight);
}

}  // namespace

template <class T>
void pearson_moments(const PearsonMomentsArgs& g) {
    const int32_t* count = (const int32_t*)g.rows;
    const i64 rows = count[1], V = g.V;
    CG_CHECK(count[0] >= 0 && rows >= 0 && rows <= g.B, "rows = {N, n}: N must not be negative, n must be in 0..B");
    const double before = count[0], share = rows > 0 ? (double)rows / (before + (double)rows) : 0,
                 weight = before * share;
    parallel((V + K * W - 1) / (K * W), 8, [&](i64 b0, i64 b1, int) {
        for (i64 c = b0 * K * W; c < b1 * K * W && c < V;) {
            double* state = (double*)g.state + c;
            const T* p = (const T*)g.pred + c;
            const float* t = (const float*)g.target + c;
            const bool full = V - c >= K * W;
            const i64 n = V - c < W ? V - c : W, all = full ? K * W : n;
            if (before == 0)
                for (int j = 0; j < 5; j++) std::memset(state + j * V, 0, (size_t)all * 8);
            if (rows > 0 && full) run<K>(p, t, rows, V, W, state, share, weight);
            else if (rows > 0) run<1>(p, t, rows, V, n, state, share, weight);
            c += all;
        }
    });
}

CG_INSTANTIATE(pearson_moments, PearsonMomentsArgs)

}  // namespace CG_NS
}  // namespace cg
