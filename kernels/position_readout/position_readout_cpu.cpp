// SPDX-License-Identifier: Apache-2.0
// Forward and the gradients of a vertex: vertices in the order of their cells, so that neighbours find the same four
// pixels of all images in L2.
// Fixed points: the vertices of one cell together, because the pixels of different images often lie at multiples of
// 4096 bytes from each other. Such lines push each other out of L1 and L2 before the cell's next vertex reads them.
// dX: pixel after pixel, so that the weights of its vertices are in cache for all images and channels; the threads have
// equal work however points crowd. Eight images of a pixel are summed in registers, and one load of w serves them all.
// Versions, 32 images, 16 pixels, 128 channels, 39,548 vertices on 2 Xeon cores beside other work, forward / with
// gradient (a dense product of that size: 2.3 to 6.6 / 6.2 to 7.8 ms):
//   1. four pixels a vertex; dX: a thread takes all images of its channels     23.9 / 56.9 ms
//   2. one pixel a vertex where points are fixed; dX: 8 images of its channels 12.1 / 29.6 ms
//   3. dX pixel after pixel, in equal shares of work. On 2 Xeon cores (AVX-512, 48 KiB L1), alternately, 64 x 64 pixels
//      of 320 channels, 16 images, 39,548 vertices, f32, dX alone / all: 13.3, 11.7 / 30, 30 ms (second: 32, 42 all)
//   4. fixed points in runs of a cell's vertices. There, forward / dw alone / all: 8.2, 8.0 / 7.0, 6.4 / 17.5, 18.3 ms
//      (third: 13.7, 16.8 / 14.7, 15.1 / 24.0, 22.3); of 16 pixels and 128 channels, 32 images, forward / all: 7.1, 5.2
//      / 8.6, 6.1 ms (third: 11.7, 9.4 / 13.8, 13.1). Reading and writing those bytes: 7 ms all, 3 forward.
//      Runs of 16, 8 images at once, and prefetching the next cell changed nothing.
// Whole steps with the first are in bench/results/2026-11-25-cpu-gans.md.
#include <type_traits>

#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

struct Axis {
    i64 i[2];
    float q[2], dq;
};

inline Axis axis(float at, i64 n, i64 fixed) {
    Axis a;
    const float p = ((at + 1.f) * (float)n - 1.f) * 0.5f, c = p > 0 ? (p < (float)(n - 1) ? p : (float)(n - 1)) : 0.f;
    a.i[0] = (i64)(fixed ? c + 0.5f : c);
    a.i[1] = a.i[0] + 1 < n ? a.i[0] + 1 : a.i[0];
    a.q[1] = p != p ? p : fixed ? 0.f : c - (float)a.i[0];
    a.q[0] = 1.f - a.q[1];
    a.dq = !fixed && p > 0 && p < (float)(n - 1) ? (float)n * 0.5f : 0.f;
    return a;
}

/// order [V]: the vertices, sorted by cell (stable); first [cells + 1]: where each cell begins in order; cell [V].
struct Sorted {
    int32_t *order, *first, *cell;

    static i64 bytes(i64 V, i64 cells) { return ((2 * V + cells + 1) * 4 + 63) / 64 * 64; }

    Sorted(void* memory, const float* position, i64 V, i64 H, i64 Wd, i64 fixed)
        : order((int32_t*)memory), first(order + V), cell(first + H * Wd + 1) {
        const i64 cells = H * Wd;
        parallel(V, 2048, [&](i64 from, i64 to, int) {
            for (i64 v = from; v < to; v++)
                cell[v] =
                    (int32_t)(axis(position[2 * v + 1], H, fixed).i[0] * Wd + axis(position[2 * v], Wd, fixed).i[0]);
        });
        for (i64 c = 0; c <= cells; c++) first[c] = 0;
        for (i64 v = 0; v < V; v++) first[cell[v] + 1]++;
        for (i64 c = 0; c < cells; c++) first[c + 1] += first[c];
        for (i64 v = 0; v < V; v++) order[first[cell[v]]++] = (int32_t)v;
        for (i64 c = cells; c > 0; c--) first[c] = first[c - 1];
        first[0] = 0;
    }

