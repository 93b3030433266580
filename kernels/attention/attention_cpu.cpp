// SPDX-License-Identifier: Apache-2.0
// A thread computes whole (image, head) pairs: it packs the head into scratch memory and then works in cache. A few
// queries cost little more than packing K and V.
//
// All seven products are one register tile, acc[r][v] += a[r][k] * b[k][v]: a broadcast value of a, NV vectors of b, R
// rows. k counts words of 4 bytes. A word is one float or, in bf16 on processors that multiply pairs (vdpbf16ps), two
// consecutive bf16; on other processors packing converts bf16 to float. So the same loops serve both types, and only
// packing differs:
//   rows       [t][k over d]   the a of a product over d         (x unchanged, tails zero)
//   transposed [k over d][t]   the b of a product over d         (words of rows, transposed)
//   over_t     [k over t][d]   the b of a product over t         (pairs: rows 2k and 2k+1 interleaved)
// Forward takes R queries at a time: scores, exact softmax over the whole row in L1, product with V.
// Backward takes R keys at a time, so that P^T and dS^T are rows whose products with dY and Q give dV and dK at once.
// Only dS is kept for all keys (as the a of dQ = dS K); dQ is one product at the end.
//
// Versions, B 8, T 197, 12 heads of 64, on 2 cores of a Zen 5 server CPU (AVX-512; measured peak 573 f32 and 1144 bf16
// GFLOP/s), forward / backward against PyTorch 2.13's scaled_dot_product_attention on the same packed input:
//   1  vexp, scalar transposes, horizontal sums through memory: f32 2.1 / 2.4 times, bf16 3.5 / 5.2 times as fast
//   2  exp2v, transposes in registers, words packed without memcpy, maxima of R rows before their exponentials: f32
//      forward 10 %, bf16 forward 25 % faster than 1, backward alike
//   3  next head prefetched: backward another 3 % in f32, 12 % in bf16 (in f32 the rows share too few cache sets to
//      stay). Chosen: f32 2.6 / 2.5 times (370 GFLOP/s in both), bf16 4.6 / 5.8 times (670 / 770 GFLOP/s)
//   4  queries and keys of different number, each with addresses and strides of its own: the same loops
// The tiles run at 85-90 % of the peak; the rest is softmax, reading the head from memory, and packing.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr int R = 6;                 // even, for pairs of rows
constexpr int NV = W == 16 ? 4 : 2;  // R * NV sums, NV vectors of b and one of a fit 32 or 16 registers

#if defined(__AVX512BF16__)
template <class T>
constexpr bool kPairs = sizeof(T) == 2;
#else
template <class T>
constexpr bool kPairs = false;
#endif

/// The element type of a word: bf16 for pairs, else float.
template <bool P>
struct Element {
    using type = float;
};
template <>
struct Element<true> {
    using type = bf16;
};
template <bool P>
using El = typename Element<P>::type;

inline i64 up(i64 n, i64 m) { return (n + m - 1) / m * m; }

/// Extents of the packed queries or of the packed keys of a head.
struct Dims {
    i64 T, D;
    i64 kd, kp, kt;  // words over d; kd rounded up to W; words over t
    i64 Tr, Tp, Dp;  // T rounded up to R; Tr rounded up to W; D rounded up to W
    Dims(i64 t, i64 d, bool pairs) {
        T = t, D = d;
        kd = pairs ? (d + 1) / 2 : d;
        kp = up(kd, W);
        kt = pairs ? (t + 1) / 2 : t;
        Tr = up(t, R);
        Tp = up(Tr, W);
        Dp = up(d, W);
    }
};

constexpr float kLog2e = 1.44269504f;

template <bool P>
inline vf mac(const float* a, vf b, vf c) {
#if defined(__AVX512BF16__)
    if constexpr (P) {
        int32_t pair;
        std::memcpy(&pair, a, 4);
        return (vf)_mm512_dpbf16_ps((__m512)c, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)b);
    }
#endif
    return fma(splat(*a), b, c);
}

