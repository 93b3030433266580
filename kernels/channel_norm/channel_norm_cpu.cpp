// SPDX-License-Identifier: Apache-2.0
// If there are enough n, a thread takes whole n and finds most of x still in cache when it writes. If there are too few
// n for the threads, the rows of each n are split into parts.
// Sums run down tiles of rows that stay in L1, one vector of channels at a time in registers, so that C/G need not fill
// a vector. Memory-bound.
// Versions: 1, leaky ReLU only; 2, this one, with swish and a shift. On 2 cores of an Intel Xeon (AVX-512 with bf16),
// least of three alternating runs, forward / with gradient, beside PyTorch:
//   8 x 12544 x 64 in 8 groups, leaky ReLU, f32                1: 2.2 / 5.8 ms, 2: 2.1 / 6.3 ms, PyTorch 3.8 / 13.2 ms
//   2 x 4096 x 320 in 32 groups, shift and SiLU, f32           2: 1.6 / 5.2 ms, PyTorch 2.4 / 8.4 ms
//   the same in bf16                                           2: 1.6 / 4.5 ms, PyTorch 2.5 / 14.1 ms
#include <cmath>

#include "activations.h"
#include "cg/threads.h"
#include "kernels_all.h"

namespace cg {
namespace CG_NS {

namespace {

struct Whole {
    template <class T>
    static vf get(const T* p, i64) {
        return load(p);
    }
    template <class T>
    static void put(T* p, vf v, i64) {
        store(p, v);
    }
};
struct Part {
    template <class T>
    static vf get(const T* p, i64 n) {
        return load_n(p, n);
    }
    template <class T>
    static void put(T* p, vf v, i64 n) {
        store_n(p, v, n);
    }
};

/// Calls f(c, n, how) for every vector of n channels from c on; `how` is Whole or Part.
template <class F>
void columns(i64 C, F&& f) {
    i64 c = 0;
    for (; c + W <= C; c += W) f(c, (i64)W, Whole());
    if (c < C) f(c, C - c, Part());
}

i64 parts_of_n(i64 N, i64 S, i64 C) {
    const i64 t = threads();
    if (N % t == 0 || N >= 4 * t || N * S * C < 32768) return 1;
    return t < S ? t : S;
}

/// Rows of a tile such that tiles of two tensors fit L1.
template <class T>
i64 tile_rows(i64 C) {
    const i64 r = 16384 / (C * (i64)sizeof(T));
    return r > 1 ? r : 1;
}

/// Calls sums(n, unit, first row, end row) for all units, merge(n) for all n, then write(n, unit, first row, end row).
/// A unit is one part of the rows of an n.
template <class Sums, class Merge, class Write>
void sum_merge_write(i64 N, i64 S, i64 C, Sums&& sums, Merge&& merge, Write&& write) {
    const i64 P = parts_of_n(N, S, C);
    if (P == 1) {
        parallel(N, 16384 / (S * C) + 1, [&](i64 b, i64 e, int) {
            for (i64 n = b; n < e; n++) {
                sums(n, n, (i64)0, S);
                merge(n);
                write(n, n, (i64)0, S);
            }
        });
        return;
    }
    parallel(N * P, 1, [&](i64 b, i64 e, int) {
        for (i64 u = b; u < e; u++) sums(u / P, u, S * (u % P) / P, S * (u % P + 1) / P);
    });
    parallel(N, 1, [&](i64 b, i64 e, int) {
        for (i64 n = b; n < e; n++) merge(n);
    });
    parallel(N * P, 1, [&](i64 b, i64 e, int) {
        for (i64 u = b; u < e; u++) write(u / P, u, S * (u % P) / P, S * (u % P + 1) / P);
    });
}

/// Mean of every channel, and sum of squared distances from the mean.
template <class T>
void statistics(const T* x, i64 rows, i64 C, float* mean, float* m2) {
    const i64 tile = tile_rows<T>(C);
    for (i64 r = 0; r < rows; r += tile) {
        const i64 n = rows - r < tile ? rows - r : tile;
        const vf inv = splat(1.f / (float)n), share = splat((float)n / (float)(r + n));
        const vf pair = splat((float)r * ((float)n / (float)(r + n)));
        columns(C, [&](i64 c, i64 k, auto how) {
            const T* p = x + r * C + c;
            vf s{}, s2{};
            i64 i = 0;
            for (; i + 2 <= n; i += 2) {
                s += how.get(p + i * C, k);
                s2 += how.get(p + (i + 1) * C, k);
            }
            if (i < n) s += how.get(p + i * C, k);
            const vf m = (s + s2) * inv;
            vf q{}, q2{};
            for (i = 0; i + 2 <= n; i += 2) {
                const vf d = how.get(p + i * C, k) - m, e = how.get(p + (i + 1) * C, k) - m;
                q = fma(d, d, q);
                q2 = fma(e, e, q2);
            }
            if (i < n) {
                const vf d = how.get(p + i * C, k) - m;
                q = fma(d, d, q);
            }
            q += q2;
            if (r == 0) {
                how.put(mean + c, m, k);
                how.put(m2 + c, q, k);
            } else {
                const vf old = how.get(mean + c, k), d = m - old;
                how.put(mean + c, fma(d, share, old), k);
                how.put(m2 + c, how.get(m2 + c, k) + fma(d * d, pair, q), k);
            }
        });
    }
}

/// dz = dY f'(z).
template <ActivationKind K>
inline vf slope_times(vf z, vf dY, vf alpha) {
    if constexpr (K == ActivationKind::LEAKY_RELU) return select(z > vf{}, dY, dY * alpha);
    else return dY * activation_slope<K>(z, alpha);
}

/// The group's mean for every channel of an n, less the channel's shift, since u - mean = x - (mean - shift).
template <class T, class Args>
void means(const Args& g, i64 n, float* m) {
    const float* mean = (const float*)g.mean + n * g.G;
    const T* shift = (const T*)g.shift;
    for (i64 c = 0; c < g.C; c++) m[c] = mean[c / (g.C / g.G)] - (shift ? to_float(shift[n * g.C + c]) : 0.f);
}

}  // namespace

i64 channel_norm_scratch(const ChannelNormArgs& g) {
    return (g.N * parts_of_n(g.N, g.S, g.C) * 2 * g.C * 4 + 63) / 64 * 64;
}

/// Arrays of C floats in the gradient's scratch memory, for each part of an n.
constexpr i64 kGradArrays = 6;

i64 channel_norm_grad_scratch(const ChannelNormGradArgs& g) {
    return (g.N * (kGradArrays * parts_of_n(g.N, g.S, g.C) + 2) * g.C * 4 + 63) / 64 * 64;
}

namespace {

template <class T, ActivationKind K>
void forward(const ChannelNormArgs& g) {
    const T *x = (const T*)g.x, *shift = (const T*)g.shift;
    const float *ga = (const float*)g.gamma, *be = (const float*)g.beta;
    T* y = (T*)g.y;
    float *mean = (float*)g.mean, *rstd = (float*)g.rstd,
          *scratch = (float*)g.scratch;  // per unit: mean [C], m2 [C]
    const i64 S = g.S, C = g.C, G = g.G, D = C / G, P = parts_of_n(g.N, S, C);
    const vf alpha = splat((float)g.alpha);
    sum_merge_write(
        g.N, S, C,
        [&](i64 n, i64 u, i64 b, i64 e) {
            statistics(x + (n * S + b) * C, e - b, C, scratch + u * 2 * C, scratch + u * 2 * C + C);
        },
        [&](i64 n) {
            for (i64 k = 0; k < G; k++) {
                double m = 0, q = 0;
                for (int pass = 0; pass < 2; pass++)
                    for (i64 p = 0; p < P; p++) {
                        const double rows = (double)(S * (p + 1) / P - S * p / P);
                        const float* s = scratch + (n * P + p) * 2 * C;
                        for (i64 c = k * D; c < (k + 1) * D; c++) {
                            const double v = shift ? (double)s[c] + to_float(shift[n * C + c]) : (double)s[c];
                            if (pass == 0) m += rows / (double)(S * D) * v;
                            else q += s[C + c] + rows * (v - m) * (v - m);
                        }
                    }
                mean[n * G + k] = (float)m;
                rstd[n * G + k] = (float)(1 / std::sqrt(q / (double)(S * D) + g.eps));
            }
        },
        [&](i64 n, i64 u, i64 b, i64 e) {
            // The unit's sums are no longer needed: reuse their memory for mean and rstd * gamma of every channel.
            float *m = scratch + u * 2 * C, *a = m + C;
            means<T>(g, n, m);
            for (i64 c = 0; c < C; c++) a[c] = rstd[n * G + c / D] * ga[c];
            for (i64 r = n * S + b; r < n * S + e; r++)
                columns(C, [&](i64 c, i64 k, auto how) {
                    const vf z =
                        fma(how.get(x + r * C + c, k) - how.get(m + c, k), how.get(a + c, k), how.get(be + c, k));
                    how.put(y + r * C + c, activation_value<K>(z, alpha), k);
                });
        });
}

template <class T, ActivationKind K>
void backward(const ChannelNormGradArgs& g) {
    const T *dY = (const T*)g.dY, *x = (const T*)g.x;
    const float *ga = (const float*)g.gamma, *be = (const float*)g.beta, *rstd = (const float*)g.rstd;
    T *dX = (T*)g.dX, *dShift = (T*)g.dShift;
    const i64 S = g.S, C = g.C, G = g.G, D = C / G, P = parts_of_n(g.N, S, C), units = g.N * P;
    // Arrays of C floats. Per unit: sums of dz h, of dz and of u - mean, then mean - shift, rstd, rstd * gamma. Per n:
    // the two terms that dX subtracts.
    float *scratch = (float*)g.scratch, *less = scratch + units * kGradArrays * C;
    const vf alpha = splat((float)g.alpha);
    sum_merge_write(
        g.N, S, C,
        [&](i64 n, i64 u, i64 b, i64 e) {
            float *sh = scratch + u * kGradArrays * C, *sd = sh + C, *so = sd + C, *m = so + C, *q = m + C, *a = q + C;
            means<T>(g, n, m);
            for (i64 c = 0; c < C; c++) {
                q[c] = rstd[n * G + c / D];
                a[c] = q[c] * ga[c];
            }
            const i64 tile = tile_rows<T>(C);
            for (i64 r = b; r < e; r += tile) {
                const i64 last = r + tile < e ? r + tile : e;
                columns(C, [&](i64 c, i64 k, auto how) {
                    const vf vm = how.get(m + c, k), va = how.get(a + c, k), vb = how.get(be + c, k),
                             vq = how.get(q + c, k);
                    vf h{}, d{}, sum{};
                    for (i64 i = r; i < last; i++) {
                        const i64 at = (n * S + i) * C + c;
                        const vf o = how.get(x + at, k) - vm;
                        const vf dz = slope_times<K>(fma(o, va, vb), how.get(dY + at, k), alpha);
                        h = fma(dz, o, h);
                        d += dz;
                        if (dShift) sum += o;
                    }
                    h *= vq;
                    how.put(sh + c, r == b ? h : h + how.get(sh + c, k), k);
                    how.put(sd + c, r == b ? d : d + how.get(sd + c, k), k);
                    if (dShift) how.put(so + c, r == b ? sum : sum + how.get(so + c, k), k);
                });
            }
        },
        [&](i64 n) {
            for (i64 k = 0; k < G; k++) {
                double a = 0, b = 0;
                for (i64 p = 0; p < P; p++) {
                    const float* s = scratch + (n * P + p) * kGradArrays * C;
                    for (i64 c = k * D; c < (k + 1) * D; c++) {
                        b += (double)ga[c] * s[c];
                        a += (double)ga[c] * s[C + c];
                    }
                }
                const float r = rstd[n * G + k], fa = (float)(a / (double)(S * D)) * r,
                            fb = (float)(b / (double)(S * D)) * r * r;
                for (i64 c = k * D; c < (k + 1) * D; c++) {
                    less[n * 2 * C + c] = fa;
                    less[n * 2 * C + C + c] = fb;
                    if (!dShift) continue;
                    double d = 0, o = 0;
                    for (i64 p = 0; p < P; p++) {
                        const float* s = scratch + (n * P + p) * kGradArrays * C;
                        d += s[C + c];
                        o += s[2 * C + c];
                    }
                    dShift[n * C + c] = from_float<T>((float)((double)(r * ga[c]) * d - (double)S * fa - fb * o));
                }
            }
        },
        [&](i64 n, i64 u, i64 b, i64 e) {
            const float *m = scratch + u * kGradArrays * C + 3 * C, *a = m + 2 * C, *la = less + n * 2 * C,
                        *lb = la + C;
            for (i64 r = n * S + b; r < n * S + e; r++)
                columns(C, [&](i64 c, i64 k, auto how) {
                    const vf o = how.get(x + r * C + c, k) - how.get(m + c, k), va = how.get(a + c, k);
                    const vf dz = slope_times<K>(fma(o, va, how.get(be + c, k)), how.get(dY + r * C + c, k), alpha);
                    how.put(dX + r * C + c, fma(dz, va, fma(-o, how.get(lb + c, k), -how.get(la + c, k))), k);
                });
        });
    columns(C, [&](i64 c, i64 k, auto how) {
        vf h{}, d{};
        for (i64 u = 0; u < units; u++) {
            h += how.get(scratch + u * kGradArrays * C + c, k);
            d += how.get(scratch + u * kGradArrays * C + C + c, k);
        }
        how.put((float*)g.dGamma + c, h, k);
        how.put((float*)g.dBeta + c, d, k);
    });
}

}  // namespace

template <class T>
void channel_norm(const ChannelNormArgs& g) {
    switch (g.kind) {
        case ActivationKind::LEAKY_RELU: return forward<T, ActivationKind::LEAKY_RELU>(g);
        case ActivationKind::SWISH: return forward<T, ActivationKind::SWISH>(g);
        default: CG_CHECK(false, "a normalisation ends in leaky ReLU or swish");
    }
}

template <class T>
void channel_norm_grad(const ChannelNormGradArgs& g) {
    switch (g.kind) {
        case ActivationKind::LEAKY_RELU: return backward<T, ActivationKind::LEAKY_RELU>(g);
        case ActivationKind::SWISH: return backward<T, ActivationKind::SWISH>(g);
        default: CG_CHECK(false, "a normalisation ends in leaky ReLU or swish");
    }
}

template <class T>
void channel_affine(const ChannelAffineArgs& g) {
    const T* x = (const T*)g.x;
    T* y = (T*)g.y;
    const float *ga = (const float*)g.gamma, *be = (const float*)g.beta, *mean = (const float*)g.mean,
                *var = (const float*)g.var;
    const i64 C = g.C;
    const vf slope = splat((float)g.slope), eps = splat((float)g.eps);
    parallel(g.rows, 16384 / C + 1, [&](i64 b, i64 e, int) {
        const i64 tile = tile_rows<T>(C);  // one square root per vector of channels and tile
        for (i64 r = b; r < e; r += tile)
            columns(C, [&](i64 c, i64 k, auto how) {
                const vf m = how.get(mean + c, k), a = how.get(ga + c, k) / vsqrt(how.get(var + c, k) + eps),
                         o = how.get(be + c, k);
                for (i64 i = r; i < r + tile && i < e; i++) {
                    const vf z = fma(how.get(x + i * C + c, k) - m, a, o);
                    how.put(y + i * C + c, activation_value<ActivationKind::LEAKY_RELU>(z, slope), k);
                }
            });
    });
}

template <class T>
void track_statistics(const TrackStatisticsArgs& g) {
    const float *mean = (const float*)g.mean, *rstd = (const float*)g.rstd;
    float *m = (float*)g.runningMean, *v = (float*)g.runningVar;
    // Double, because the variance is a difference that may be small; there are only some hundreds of channels.
    for (i64 c = 0; c < g.C; c++) {
        const double r = rstd[c], var = (1 / (r * r) - g.eps) * g.count / (g.count - 1);
        m[c] = (float)(m[c] + g.momentum * (mean[c] - m[c]));
        v[c] = (float)(v[c] + g.momentum * (var - v[c]));
    }
}

i64 channel_sums_scratch(const ChannelSumsArgs& g) { return (parts_of_n(1, g.S, g.C) * 2 * g.C * 4 + 63) / 64 * 64; }

i64 channel_grad_sums_scratch(const ChannelGradSumsArgs& g) {
    return (parts_of_n(1, g.S, g.C) * 2 * g.C * 4 + 63) / 64 * 64;
}

i64 channel_grad_given_scratch(const ChannelGradGivenArgs& g) { return (2 * g.C * 4 + 63) / 64 * 64; }

namespace {

/// Calls f(part, first row, end row) for each part of S rows.
template <class F>
i64 each_part(i64 S, i64 C, F&& f) {
    const i64 P = parts_of_n(1, S, C);
    parallel(P, 1, [&](i64 b, i64 e, int) {
        for (i64 p = b; p < e; p++) f(p, S * p / P, S * (p + 1) / P);
    });
    return P;
}

/// dz of a vector, and the distance o of x from the mean.
template <class T, class How, class Args>
inline vf leaky(const Args& g, i64 at, i64 c, i64 k, How how, vf slope, vf& o) {
    const vf rstd = how.get((const float*)g.rstd + c, k), gamma = how.get((const float*)g.gamma + c, k);
    o = how.get((const T*)g.x + at, k) - how.get((const float*)g.mean + c, k);
    const vf z = fma(o, rstd * gamma, how.get((const float*)g.beta + c, k));
    return slope_times<ActivationKind::LEAKY_RELU>(z, how.get((const T*)g.dY + at, k), slope);
}

}  // namespace

template <class T>
void channel_sums(const ChannelSumsArgs& g) {
    const i64 S = g.S, C = g.C;
    float* part = (float*)g.scratch;  // per part: mean [C], m2 [C]
    const i64 P = each_part(S, C, [&](i64 p, i64 b, i64 e) {
        statistics((const T*)g.x + b * C, e - b, C, part + p * 2 * C, part + p * 2 * C + C);
    });
    double* sums = (double*)g.sums;
    for (i64 c = 0; c < C; c++) {
        double s = 0, q = 0;
        for (i64 p = 0; p < P; p++) {
            const double rows = (double)(S * (p + 1) / P - S * p / P), m = part[p * 2 * C + c];
            s += rows * m;
            q += part[p * 2 * C + C + c] + rows * m * m;
        }
        sums[c] = s;
        sums[C + c] = q;
    }
}

template <class T>
void channel_norm_given(const ChannelNormGivenArgs& g) {
    const i64 C = g.C;
    const double *sums = (const double*)g.sums, n = (double)g.count;
    float *mean = (float*)g.mean, *rstd = (float*)g.rstd;
    for (i64 c = 0; c < C; c++) {
        const double m = sums[c] / n;
        mean[c] = (float)m;
        rstd[c] = (float)(1 / std::sqrt(std::fmax(sums[C + c] / n - m * m, 0) + g.eps));
    }
    const vf slope = splat((float)g.slope);
    each_part(g.S, C, [&](i64, i64 b, i64 e) {
        for (i64 r = b; r < e; r++)
            columns(C, [&](i64 c, i64 k, auto how) {
                const vf a = how.get(rstd + c, k) * how.get((const float*)g.gamma + c, k);
                const vf z = fma(how.get((const T*)g.x + r * C + c, k) - how.get(mean + c, k), a,
                                 how.get((const float*)g.beta + c, k));
                how.put((T*)g.y + r * C + c, activation_value<ActivationKind::LEAKY_RELU>(z, slope), k);
            });
    });
}

template <class T>
void channel_grad_sums(const ChannelGradSumsArgs& g) {
    const i64 C = g.C;
    float* part = (float*)g.scratch;  // per part: sums of dz (x - mean) [C] and of dz [C]
    const vf slope = splat((float)g.slope);
    const i64 P = each_part(g.S, C, [&](i64 p, i64 b, i64 e) {
        float *sh = part + p * 2 * C, *sd = sh + C;
        const i64 tile = tile_rows<T>(C);
        for (i64 r = b; r < e; r += tile) {
            const i64 last = r + tile < e ? r + tile : e;
            columns(C, [&](i64 c, i64 k, auto how) {
                vf h{}, d{}, o;
                for (i64 i = r; i < last; i++) {
                    const vf dz = leaky<T>(g, i * C + c, c, k, how, slope, o);
                    h = fma(dz, o, h);
                    d += dz;
                }
                how.put(sh + c, r == b ? h : h + how.get(sh + c, k), k);
                how.put(sd + c, r == b ? d : d + how.get(sd + c, k), k);
            });
        }
    });
    double* sums = (double*)g.sums;
    for (i64 c = 0; c < C; c++) {
        double h = 0, d = 0;
        for (i64 p = 0; p < P; p++) {
            h += part[p * 2 * C + c];
            d += part[p * 2 * C + C + c];
        }
        sums[c] = h * ((const float*)g.rstd)[c];
        sums[C + c] = d;
        ((float*)g.dGamma)[c] = (float)sums[c];
        ((float*)g.dBeta)[c] = (float)d;
    }
}

template <class T>
void channel_grad_given(const ChannelGradGivenArgs& g) {
    const i64 C = g.C;
    const double *sums = (const double*)g.sums, n = (double)g.count;
    const float *rstd = (const float*)g.rstd, *gamma = (const float*)g.gamma;
    float *la = (float*)g.scratch, *lb = la + C;
    for (i64 c = 0; c < C; c++) {
        const double a = (double)rstd[c] * gamma[c];
        la[c] = (float)(a * sums[C + c] / n);
        lb[c] = (float)(a * rstd[c] * sums[c] / n);
    }
    const vf slope = splat((float)g.slope);
    each_part(g.S, C, [&](i64, i64 b, i64 e) {
        for (i64 r = b; r < e; r++)
            columns(C, [&](i64 c, i64 k, auto how) {
                vf o;
                const vf dz = leaky<T>(g, r * C + c, c, k, how, slope, o),
                         a = how.get(rstd + c, k) * how.get(gamma + c, k);
                how.put((T*)g.dX + r * C + c, fma(dz, a, fma(-o, how.get(lb + c, k), -how.get(la + c, k))), k);
            });
    });
}

CG_INSTANTIATE(channel_sums, ChannelSumsArgs)
CG_INSTANTIATE(channel_norm_given, ChannelNormGivenArgs)
CG_INSTANTIATE(channel_grad_sums, ChannelGradSumsArgs)
CG_INSTANTIATE(channel_grad_given, ChannelGradGivenArgs)
CG_INSTANTIATE(channel_norm, ChannelNormArgs)
CG_INSTANTIATE(channel_norm_grad, ChannelNormGradArgs)
CG_INSTANTIATE(channel_affine, ChannelAffineArgs)
CG_INSTANTIATE_F32(track_statistics, TrackStatisticsArgs)

}  // namespace CG_NS
}  // namespace cg