    /// Where the run of at most `most` vertices of one cell ends that begins at place i of the order; at most `to`.
    i64 run(i64 i, i64 to, i64 most) const {
        const i64 end = i + most < to ? i + most : to, c = cell[order[i]];
        while (++i < end && cell[order[i]] == c) {
        }
        return i;
    }
};

/// Most vertices of one cell that are computed together, while the cell's pixels are in L1.
constexpr i64 kRun = 8;

template <bool Full, class T>
inline vf get(const T* p, i64 n) {
    return Full ? load(p) : load_n(p, n);
}

/// s[j] plus sum_c w q at[j], in vector lanes, for the N images from at on.
template <int N, class T>
inline void pixel(const T* at, i64 stride, const T* w, vf q, i64 C, vf (&s)[N]) {
    vf m[N] = {}, n[N] = {};
    i64 c = 0;
    for (; c + 2 * W <= C; c += 2 * W) {
        const vf u = load(w + c), v = load(w + c + W);
        for (int j = 0; j < N; j++) {
            m[j] = fma(u, load(at + j * stride + c), m[j]);
            n[j] = fma(v, load(at + j * stride + c + W), n[j]);
        }
    }
    for (; c < C; c += W) {
        const i64 r = C - c < W ? C - c : W;
        const vf u = load_n(w + c, r);
        for (int j = 0; j < N; j++) m[j] = fma(u, load_n(at + j * stride + c, r), m[j]);
    }
    for (int j = 0; j < N; j++) s[j] = fma(q, m[j] + n[j], s[j]);
}

/// s plus sum_c w sum_k q[k] at[k], in vector lanes; at[k] are the channels of the four pixels.
template <class T>
inline vf point(const T* const* at, const T* w, const vf* q, i64 C, vf s) {
    i64 c = 0;
    for (; c + W <= C; c += W) {
        const vf m = fma(q[0], load(at[0] + c), q[1] * load(at[1] + c)),
                 n = fma(q[2], load(at[2] + c), q[3] * load(at[3] + c));
        s = fma(load(w + c), m + n, s);
    }
    if (c < C) {
        const i64 r = C - c;
        const vf m = fma(q[0], load_n(at[0] + c, r), q[1] * load_n(at[1] + c, r));
        const vf n = fma(q[2], load_n(at[2] + c, r), q[3] * load_n(at[3] + c, r));
        s = fma(load_n(w + c, r), m + n, s);
    }
    return s;
}

/// For one vertex and one vector of channels of one layer: dw, and the four pixels' parts (dots) of the gradient by the
/// position.
template <bool Full, class T>
inline void weights_grad(const T* const* at, i64 stride, const float* d, i64 B, const T* w, const vf* q, float* dw,
                         vf* dots, i64 n) {
    vf s[4] = {};
    for (i64 b = 0; b < B; b++) {
        const vf db = splat(d[b]);
        for (int k = 0; k < 4; k++) s[k] = fma(db, get<Full>(at[k] + b * stride, n), s[k]);
    }
    const vf sum = fma(q[0], s[0], q[1] * s[1]) + fma(q[2], s[2], q[3] * s[3]);
    if constexpr (Full) store(dw, sum);
    else store_n(dw, sum, n);
    const vf vw = get<Full>(w, n);
    for (int k = 0; k < 4; k++) dots[k] = fma(vw, s[k], dots[k]);
}