template <bool P, int N, class Done>
inline void tile(const float* a, i64 row, i64 step, const float* b, i64 ldb, i64 K, i64 v0, Done&& done) {
    vf acc[R][N] = {};
    b += v0 * W;
    for (i64 k = 0; k < K; k++) {
        vf x[N];
        for (int v = 0; v < N; v++) x[v] = load(b + k * ldb + v * W);
        for (int r = 0; r < R; r++)
            for (int v = 0; v < N; v++) acc[r][v] = mac<P>(a + r * row + k * step, x[v], acc[r][v]);
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < N; v++) done(r, (v0 + v) * W, acc[r][v]);
}

/// R rows of a times `columns` columns of b (a multiple of W); calls done(r, column, sums).
template <bool P, class Done>
void product(const float* a, i64 row, i64 step, const float* b, i64 ldb, i64 K, i64 columns, Done&& done) {
    const i64 vectors = columns / W, blocks = (vectors + NV - 1) / NV;
    for (i64 q = 0; q < blocks; q++) {
        const i64 v = vectors * q / blocks, n = vectors * (q + 1) / blocks - v;
        if (n == 1) tile<P, 1>(a, row, step, b, ldb, K, v, done);
        if (n == 2) tile<P, 2>(a, row, step, b, ldb, K, v, done);
        if constexpr (NV > 2) {
            if (n == 3) tile<P, 3>(a, row, step, b, ldb, K, v, done);
            if (n == 4) tile<P, 4>(a, row, step, b, ldb, K, v, done);
        }
    }
}

template <class T>
inline vf get(const T* p, i64 n) {
    return n >= W ? load(p) : n > 0 ? load_n(p, n) : vf{};
}
template <class T>
inline void put(T* p, vf x, i64 n) {
    if (n >= W) store(p, x);
    else if (n > 0) store_n(p, x, n);
}

/// Words k to k + W of a row of D elements, zero beyond its end.
template <bool P, class T>
inline vf words(const T* row, i64 k, i64 D) {
#if defined(__AVX512BF16__)
    if constexpr (P) {
        const i64 n = D - 2 * k;
        return (vf)_mm512_maskz_loadu_epi16(n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0, row + 2 * k);
    }
#endif
    return get(row + k, D - k);
}

/// Packs T rows, `stride` elements apart, to [rows][kp] words; rows from T on are zero.
template <bool P, class T>
void pack_rows(float* dst, const T* src, i64 stride, const Dims& m, i64 rows) {
    for (i64 t = 0; t < rows; t++)
        for (i64 k = 0; k < m.kp; k += W)
            store(dst + t * m.kp + k, t < m.T ? words<P>(src + t * stride, k, m.D) : vf{});
}

/// Transposes W x W words: for each bit of the row index, rows that differ in that bit exchange half of their words.
inline void transpose(vf* x) {
    vi low[5], high[5];
    for (int b = 0, n = 1; n < W; b++, n *= 2)
        for (int i = 0; i < W; i++) {
            low[b][i] = i & n ? i - n + W : i;  // lanes of the first row, then of the second
            high[b][i] = i & n ? i + W : i + n;
        }
    for (int b = 0, n = 1; n < W; b++, n *= 2)
        for (int i = 0; i < W; i++)
            if (!(i & n)) {
                const vf u = x[i], v = x[i + n];
                x[i] = __builtin_shuffle(u, v, low[b]);
                x[i + n] = __builtin_shuffle(u, v, high[b]);
            }
}

/// Packs to [kp][Tp] words; columns from T on are zero.
template <bool P, class T>
void pack_transposed(float* dst, const T* src, i64 stride, const Dims& m) {
    for (i64 t = 0; t < m.Tp; t += W)
        for (i64 k = 0; k < m.kp; k += W) {
            vf x[W];
            for (int r = 0; r < W; r++) x[r] = t + r < m.T ? words<P>(src + (t + r) * stride, k, m.D) : vf{};
            transpose(x);
            for (int r = 0; r < W; r++) store(dst + (k + r) * m.Tp + t, x[r]);
        }
}

/// Interleaves two rows to words (a_i, b_i).
#if defined(__AVX512BF16__)
inline vf interleaved(const bf16* a, const bf16* b, i64 n) {
    const __mmask16 k = n >= W ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
    __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, a));
    __m512i y = b ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, b)) : _mm512_setzero_si512();
    return (vf)_mm512_or_si512(x, _mm512_slli_epi32(y, 16));
}
#endif

