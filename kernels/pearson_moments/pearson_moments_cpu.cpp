// A thread takes a run of vertices, one vector of them at a time down all images: the column (n rows of one cache line) comes
// from memory once and is passed over twice, with sums of double in registers, two vectors of them for one of floats.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

/// As many bytes as a vector of floats: half of its elements.
typedef double vd __attribute__((vector_size(W * 4)));
constexpr int D = W / 2;

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

/// Of W vertices, in the order of the state.
struct Moments {
    vd of[5][2];
};

template <class T>
inline Moments moments(const T* p, const float* t, i64 rows, i64 V, i64 n) {
    vd p0[2], t0[2], x[2], y[2], mx[2] = {}, my[2] = {};
    get(p, n, p0);
    get(t, n, t0);
    for (i64 i = 1; i < rows; i++) {
        get(p + i * V, n, x);
        get(t + i * V, n, y);
        for (int h = 0; h < 2; h++) {
            mx[h] += x[h] - p0[h];
            my[h] += y[h] - t0[h];
        }
    }
    Moments m{};
    for (int h = 0; h < 2; h++) {
        // x - x is 0, or NaN for a value that is not finite, of which one row alone takes no difference
        mx[h] = (mx[h] + (p0[h] - p0[h])) / (double)rows;
        my[h] = (my[h] + (t0[h] - t0[h])) / (double)rows;
        m.of[0][h] = p0[h] + mx[h];
        m.of[1][h] = t0[h] + my[h];
    }
    for (i64 i = 0; i < rows; i++) {
        get(p + i * V, n, x);
        get(t + i * V, n, y);
        for (int h = 0; h < 2; h++) {
            x[h] = (x[h] - p0[h]) - mx[h];
            y[h] = (y[h] - t0[h]) - my[h];
            m.of[2][h] += x[h] * x[h];
            m.of[3][h] += y[h] * y[h];
            m.of[4][h] += x[h] * y[h];
        }
    }
    return m;
}

}  // namespace

template <class T>
void pearson_moments(const PearsonMomentsArgs& g) {
    const int32_t* count = (const int32_t*)g.rows;
    const i64 rows = count[1], V = g.V;
    CG_CHECK(count[0] >= 0 && rows >= 0 && rows <= g.B, "rows outside the batch");
    const double before = count[0], share = rows > 0 ? (double)rows / (before + (double)rows) : 0, weight = before * share;
    parallel((V + W - 1) / W, 64, [&](i64 b0, i64 b1, int) {
        for (i64 k = b0; k < b1; k++) {
            const i64 c = k * W, n = V - c < W ? V - c : W;
            double s[5][W] = {}, m[5][W];
            if (before > 0)
                for (int j = 0; j < 5; j++) std::memcpy(s[j], (double*)g.state + j * V + c, (size_t)n * 8);
            if (rows > 0) {
                const Moments now = moments((const T*)g.pred + c, (const float*)g.target + c, rows, V, n);
                std::memcpy(m, &now, sizeof m);
                for (int i = 0; i < W; i++) {
                    const double d = m[0][i] - s[0][i], e = m[1][i] - s[1][i];
                    s[0][i] += d * share;
                    s[1][i] += e * share;
                    s[2][i] += m[2][i] + d * d * weight;
                    s[3][i] += m[3][i] + e * e * weight;
                    s[4][i] += m[4][i] + d * e * weight;
                }
            }
            for (int j = 0; j < 5; j++) std::memcpy((double*)g.state + j * V + c, s[j], (size_t)n * 8);
        }
    });
}

CG_INSTANTIATE(pearson_moments, PearsonMomentsArgs)

}  // namespace CG_NS
}  // namespace cg