/// dw of the N vertices of order, which have one fixed point, for one vector of channels of a layer.
template <int N, bool Full, class T>
inline void weights_grad(const T* at, i64 stride, const float* dYt, i64 B, const float* q, const int32_t* order,
                         float* dw, i64 row, i64 n) {
    vf s[N] = {};
    for (i64 b = 0; b < B; b++) {
        const vf x = get<Full>(at + b * stride, n);
        for (int j = 0; j < N; j++) s[j] = fma(splat(dYt[j * B + b]), x, s[j]);
    }
    for (int j = 0; j < N; j++) {
        if constexpr (Full) store(dw + order[j] * row, splat(q[4 * j]) * s[j]);
        else store_n(dw + order[j] * row, splat(q[4 * j]) * s[j], n);
    }
}

/// Calls f with the constant n, 1 <= n <= N.
template <int N, class F>
inline void with_constant(i64 n, F&& f) {
    if constexpr (N > 1)
        if (n < N) return with_constant<N - 1>(n, f);
    f(std::integral_constant<int, N>());
}

/// What dX is computed from: the sorted vertices' dY [V, B] and corner weights q [V, 4].
struct Sums {
    const int32_t *order, *first;
    const float *dYt, *q;

    /// Calls f(cell, k) for the cells that have pixel (y, x) at their corner k.
    template <class F>
    static void cells(const PositionReadoutGradArgs& g, i64 y, i64 x, F&& f) {
        for (int k = g.fixed ? 0 : 3; k >= 0; k--)
            if (y >= k / 2 && x >= k % 2) f((y - k / 2) * g.W + x - k % 2, k);
    }

    /// dX of one pixel, for N images from b on and M vectors of channels, the last with n channels.
    template <int N, int M, bool Full, class T>
    void pixel(const PositionReadoutGradArgs& g, i64 y, i64 x, i64 b, i64 l, i64 c, i64 n) const {
        vf s[N][M] = {};
        cells(g, y, x, [&](i64 cell, int k) {
            for (i64 i = first[cell]; i < first[cell + 1]; i++) {
                const T* w = (const T*)g.w + (order[i] * g.L + l) * g.C + c;
                const vf vq = splat(q[4 * i + k]);
                vf vw[M];
                for (int m = 0; m < M; m++) vw[m] = vq * get<Full>(w + m * W, n);
                for (int j = 0; j < N; j++) {
                    const vf d = splat(dYt[i * g.B + b + j]);
                    for (int m = 0; m < M; m++) s[j][m] = fma(d, vw[m], s[j][m]);
                }
            }
        });
        for (int j = 0; j < N; j++)
            for (int m = 0; m < M; m++) {
                T* o = (T*)g.dX + ((((b + j) * g.L + l) * g.H + y) * g.W + x) * g.C + c + m * W;
                if constexpr (Full) store(o, s[j][m]);
                else store_n(o, s[j][m], n);
            }
    }

    /// dX of one pixel, for up to 8 images [b, to) and M vectors of channels.
    template <int M, bool Full, class T>
    void images(const PositionReadoutGradArgs& g, i64 y, i64 x, i64 b, i64 to, i64 l, i64 c, i64 n) const {
        if (b + 8 <= to) return pixel<8, M, Full, T>(g, y, x, b, l, c, n);
        for (; b + 4 <= to; b += 4) pixel<4, M, Full, T>(g, y, x, b, l, c, n);
        for (; b < to; b++) pixel<1, M, Full, T>(g, y, x, b, l, c, n);
    }
};

}  // namespace

i64 position_readout_scratch(const PositionReadoutArgs& g) { return Sorted::bytes(g.V, g.H * g.W); }