/// Packs to [kt][Dp] words; columns from D on are zero.
template <bool P, class T>
void pack_over_t(float* dst, const T* src, i64 stride, const Dims& m) {
    for (i64 k = 0; k < m.kt; k++)
        for (i64 d = 0; d < m.Dp; d += W) {
#if defined(__AVX512BF16__)
            if constexpr (P) {
                const T* a = src + 2 * k * stride + d;
                store(dst + k * m.Dp + d, interleaved(a, 2 * k + 1 < m.T ? a + stride : nullptr, m.D - d));
                continue;
            }
#endif
            store(dst + k * m.Dp + d, get(src + k * stride + d, m.D - d));
        }
}

/// Words of scratch memory per thread: one term per array, in the order of the kernels, each in whole cache lines. For
/// float, which bf16 fits too: the scratch functions do not know the variant.
i64 scratch_words(const AttentionArgs& g) {
    const Dims m(g.Tq, g.D, false), n(g.Tk, g.D, false);
    return up(n.kp * n.Tp, 16) + up(n.kt * n.Dp, 16) + up(m.Tr * m.kp, 16) + 2 * up(R * n.Tp, 16);
}
i64 scratch_words(const AttentionGradArgs& g) {
    const Dims m(g.Tq, g.D, false), n(g.Tk, g.D, false);
    return 2 * up(m.kp * m.Tp, 16) + 2 * up(m.kt * m.Dp, 16) + up(n.kt * n.Dp, 16) + 2 * up(n.Tr * n.kp, 16) +
           2 * up(m.Tp, 16) + 3 * up(R * m.Tp, 16) + up(n.Tr * m.Tp, 16);
}
struct Words {
    float* p;
    float* take(i64 n) {
        float* q = p;
        p += up(n, 16);
        return q;
    }
};

/// The first element of a head.
template <class T, class V>
T* at_head(V* x, i64 tokens, i64 stride, i64 head, i64 H, i64 D) {
    return (T*)x + head / H * tokens * stride + head % H * D;
}

/// The tensors of the head after this one, which are prefetched while this one is computed: their rows are too short
/// and too far apart for the hardware prefetcher. Nothing is prefetched after a thread's last head.
struct Prefetch {
    bool any;
    i64 part, parts;  // this call's share of each tensor's rows

    template <class T>
    void rows(const T* p, i64 stride, const Dims& m) const {
        if (!any) return;
        for (i64 t = m.T * part / parts; t < m.T * (part + 1) / parts; t++)
            for (i64 d = 0; d < m.D; d += 64 / sizeof(T)) __builtin_prefetch(p + t * stride + d, 0, 2);
    }
};

template <class T>
void forward(const AttentionArgs& g, i64 head, bool more, float* scratch) {
    constexpr bool P = kPairs<T>;
    const Dims m(g.Tq, g.D, P), n(g.Tk, g.D, P);  // queries, keys
    const i64 C = g.H * g.D;
    auto queries = [&](i64 at) { return at_head<const T>(g.q, g.Tq, g.q_stride, at, g.H, g.D); };
    auto keys = [&](const void* x, i64 at) { return at_head<const T>(x, g.Tk, g.kv_stride, at, g.H, g.D); };
    T* y = at_head<T>(g.y, g.Tq, C, head, g.H, g.D);
    float* lse = (float*)g.lse + head * g.Tq;
    Words w{scratch};
    float *kT = w.take(n.kp * n.Tp), *vt = w.take(n.kt * n.Dp), *qr = w.take(m.Tr * m.kp), *s = w.take(R * n.Tp),
          *p = w.take(R * n.Tp);
    pack_transposed<P>(kT, keys(g.k, head), g.kv_stride, n);
    pack_over_t<P>(vt, keys(g.v, head), g.kv_stride, n);
    pack_rows<P>(qr, queries(head), g.q_stride, m, m.Tr);

    const float scale = 1.f / std::sqrt((float)g.D), scale2 = scale * kLog2e;
    const i64 cols = up(n.T, W), last = cols - W;
    float valid[W];  // added to the scores of the last vector
    for (int i = 0; i < W; i++) valid[i] = last + i < n.T ? 0.f : -INFINITY;
    for (i64 i0 = 0; i0 < m.T; i0 += R) {
        const Prefetch next{more, i0 / R, m.Tr / R};
        next.rows(queries(head + 1), g.q_stride, m);
        next.rows(keys(g.k, head + 1), g.kv_stride, n);
        next.rows(keys(g.v, head + 1), g.kv_stride, n);
        product<P>(qr + i0 * m.kp, m.kp, 1, kT, n.Tp, m.kd, cols,
                   [&](int r, i64 c, vf x) { store(s + r * n.Tp + c, x); });
        const i64 rows = m.T - i0 < R ? m.T - i0 : R;
        float top[R], inv[R];
        for (i64 r = 0; r < rows; r++) {
            float* sr = s + r * n.Tp;
            store(sr + last, load(sr + last) + load(valid));
            vf x = load(sr);
            for (i64 c = W; c < cols; c += W) x = vmax(x, load(sr + c));
            top[r] = hmax(x);
        }
        for (i64 r = 0; r < rows; r++) {
            const float* sr = s + r * n.Tp;
            El<P>* pr = (El<P>*)(p + r * n.Tp);
            vf sum{};
            for (i64 c = 0; c < cols; c += W) {
                vf e = exp2v((load(sr + c) - splat(top[r])) * splat(scale2));
                sum += e;
                store(pr + c, e);
            }
            const float z = hsum(sum);
            inv[r] = 1.f / z;
            lse[i0 + r] = top[r] * scale + std::log(z);
        }
        product<P>(p, n.Tp, 1, vt, n.Dp, n.kt, n.Dp, [&](int r, i64 c, vf x) {
            if (r < rows) put(y + (i0 + r) * C + c, x * splat(inv[r]), m.D - c);
        });
    }
}

