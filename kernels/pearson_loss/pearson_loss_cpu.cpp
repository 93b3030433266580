// SPDX-License-Identifier: Apache-2.0
// IMAGES: a thread takes a run of vertices, one vector of them at a time through all images. The column (B rows of one
// cache line) is read from memory once and passed over three times in cache. VERTICES: a thread takes whole images.
// Versions: only this one; [64, 39548] on 2 Zen 5 cores: f32 12.4 times as fast as PyTorch over images, 15.4 over
// vertices (bench/results/2026-11-24-cpu-kernels.md; goal 5); bf16 17 and 23 times (2026-11-24-cpu-kernels-jmh.md).
#include <cmath>
#include <cstring>

#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

struct Pixel {
    vf loss, slope;
};
template <PixelKind K>
inline Pixel pixel(vf d) {
    const vf one = splat(1.f);
    vf a = vabs(d), sign = select(d > vf{}, one, select(d < vf{}, -one, vf{}));
    if constexpr (K == PixelKind::L1) return {a, sign};
    if constexpr (K == PixelKind::MSE) return {d * d, d + d};
    if constexpr (K == PixelKind::SMOOTH_L1)
        return {select(a < one, splat(0.5f) * d * d, a - splat(0.5f)), select(a < one, d, sign)};
}
template <class T>
inline vf get(const T* p, i64 n) {
    return n == W ? load(p) : load_n(p, n);
}

/// Means, centred sums of squares and sum of products of n vertices, from the raw sums over N images.
inline void of_all(const double* s, i64 V, i64 n, double N, vf& mp, vf& mt, vf& a, vf& b, vf& xy) {
    float r[5][W] = {};
    for (i64 j = 0; j < n; j++) {
        const double x = s[j] / N, y = s[V + j] / N;
        r[0][j] = (float)x;
        r[1][j] = (float)y;
        r[2][j] = (float)std::fmax(s[2 * V + j] - N * x * x, 0);
        r[3][j] = (float)std::fmax(s[3 * V + j] - N * y * y, 0);
        r[4][j] = (float)(s[4 * V + j] - N * x * y);
    }
    mp = load(r[0]), mt = load(r[1]), a = load(r[2]), b = load(r[3]), xy = load(r[4]);
}

template <class T, PixelKind K>
void images(const PearsonLossArgs& g) {
    const T* p = (const T*)g.pred;
    const float *t = (const float*)g.target, *w = (const float*)g.w;
    T* dP = (T*)g.dPred;
    const i64 B = g.B, V = g.V, blocks = (V + W - 1) / W, all = g.images;
    const vf eps = splat((float)(g.eps / (double)all)), most = splat((float)g.eps), inv = splat(1.f / (float)B),
             dust = splat((float)pearson_dust(g.axis, all));
    const vf w0 = splat((float)(w[0] / ((double)B * V))),
             w1 = splat((float)(w[1] / (double)V * ((double)all / (double)B)));
    double* part = (double*)g.scratch;
    parallel(blocks, 64, [&](i64 b0, i64 b1, int q) {
        double sp = 0, sc = 0;
        for (i64 k = b0; k < b1; k++) {
            const i64 c = k * W, n = V - c < W ? V - c : W;
            vf mp{}, mt{}, a{}, b{}, xy{}, l{};
            if (g.sums) {
                of_all((const double*)g.sums + c, V, n, (double)all, mp, mt, a, b, xy);
                for (i64 i = 0; i < B; i++) l += pixel<K>(get(p + i * V + c, n) - get(t + i * V + c, n)).loss;
            } else {
                for (i64 i = 0; i < B; i++) {
                    mp += get(p + i * V + c, n);
                    mt += get(t + i * V + c, n);
                }
                mp *= inv;
                mt *= inv;
                for (i64 i = 0; i < B; i++) {
                    vf pi = get(p + i * V + c, n), ti = get(t + i * V + c, n), x = pi - mp, y = ti - mt;
                    a = fma(x, x, a);
                    b = fma(y, y, b);
                    xy = fma(x, y, xy);
                    l += pixel<K>(pi - ti).loss;
                }
            }
            b = select(b <= dust * mt * mt, vf{}, b);
            const vf relative = eps * b, e = select(relative < most, relative, most);
            a += e;
            b += e;
            vf D = vsqrt(a) * vsqrt(b);
            vi ok = D > vf{};
            vf r = select(ok, xy / D, vf{}), fy = select(ok, w1 / D, vf{}), fx = select(ok, w1 * r / a, vf{});
            for (i64 i = 0; i < B; i++) {
                vf pi = get(p + i * V + c, n), ti = get(t + i * V + c, n);
                vf d = w0 * pixel<K>(pi - ti).slope - (fy * (ti - mt) - fx * (pi - mp));
                if (n == W) store(dP + i * V + c, d);
                else store_n(dP + i * V + c, d, n);
            }
            float lanes[W], rs[W];
            store(lanes, l);
            store(rs, r);
            for (i64 j = 0; j < n; j++) {
                sp += lanes[j];
                sc += 1 - rs[j];
            }
        }
        part[2 * q] = sp;
        part[2 * q + 1] = sc;
    });
}