template <class T>
void position_readout(const PositionReadoutArgs& g) {
    const float* position = (const float*)g.position;
    const Sorted sorted(g.scratch, position, g.V, g.H, g.W, g.fixed);
    const i64 layer = g.H * g.W * g.C;
    auto put = [&](i64 b, i64 v, vf s) { ((T*)g.y)[b * g.V + v] = from_float<T>(hsum(s) + ((const float*)g.bias)[v]); };
    parallel(g.V, 16384 / (g.B * g.L * g.C) + 1, [&](i64 from, i64 to, int) {
        for (i64 i = from; g.fixed && i < to;) {
            const i64 end = sorted.run(i, to, kRun);
            const T* x = (const T*)g.x + sorted.cell[sorted.order[i]] * g.C;
            auto images = [&](auto N, i64 b) {
                for (i64 k = i; k < end; k++) {
                    const i64 v = sorted.order[k];
                    const float q =
                        axis(position[2 * v], g.W, 1).q[0] * axis(position[2 * v + 1], g.H, 1).q[0];  // 1 or NaN
                    vf s[N] = {};
                    for (i64 l = 0; l < g.L; l++)
                        pixel<N>(x + (b * g.L + l) * layer, g.L * layer, (const T*)g.w + (v * g.L + l) * g.C, splat(q),
                                 g.C, s);
                    for (int j = 0; j < N; j++) put(b + j, v, s[j]);
                }
            };
            i64 b = 0;
            for (; b + 4 <= g.B; b += 4) images(std::integral_constant<int, 4>(), b);
            for (; b < g.B; b++) images(std::integral_constant<int, 1>(), b);
            i = end;
        }
        for (i64 i = from; !g.fixed && i < to; i++) {
            const i64 v = sorted.order[i];
            const Axis ax = axis(position[2 * v], g.W, 0), ay = axis(position[2 * v + 1], g.H, 0);
            vf q[4];
            for (int k = 0; k < 4; k++) q[k] = splat(ax.q[k % 2] * ay.q[k / 2]);
            for (i64 b = 0; b < g.B; b++) {
                vf s{};
                for (i64 l = 0; l < g.L; l++) {
                    const T* at[4];
                    for (int k = 0; k < 4; k++)
                        at[k] = (const T*)g.x + (b * g.L + l) * layer + (ay.i[k / 2] * g.W + ax.i[k % 2]) * g.C;
                    s = point(at, (const T*)g.w + (v * g.L + l) * g.C, q, g.C, s);
                }
                put(b, v, s);
            }
        }
    });
}

i64 position_readout_grad_scratch(const PositionReadoutGradArgs& g) {
    return Sorted::bytes(g.V, g.H * g.W) + (((g.B + 4) * g.V + g.H * g.W + 1) * 4 + 63) / 64 * 64;
}