template <class T>
void backward(const AttentionGradArgs& g, i64 head, bool more, float* scratch) {
    constexpr bool P = kPairs<T>;
    const Dims m(g.Tq, g.D, P), n(g.Tk, g.D, P);  // queries, keys
    const i64 C = g.H * g.D;
    auto queries = [&](i64 at) { return at_head<const T>(g.q, g.Tq, g.q_stride, at, g.H, g.D); };
    auto keys = [&](const void* x, i64 at) { return at_head<const T>(x, g.Tk, g.kv_stride, at, g.H, g.D); };
    auto outputs = [&](const void* x, i64 at) { return at_head<const T>(x, g.Tq, C, at, g.H, g.D); };
    const T *q = queries(head), *k = keys(g.k, head), *v = keys(g.v, head), *y = outputs(g.y, head),
            *dY = outputs(g.dY, head);
    T *dQ = at_head<T>(g.dQ, g.Tq, g.q_stride, head, g.H, g.D),
      *dK = at_head<T>(g.dK, g.Tk, g.kv_stride, head, g.H, g.D),
      *dV = at_head<T>(g.dV, g.Tk, g.kv_stride, head, g.H, g.D);
    const float* lse = (const float*)g.lse + head * g.Tq;
    Words w{scratch};
    float *qT = w.take(m.kp * m.Tp), *dyT = w.take(m.kp * m.Tp);
    float *qt = w.take(m.kt * m.Dp), *dyt = w.take(m.kt * m.Dp), *kt = w.take(n.kt * n.Dp);
    float *kr = w.take(n.Tr * n.kp), *vr = w.take(n.Tr * n.kp);
    float *l = w.take(m.Tp), *Di = w.take(m.Tp);
    float *pf = w.take(R * m.Tp), *p = w.take(R * m.Tp), *block = w.take(R * m.Tp), *ds = w.take(n.Tr * m.Tp);
    pack_transposed<P>(qT, q, g.q_stride, m);
    pack_transposed<P>(dyT, dY, C, m);
    pack_over_t<P>(qt, q, g.q_stride, m);
    pack_over_t<P>(dyt, dY, C, m);
    pack_over_t<P>(kt, k, g.kv_stride, n);
    pack_rows<P>(kr, k, g.kv_stride, n, n.Tr);
    pack_rows<P>(vr, v, g.kv_stride, n, n.Tr);
    for (i64 i = 0; i < m.Tp; i++) {
        l[i] = INFINITY;  // p is 0 in columns beyond the queries
        Di[i] = 0;
    }
    for (i64 i = 0; i < m.T; i++) {
        vf a{};
        for (i64 d = 0; d < m.D; d += W) a = fma(get(dY + i * C + d, m.D - d), get(y + i * C + d, m.D - d), a);
        Di[i] = hsum(a);
        l[i] = lse[i] * kLog2e;
    }

    const float scale = 1.f / std::sqrt((float)g.D), scale2 = scale * kLog2e;
    const i64 cols = up(m.T, W);
    for (i64 j0 = 0; j0 < n.T; j0 += R) {
        const Prefetch next{more, j0 / R, n.Tr / R};
        next.rows(queries(head + 1), g.q_stride, m);
        next.rows(keys(g.k, head + 1), g.kv_stride, n);
        next.rows(keys(g.v, head + 1), g.kv_stride, n);
        next.rows(outputs(g.y, head + 1), C, m);
        next.rows(outputs(g.dY, head + 1), C, m);
        const i64 rows = n.T - j0 < R ? n.T - j0 : R;
        float* d = P ? block : ds + j0 * m.Tp;
        product<P>(kr + j0 * n.kp, n.kp, 1, qT, m.Tp, m.kd, cols, [&](int r, i64 c, vf x) {
            vf e = exp2v(fma(x, splat(scale2), -load(l + c)));
            if (P) store(pf + r * m.Tp + c, e);
            store((El<P>*)(p + r * m.Tp) + c, e);
        });
        const float* pe = P ? pf : p;
        product<P>(vr + j0 * n.kp, n.kp, 1, dyT, m.Tp, m.kd, cols, [&](int r, i64 c, vf x) {
            store((El<P>*)(d + r * m.Tp) + c, load(pe + r * m.Tp + c) * (x - load(Di + c)));
        });
        // Set dS of rows beyond the last key to 0, whatever exp(0 - lse) gave there.
        for (i64 r = rows; r < R; r++) std::memset(d + r * m.Tp, 0, (size_t)m.Tp * 4);
        product<P>(p, m.Tp, 1, dyt, m.Dp, m.kt, m.Dp, [&](int r, i64 c, vf x) {
            if (r < rows) put(dV + (j0 + r) * g.kv_stride + c, x, m.D - c);
        });
        product<P>(d, m.Tp, 1, qt, m.Dp, m.kt, m.Dp, [&](int r, i64 c, vf x) {
            if (r < rows) put(dK + (j0 + r) * g.kv_stride + c, x * splat(scale), m.D - c);
        });
#if defined(__AVX512BF16__)
        if constexpr (P)
            for (int r = 0; r < R; r += 2)
                for (i64 c = 0; c < cols; c += W)
                    store(ds + (j0 + r) / 2 * m.Tp + c,
                          interleaved((bf16*)(d + r * m.Tp) + c, (bf16*)(d + (r + 1) * m.Tp) + c, W));
#endif
    }
    for (i64 i0 = 0; i0 < m.T; i0 += R)
        product<P>(ds + i0, 1, m.Tp, kt, n.Dp, n.kt, n.Dp, [&](int r, i64 c, vf x) {
            if (i0 + r < m.T) put(dQ + (i0 + r) * g.q_stride + c, x * splat(scale), m.D - c);
        });
}

}  // namespace

i64 attention_scratch(const AttentionArgs& g) { return threads() * 4 * scratch_words(g); }
i64 attention_grad_scratch(const AttentionGradArgs& g) { return threads() * 4 * scratch_words(g); }

template <class T>
void attention(const AttentionArgs& g) {
    const i64 per_thread = scratch_words(g);
    parallel(g.B * g.H, 1, [&](i64 b, i64 e, int part) {
        for (i64 i = b; i < e; i++) forward<T>(g, i, i + 1 < e, (float*)g.scratch + part * per_thread);
    });
}

template <class T>
void attention_grad(const AttentionGradArgs& g) {
    const i64 per_thread = scratch_words(g);
    parallel(g.B * g.H, 1, [&](i64 b, i64 e, int part) {
        for (i64 i = b; i < e; i++) backward<T>(g, i, i + 1 < e, (float*)g.scratch + part * per_thread);
    });
}

CG_INSTANTIATE(attention, AttentionArgs)
CG_INSTANTIATE(attention_grad, AttentionGradArgs)

}  // namespace CG_NS
}  // namespace cg
