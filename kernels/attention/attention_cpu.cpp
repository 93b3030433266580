// SPDX-License-Identifier: Apache-2.0
// A thread packs a head into scratch memory and then works in cache. Forward, threads share the blocks of queries of
// all (image, head) pairs, in order, so that a thread packs few heads that another one packs too; backward, they share
// the pairs. A few queries cost little more than packing K and V.
//
// All seven products are one register tile, acc[r][v] += a[r][k] * b[k][v]: a broadcast value of a, NV vectors of b, R
// rows. k counts words of 4 bytes. A word is one float or, in bf16 on processors that multiply pairs (vdpbf16ps), two
// consecutive bf16; on other processors packing converts bf16 to float. So the same loops serve both types, and only
// packing differs:
//   rows       [t][k over d]   the a of a product over d         (x unchanged, tails zero)
//   transposed [k over d][t]   the b of a product over d         (words of rows, transposed)
//   over_t     [k over t][d]   the b of a product over t         (pairs: rows 2k and 2k+1 interleaved)
// Forward takes R queries at a time and the keys in blocks, so that scores and packed keys stay near: scores of a
// block, their softmax, product with V. If there are several blocks, a block of queries goes through them one after
// another, and what the earlier ones gave is scaled to the largest score so far (Milakov and Gimelshein 2018). Backward
// takes R keys at a time, so that P^T and dS^T are rows whose products with dY and Q give dV and dK at once. dS is kept
// for a block of queries and a block of keys, as the a of dQ = dS K. Sums over several blocks wait in scratch memory in
// float.
//
// Versions, B 8, T 197, 12 heads of 64, on 2 cores of a Zen 5 server CPU (AVX-512; measured peak 573 f32 and 1144 bf16
// GFLOP/s), forward / backward against PyTorch 2.13's scaled_dot_product_attention on the same packed input:
//   1  vexp, scalar transposes, horizontal sums through memory: f32 2.1 / 2.4 times, bf16 3.5 / 5.2 times as fast
//   2  exp2v, transposes in registers, words packed without memcpy, maxima of R rows before their exponentials: f32
//      forward 10 %, bf16 forward 25 % faster than 1, backward alike
//   3  next head prefetched: backward another 3 % in f32, 12 % in bf16 (in f32 the rows share too few cache sets to
//      stay). Chosen: f32 2.6 / 2.5 times (370 GFLOP/s in both), bf16 4.6 / 5.8 times (670 / 770 GFLOP/s)
//   4  queries and keys of different number, each with addresses and strides of its own: the same loops
//   5  blocks of queries and of keys, where a head was one; threads share the queries of a head. Least of three
//      alternating runs on 2 cores of an Intel Xeon (AVX-512 with bf16), forward / backward, 4 / 5 / PyTorch:
//        1 x 4096, 8 heads of 40, f32       146 / 100 / 130 ms    680 / 238 / 317 ms
//        1 x 4096, 8 heads of 40, bf16      163 / 164 /  53 ms    508 / 391 / 269 ms   (PyTorch by AMX tiles)
//        2 x 4096 to 258, 8 of 40, f32       17 /  17 /  19 ms     57 /  31 /  40 ms
//        1 x 4096, 1 head of 512, f32       731 / 158 ms         1767 / 1009 ms
//        8 x 197, 12 heads of 64, f32       6.3 / 6.0 / 6.8 ms   12.9 / 12.3 / 17.6 ms
//      Scratch memory of the first, backward: 146 / 9 MB. In f32 the gradient at 4,096 tokens has the rate of one at
//      256.
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

/// Tokens in blocks of one length, a multiple of `unit`; the last block may be shorter.
struct Blocks {
    i64 T, n, length;
    Blocks(i64 t, i64 most, i64 unit) : T(t), n((t + most - 1) / most), length(up((t + n - 1) / n, unit)) {}
    i64 size(i64 b) const { return T - b * length < length ? T - b * length : length; }
};
/// Most tokens of a block, multiples of R and of every W. The arrays of a block of each fit half a megabyte of L2 cache
/// with heads of 64.
constexpr i64 kQueries = 96, kKeys = 256, kGradQueries = 256, kGradKeys = 258;
Blocks query_blocks(const AttentionArgs& g) { return {g.Tq, kQueries, R}; }
Blocks key_blocks(const AttentionArgs& g) { return {g.Tk, kKeys, W}; }
Blocks query_blocks(const AttentionGradArgs& g) { return {g.Tq, kGradQueries, W}; }
Blocks key_blocks(const AttentionGradArgs& g) { return {g.Tk, kGradKeys, R}; }