template <class T>
void position_readout_grad(const PositionReadoutGradArgs& g) {
    const float* position = (const float*)g.position;
    const i64 B = g.B, L = g.L, C = g.C, V = g.V, layer = g.H * g.W * C, cells = g.H * g.W;
    const Sorted sorted(g.scratch, position, V, g.H, g.W, g.fixed);
    float *dYt = (float*)((char*)g.scratch + Sorted::bytes(V, cells)), *qs = dYt + B * V;
    float *dws = (float*)g.dw, *dPosition = (float*)g.dPosition, *dbias = (float*)g.dbias;
    parallel(V, 16384 / (B * L * C) + 1, [&](i64 from, i64 to, int) {
        for (i64 i = from; i < to; i++) {
            const i64 v = sorted.order[i];
            const Axis ax = axis(position[2 * v], g.W, g.fixed), ay = axis(position[2 * v + 1], g.H, g.fixed);
            vf q[4], dots[4] = {};
            for (int k = 0; k < 4; k++) q[k] = splat(qs[4 * i + k] = ax.q[k % 2] * ay.q[k / 2]);
            float *d = dYt + i * B, sum = 0;
            for (i64 b = 0; b < B; b++) sum += d[b] = to_float(((const T*)g.dY)[b * V + v]);
            if (dbias) dbias[v] = sum;
            for (i64 l = 0; !g.fixed && (dws || dPosition) && l < L; l++) {
                const T* w = (const T*)g.w + (v * L + l) * C;
                for (i64 c = 0; c < C; c += W) {
                    const i64 n = C - c < W ? C - c : W;
                    float unwanted[W], *dw = dws ? dws + (v * L + l) * C + c : unwanted;
                    const T* at[4];
                    for (int k = 0; k < 4; k++)
                        at[k] = (const T*)g.x + l * layer + (ay.i[k / 2] * g.W + ax.i[k % 2]) * C + c;
                    if (n == W) weights_grad<true>(at, L * layer, d, B, w + c, q, dw, dots, W);
                    else weights_grad<false>(at, L * layer, d, B, w + c, q, dw, dots, n);
                }
            }
            if (!dPosition) continue;
            float p[4];
            for (int k = 0; k < 4; k++) p[k] = hsum(dots[k]);
            dPosition[2 * v] = ax.dq * (ay.q[0] * (p[1] - p[0]) + ay.q[1] * (p[3] - p[2]));
            dPosition[2 * v + 1] = ay.dq * (ax.q[0] * (p[2] - p[0]) + ax.q[1] * (p[3] - p[1]));
        }
        for (i64 i = from; g.fixed && dws && i < to;) {
            const i64 end = sorted.run(i, to, kRun);
            with_constant<kRun>(end - i, [&](auto N) {
                const T* x = (const T*)g.x + sorted.cell[sorted.order[i]] * C;
                for (i64 l = 0; l < L; l++, x += layer)
                    for (i64 c = 0; c < C; c += W) {
                        auto some = [&](auto full, i64 n) {
                            weights_grad<N, full>(x + c, L * layer, dYt + i * B, B, qs + 4 * i, sorted.order + i,
                                                  dws + l * C + c, L * C, n);
                        };
                        if (c + W <= C) some(std::true_type(), W);
                        else some(std::false_type(), C - c);
                    }
            });
            i = end;
        }
    });
    if (!g.dX) return;
    // Units of a pixel: a layer, up to 8 images and two vectors of channels. Each costs the pixel's vertices plus one.
    const Sums sums = {sorted.order, sorted.first, dYt, qs};
    const i64 chunks = (C + 2 * W - 1) / (2 * W), groups = (B + 7) / 8, units = L * groups * chunks;
    int32_t *begin = (int32_t*)(qs + 4 * V), cost = 0;  // begin [cells + 1]: the costs of a unit of all pixels before
    for (i64 p = 0; p < cells; p++) {
        begin[p] = cost++;
        Sums::cells(g, p / g.W, p % g.W, [&](i64 c, int) { cost += sorted.first[c + 1] - sorted.first[c]; });
    }
    begin[cells] = cost;
    parallel(cost * units, 1024, [&](i64 from, i64 to, int) {
        // The units that begin at a cost in [from, to).
        for (i64 p = std::upper_bound(begin, begin + cells, from / units) - begin - 1; p < cells; p++) {
            const i64 at = begin[p] * units, each = begin[p + 1] - begin[p];
            if (at >= to) return;
            i64 u = from > at ? (from - at + each - 1) / each : 0;
            const i64 end = (to - at + each - 1) / each < units ? (to - at + each - 1) / each : units;
            const i64 y = p / g.W, x = p % g.W;
            i64 l = u / (groups * chunks), b = u / chunks % groups * 8, c = u % chunks * 2 * W;
            for (; u < end; u++) {
                const i64 e = b + 8 < B ? b + 8 : B;
                if (c + 2 * W <= C) sums.images<2, true, T>(g, y, x, b, e, l, c, W);
                else {
                    if (c + W <= C) sums.images<1, true, T>(g, y, x, b, e, l, c, W);
                    if (C % W != 0) sums.images<1, false, T>(g, y, x, b, e, l, C - C % W, C % W);
                }
                if ((c += 2 * W) < C) continue;
                c = 0;
                if ((b += 8) < B) continue;
                b = 0;
                l++;
            }
        }
    });
}

CG_INSTANTIATE(position_readout, PositionReadoutArgs)
CG_INSTANTIATE(position_readout_grad, PositionReadoutGradArgs)

}  // namespace CG_NS
}  // namespace cg