template <class T, PixelKind K>
void vertices(const PearsonLossArgs& g) {
    const T* p = (const T*)g.pred;
    const float *t = (const float*)g.target, *w = (const float*)g.w;
    T* dP = (T*)g.dPred;
    const i64 B = g.B, V = g.V;
    const vf w0 = splat((float)(w[0] / ((double)B * V)));
    double* part = (double*)g.scratch;
    parallel(B, 1, [&](i64 b0, i64 b1, int q) {
        double sp = 0, sc = 0;
        for (i64 i = b0; i < b1; i++) {
            const T* pi = p + i * V;
            const float* ti = t + i * V;
            // Long sums: pieces in vector lanes, totals in double.
            double mpd = 0, mtd = 0, a = 0, b = 0, xy = 0;
            for (i64 c = 0; c < V; c += 2048) {
                i64 e = V - c < 2048 ? V : c + 2048;
                vf x{}, y{};
                for (i64 j = c; j < e; j += W) {
                    i64 n = e - j < W ? e - j : W;
                    x += get(pi + j, n);
                    y += get(ti + j, n);
                }
                mpd += hsum(x);
                mtd += hsum(y);
            }
            const float mp = (float)(mpd / V), mt = (float)(mtd / V);
            for (i64 c = 0; c < V; c += 2048) {
                i64 e = V - c < 2048 ? V : c + 2048;
                vf xx{}, yy{}, zz{}, l{};
                for (i64 j = c; j < e; j += W) {
                    i64 n = e - j < W ? e - j : W;
                    vf pv = get(pi + j, n), tv = get(ti + j, n), x = pv - splat(mp), y = tv - splat(mt);
                    if (n < W) {  // lanes beyond the end hold -mean
                        float m[W];
                        for (i64 k = 0; k < W; k++) m[k] = k < n ? 1.f : 0.f;
                        x *= load(m);
                        y *= load(m);
                    }
                    xx = fma(x, x, xx);
                    yy = fma(y, y, yy);
                    zz = fma(x, y, zz);
                    l += pixel<K>(pv - tv).loss;
                }
                a += hsum(xx);
                b += hsum(yy);
                xy += hsum(zz);
                sp += hsum(l);
            }
            if (b <= pearson_dust(g.axis, V) * mt * mt) b = 0;
            const double e = g.eps * std::fmin(b / (double)V, 1);
            a += e;
            b += e;
            const double D = std::sqrt(a) * std::sqrt(b), r = D > 0 ? xy / D : 0;
            const vf fy = splat(D > 0 ? (float)(w[1] / B / D) : 0.f),
                     fx = splat(D > 0 ? (float)(w[1] / B * r / a) : 0.f);
            for (i64 j = 0; j < V; j += W) {
                i64 n = V - j < W ? V - j : W;
                vf pv = get(pi + j, n), tv = get(ti + j, n);
                vf d = w0 * pixel<K>(pv - tv).slope - (fy * (tv - splat(mt)) - fx * (pv - splat(mp)));
                if (n == W) store(dP + i * V + j, d);
                else store_n(dP + i * V + j, d, n);
            }
            sc += 1 - r;
        }
        part[2 * q] = sp;
        part[2 * q + 1] = sc;
    });
}

template <class T, PixelKind K>
void run(const PearsonLossArgs& g) {
    i64 parts;
    if (g.axis == PearsonAxis::IMAGES) {
        images<T, K>(g);
        parts = parts_of((g.V + W - 1) / W, 64);
    } else {
        vertices<T, K>(g);
        parts = parts_of(g.B, 1);
    }
    double sp = 0, sc = 0;
    for (i64 q = 0; q < parts; q++) {
        sp += ((double*)g.scratch)[2 * q];
        sc += ((double*)g.scratch)[2 * q + 1];
    }
    sp /= (double)g.B * g.V;
    sc /= g.axis == PearsonAxis::IMAGES ? g.V : g.B;
    const float* w = (const float*)g.w;
    *(float*)g.pixel = (float)sp;
    *(float*)g.corr = (float)sc;
    *(float*)g.total = (float)(w[0] * sp + w[1] * sc);
}

}  // namespace

i64 pearson_loss_scratch(const PearsonLossArgs&) { return (threads() * 16 + 63) / 64 * 64; }

template <class T>
void pearson_loss(const PearsonLossArgs& g) {
    switch (g.kind) {
        case PixelKind::L1: return run<T, PixelKind::L1>(g);
        case PixelKind::MSE: return run<T, PixelKind::MSE>(g);
        case PixelKind::SMOOTH_L1: return run<T, PixelKind::SMOOTH_L1>(g);
    }
    CG_CHECK(false, "unknown pixel loss");
}

/// A thread takes runs of vertices; the sums of a run stay in L1 while the images pass.
template <class T>
void pearson_sums(const PearsonSumsArgs& g) {
    constexpr i64 kRun = 512;
    const T* p = (const T*)g.pred;
    const float* t = (const float*)g.target;
    double* s = (double*)g.sums;
    const i64 V = g.V;
    parallel((V + kRun - 1) / kRun, 1, [&](i64 b, i64 e, int) {
        for (i64 k = b; k < e; k++) {
            const i64 c = k * kRun, n = V - c < kRun ? V - c : kRun;
            double sums[5][kRun] = {};
            for (i64 i = 0; i < g.B; i++)
                for (i64 j = 0; j < n; j++) {
                    const double x = to_float(p[i * V + c + j]), y = t[i * V + c + j];
                    sums[0][j] += x;
                    sums[1][j] += y;
                    sums[2][j] += x * x;
                    sums[3][j] += y * y;
                    sums[4][j] += x * y;
                }
            for (int q = 0; q < 5; q++) std::memcpy(s + q * V + c, sums[q], (size_t)n * sizeof(double));
        }
    });
}

CG_INSTANTIATE(pearson_loss, PearsonLossArgs)
CG_INSTANTIATE(pearson_sums, PearsonSumsArgs)

}  // namespace CG_NS
}  // namespace cg