/// Words of scratch memory per thread: one term per array, in the order of the kernels, each in whole cache lines. For
/// float, which bf16 fits too: the scratch functions do not know the variant.
i64 scratch_words(const AttentionArgs& g) {
    const Blocks keys = key_blocks(g);
    const Dims m(query_blocks(g).length, g.D, false), n(keys.length, g.D, false);
    return keys.n * (up(n.kp * n.Tp, 16) + up(n.kt * n.Dp, 16)) + up(m.Tr * m.kp, 16) + up(m.Tr * m.Dp, 16) +
           2 * up(m.Tr, 16) + 2 * up(R * n.Tp, 16);
}
i64 scratch_words(const AttentionGradArgs& g) {
    const Dims m(query_blocks(g).length, g.D, false), n(g.Tk, g.D, false);
    return up(n.kt * n.Dp, 16) + 2 * up(n.Tr * n.kp, 16) + 2 * up(n.Tr * n.Dp, 16) + 2 * up(m.kp * m.Tp, 16) +
           2 * up(m.kt * m.Dp, 16) + 2 * up(m.Tp, 16) + 3 * up(R * m.Tp, 16) + up(key_blocks(g).length * m.Tp, 16) +
           up(m.Tr * m.Dp, 16);
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

/// A thread's packed keys and values of a head, block by block, and its work on a block of queries.
template <class T>
struct Forward {
    static constexpr bool P = kPairs<T>;
    const AttentionArgs& g;
    const Blocks qs, ks;
    float *kT, *vt, *qr, *acc, *top, *sum, *s, *p;
    i64 kT_step, vt_step;  // words of a block

    Forward(const AttentionArgs& args, float* scratch) : g(args), qs(query_blocks(args)), ks(key_blocks(args)) {
        const Dims m(qs.length, g.D, P), n(ks.length, g.D, P);
        kT_step = up(n.kp * n.Tp, 16), vt_step = up(n.kt * n.Dp, 16);
        Words w{scratch};
        kT = w.take(ks.n * kT_step), vt = w.take(ks.n * vt_step), qr = w.take(m.Tr * m.kp), acc = w.take(m.Tr * m.Dp);
        top = w.take(m.Tr), sum = w.take(m.Tr), s = w.take(R * n.Tp), p = w.take(R * n.Tp);
    }

    const T* queries(i64 head) const { return at_head<const T>(g.q, g.Tq, g.q_stride, head, g.H, g.D); }
    const T* keys(const void* x, i64 head) const { return at_head<const T>(x, g.Tk, g.kv_stride, head, g.H, g.D); }

    void pack(i64 head) const {
        for (i64 b = 0; b < ks.n; b++) {
            const Dims n(ks.size(b), g.D, P);
            pack_transposed<P>(kT + b * kT_step, keys(g.k, head) + b * ks.length * g.kv_stride, g.kv_stride, n);
            pack_over_t<P>(vt + b * vt_step, keys(g.v, head) + b * ks.length * g.kv_stride, g.kv_stride, n);
        }
    }

    /// @param more whether the thread goes on with the next head
    void run(i64 head, i64 block, bool more) const {
        const i64 first = block * qs.length, C = g.H * g.D;
        const Dims m(qs.size(block), g.D, P), all(g.Tq, g.D, P), every(g.Tk, g.D, P);
        T* y = at_head<T>(g.y, g.Tq, C, head, g.H, g.D) + first * C;
        float* lse = (float*)g.lse + head * g.Tq + first;
        pack_rows<P>(qr, queries(head) + first * g.q_stride, g.q_stride, m, m.Tr);
        const float scale = 1.f / std::sqrt((float)g.D), scale2 = scale * kLog2e;
        for (i64 b = 0; b < ks.n; b++) {
            const Dims n(ks.size(b), g.D, P);
            const i64 cols = up(n.T, W), last = cols - W;
            float valid[W];  // added to the scores of the last vector
            for (int i = 0; i < W; i++) valid[i] = last + i < n.T ? 0.f : -INFINITY;
            for (i64 i0 = 0; i0 < m.T; i0 += R) {
                const Prefetch next{more && ks.n == 1, (first + i0) / R, all.Tr / R};
                next.rows(queries(head + 1), g.q_stride, all);
                next.rows(keys(g.k, head + 1), g.kv_stride, every);
                next.rows(keys(g.v, head + 1), g.kv_stride, every);
                product<P>(qr + i0 * m.kp, m.kp, 1, kT + b * kT_step, n.Tp, m.kd, cols,
                           [&](int r, i64 c, vf x) { store(s + r * n.Tp + c, x); });
                const i64 rows = m.T - i0 < R ? m.T - i0 : R;
                float factor[R];  // of what the earlier blocks gave
                for (i64 r = 0; r < rows; r++) {
                    float* sr = s + r * n.Tp;
                    store(sr + last, load(sr + last) + load(valid));
                    vf x = load(sr);
                    for (i64 c = W; c < cols; c += W) x = vmax(x, load(sr + c));
                    float most = hmax(x);
                    factor[r] = 0;
                    if (b > 0) {
                        if (top[i0 + r] > most) most = top[i0 + r];
                        factor[r] = std::exp2((top[i0 + r] - most) * scale2);
                    }
                    top[i0 + r] = most;
                }
                for (i64 r = 0; r < rows; r++) {
                    const float* sr = s + r * n.Tp;
                    El<P>* pr = (El<P>*)(p + r * n.Tp);
                    vf z{};
                    for (i64 c = 0; c < cols; c += W) {
                        vf e = exp2v((load(sr + c) - splat(top[i0 + r])) * splat(scale2));
                        z += e;
                        store(pr + c, e);
                    }
                    sum[i0 + r] = b > 0 ? sum[i0 + r] * factor[r] + hsum(z) : hsum(z);
                }
                float inv[R];
                for (i64 r = 0; r < rows; r++) inv[r] = 1.f / sum[i0 + r];
                product<P>(p, n.Tp, 1, vt + b * vt_step, n.Dp, n.kt, n.Dp, [&](int r, i64 c, vf x) {
                    if (r >= rows) return;
                    float* a = acc + (i0 + r) * n.Dp + c;
                    if (b > 0) x = fma(load(a), splat(factor[r]), x);
                    if (b < ks.n - 1) store(a, x);
                    else put(y + (i0 + r) * C + c, x * splat(inv[r]), m.D - c);
                });
            }
        }
        for (i64 i = 0; i < m.T; i++) lse[i] = top[i] * scale + std::log(sum[i]);
    }
};

template <class T>
void backward(const AttentionGradArgs& g, i64 head, bool more, float* scratch) {
    constexpr bool P = kPairs<T>;
    const Blocks qs = query_blocks(g), ks = key_blocks(g);
    const Dims all(g.Tq, g.D, P), n(g.Tk, g.D, P), longest(qs.length, g.D, P);
    const i64 C = g.H * g.D;
    auto queries = [&](i64 at) { return at_head<const T>(g.q, g.Tq, g.q_stride, at, g.H, g.D); };
    auto keys = [&](const void* x, i64 at) { return at_head<const T>(x, g.Tk, g.kv_stride, at, g.H, g.D); };
    auto outputs = [&](const void* x, i64 at) { return at_head<const T>(x, g.Tq, C, at, g.H, g.D); };
    T *dK = at_head<T>(g.dK, g.Tk, g.kv_stride, head, g.H, g.D),
      *dV = at_head<T>(g.dV, g.Tk, g.kv_stride, head, g.H, g.D);
    Words w{scratch};
    float *kt = w.take(n.kt * n.Dp), *kr = w.take(n.Tr * n.kp), *vr = w.take(n.Tr * n.kp);
    float *dk = w.take(n.Tr * n.Dp), *dv = w.take(n.Tr * n.Dp);
    float *qT = w.take(longest.kp * longest.Tp), *dyT = w.take(longest.kp * longest.Tp);
    float *qt = w.take(longest.kt * longest.Dp), *dyt = w.take(longest.kt * longest.Dp);
    float *l = w.take(longest.Tp), *Di = w.take(longest.Tp);
    float *pf = w.take(R * longest.Tp), *p = w.take(R * longest.Tp), *block = w.take(R * longest.Tp);
    float *ds = w.take(ks.length * longest.Tp), *dq = w.take(longest.Tr * longest.Dp);
    pack_over_t<P>(kt, keys(g.k, head), g.kv_stride, n);
    pack_rows<P>(kr, keys(g.k, head), g.kv_stride, n, n.Tr);
    pack_rows<P>(vr, keys(g.v, head), g.kv_stride, n, n.Tr);

    const float scale = 1.f / std::sqrt((float)g.D), scale2 = scale * kLog2e;
    for (i64 a = 0; a < qs.n; a++) {
        const i64 first = a * qs.length;
        const bool begins = a == 0, ends = a == qs.n - 1;
        const Dims m(qs.size(a), g.D, P);
        const T *q = queries(head) + first * g.q_stride, *y = outputs(g.y, head) + first * C,
                *dY = outputs(g.dY, head) + first * C;
        const float* lse = (const float*)g.lse + head * g.Tq + first;
        T* dQ = at_head<T>(g.dQ, g.Tq, g.q_stride, head, g.H, g.D) + first * g.q_stride;
        pack_transposed<P>(qT, q, g.q_stride, m);
        pack_transposed<P>(dyT, dY, C, m);
        pack_over_t<P>(qt, q, g.q_stride, m);
        pack_over_t<P>(dyt, dY, C, m);
        for (i64 i = 0; i < m.Tp; i++) {
            l[i] = INFINITY;  // p is 0 in columns beyond the queries
            Di[i] = 0;
        }
        for (i64 i = 0; i < m.T; i++) {
            vf x{};
            for (i64 d = 0; d < m.D; d += W) x = fma(get(dY + i * C + d, m.D - d), get(y + i * C + d, m.D - d), x);
            Di[i] = hsum(x);
            l[i] = lse[i] * kLog2e;
        }
        const i64 cols = up(m.T, W);
        for (i64 b = 0; b < ks.n; b++) {
            const i64 from = b * ks.length, to = from + ks.size(b);
            for (i64 j0 = from; j0 < to; j0 += R) {
                const Prefetch next{more && qs.n == 1, j0 / R, n.Tr / R};
                next.rows(queries(head + 1), g.q_stride, all);
                next.rows(keys(g.k, head + 1), g.kv_stride, n);
                next.rows(keys(g.v, head + 1), g.kv_stride, n);
                next.rows(outputs(g.y, head + 1), C, all);
                next.rows(outputs(g.dY, head + 1), C, all);
                const i64 rows = to - j0 < R ? to - j0 : R;
                float* d = P ? block : ds + (j0 - from) * m.Tp;
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
                auto keep = [&](float* sums, T* to_, float factor) {
                    return [=, &g](int r, i64 c, vf x) {
                        if (r >= rows) return;
                        float* at = sums + (j0 + r) * n.Dp + c;
                        if (!begins) x += load(at);
                        if (ends) put(to_ + (j0 + r) * g.kv_stride + c, x * splat(factor), g.D - c);
                        else store(at, x);
                    };
                };
                product<P>(p, m.Tp, 1, dyt, m.Dp, m.kt, m.Dp, keep(dv, dV, 1.f));
                product<P>(d, m.Tp, 1, qt, m.Dp, m.kt, m.Dp, keep(dk, dK, scale));
#if defined(__AVX512BF16__)
                if constexpr (P)
                    for (int r = 0; r < R; r += 2)
                        for (i64 c = 0; c < cols; c += W)
                            store(ds + (j0 - from + r) / 2 * m.Tp + c,
                                  interleaved((bf16*)(d + r * m.Tp) + c, (bf16*)(d + (r + 1) * m.Tp) + c, W));
#endif
            }
            const i64 words = P ? (to - from + 1) / 2 : to - from;
            for (i64 i0 = 0; i0 < m.T; i0 += R)
                product<P>(ds + i0, 1, m.Tp, kt + (P ? from / 2 : from) * n.Dp, n.Dp, words, n.Dp,
                           [&](int r, i64 c, vf x) {
                               if (i0 + r >= m.T) return;
                               float* at = dq + (i0 + r) * n.Dp + c;
                               if (b > 0) x += load(at);
                               if (b == ks.n - 1) put(dQ + (i0 + r) * g.q_stride + c, x * splat(scale), m.D - c);
                               else store(at, x);
                           });
        }
    }
}

}  // namespace

i64 attention_scratch(const AttentionArgs& g) { return threads() * 4 * scratch_words(g); }
i64 attention_grad_scratch(const AttentionGradArgs& g) { return threads() * 4 * scratch_words(g); }

template <class T>
void attention(const AttentionArgs& g) {
    const i64 per_thread = scratch_words(g), blocks = query_blocks(g).n;
    parallel(g.B * g.H * blocks, 1, [&](i64 b, i64 e, int part) {
        const Forward<T> f(g, (float*)g.scratch + part * per_thread);
        for (i64 i = b; i < e; i++) {
            const i64 head = i / blocks;
            if (i == b || i % blocks == 0) f.pack(head);
            f.run(head, i % blocks, (head + 1) * blocks < e);
        }
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
