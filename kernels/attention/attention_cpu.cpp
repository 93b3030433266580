// A thread takes whole heads. One head's tensors are packed as floats in scratch that stays in the second-level cache:
// what stands on the right of a product row by row with whole vectors, so that every product is one micro-kernel that
// broadcasts from the left and keeps a block of the result in registers. Softmax is exact, over full rows.
// Versions: 1 (this): float products for both types, blocks of 6 x 4 vectors (AVX-512), 6 x 2, 4 x 2.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

#if defined(__AVX512F__)
constexpr int kRows = 6, kVectors = 4;
#elif defined(__AVX2__)
constexpr int kRows = 6, kVectors = 2;
#else
constexpr int kRows = 4, kVectors = 2;
#endif

i64 up(i64 n) { return (n + W - 1) / W * W; }

/// C[R, N W] = A[R, K] B[K, N W]; A's element (r, k) is at a[r * ar + k * ak].
template <int R, int N>
inline void block(i64 K, const float* a, i64 ar, i64 ak, const float* b, i64 ldb, float* c, i64 ldc) {
    vf acc[R][N] = {};
    for (i64 k = 0; k < K; k++) {
        vf bk[N];
        for (int n = 0; n < N; n++) bk[n] = load(b + k * ldb + n * W);
        for (int r = 0; r < R; r++) {
            vf x = splat(a[r * ar + k * ak]);
            for (int n = 0; n < N; n++) acc[r][n] = fma(x, bk[n], acc[r][n]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) store(c + r * ldc + n * W, acc[r][n]);
}
template <int R>
inline void columns(i64 N, i64 K, const float* a, i64 ar, i64 ak, const float* b, i64 ldb, float* c, i64 ldc) {
    i64 n = 0;
    for (; n + kVectors * W <= N; n += kVectors * W) block<R, kVectors>(K, a, ar, ak, b + n, ldb, c + n, ldc);
    for (; n < N; n += W) block<R, 1>(K, a, ar, ak, b + n, ldb, c + n, ldc);
}
/// C[M, N] = A[M, K] B[K, N], N a multiple of W.
void product(i64 M, i64 N, i64 K, const float* a, i64 ar, i64 ak, const float* b, i64 ldb, float* c, i64 ldc) {
    i64 m = 0;
    for (; m + kRows <= M; m += kRows) columns<kRows>(N, K, a + m * ar, ar, ak, b, ldb, c + m * ldc, ldc);
    for (; m + 2 <= M; m += 2) columns<2>(N, K, a + m * ar, ar, ak, b, ldb, c + m * ldc, ldc);
    for (; m < M; m++) columns<1>(N, K, a + m * ar, ar, ak, b, ldb, c + m * ldc, ldc);
}

/// dst[n, up(D)] = f * src, zeros behind D.
template <class T>
void pack(i64 n, i64 D, const T* src, i64 stride, float f, float* dst) {
    const i64 L = up(D);
    const vf vfac = splat(f);
    for (i64 i = 0; i < n; i++)
        for (i64 d = 0; d < L; d += W) {
            const i64 k = D - d < W ? D - d : W;
            const T* s = src + i * stride + d;
            store(dst + i * L + d, vfac * (k == W ? load(s) : load_n(s, k)));
        }
}
/// dst[D, ld] = transpose of packed src[n, L], zeros behind n.
void transpose(i64 n, i64 D, const float* src, i64 L, float* dst, i64 ld) {
    for (i64 d = 0; d < D; d++) {
        for (i64 i = 0; i < n; i++) dst[d * ld + i] = src[i * L + d];
        for (i64 i = n; i < ld; i++) dst[d * ld + i] = 0;
    }
}
template <class T>
void unpack(i64 n, i64 D, const float* src, i64 L, float f, T* dst, i64 stride) {
    const vf vfac = splat(f);
    for (i64 i = 0; i < n; i++)
        for (i64 d = 0; d < D; d += W) {
            const i64 k = D - d < W ? D - d : W;
            vf v = vfac * load(src + i * L + d);
            if (k == W) store(dst + i * stride + d, v);
            else store_n(dst + i * stride + d, v, k);
        }
}

i64 part_forward(i64 T, i64 D) { return 3 * T * up(D) + D * up(T) + kRows * (up(T) + up(D)); }
i64 part_backward(i64 T, i64 D) { return 6 * T * up(D) + 2 * D * up(T) + 2 * T * up(T); }

}  // namespace

i64 attention_scratch(const AttentionArgs& g) { return (threads() * part_forward(g.T, g.D) * 4 + 63) / 64 * 64; }

template <class S>
void attention(const AttentionArgs& g) {
    const i64 T = g.T, H = g.H, D = g.D, Tp = up(T), L = up(D), in = 3 * H * D, out = H * D;
    const float scale = 1.f / std::sqrt((float)D);
    parallel(g.B * H, 1, [&](i64 first, i64 last, int part) {
        float* q = (float*)g.scratch + part * part_forward(T, D);
        float *k = q + T * L, *v = k + T * L, *kt = v + T * L, *s = kt + D * Tp, *o = s + kRows * Tp;
        for (i64 bh = first; bh < last; bh++) {
            const S* x = (const S*)g.qkv + (bh / H) * T * in + (bh % H) * D;
            S* y = (S*)g.y + (bh / H) * T * out + (bh % H) * D;
            float* lse = (float*)g.lse + bh * T;
            pack(T, D, x, in, scale, q);
            pack(T, D, x + H * D, in, 1.f, k);
            pack(T, D, x + 2 * H * D, in, 1.f, v);
            transpose(T, D, k, L, kt, Tp);
            for (i64 i = 0; i < T; i += kRows) {
                const i64 rows = T - i < kRows ? T - i : kRows;
                product(rows, Tp, D, q + i * L, L, 1, kt, Tp, s, Tp);
                for (i64 r = 0; r < rows; r++) {
                    float* p = s + r * Tp;
                    for (i64 j = T; j < Tp; j++) p[j] = -3e38f;
                    vf most = load(p);
                    for (i64 j = W; j < Tp; j += W) most = vmax(most, load(p + j));
                    const float m = hmax(most);
                    vf sum{};
                    for (i64 j = 0; j < Tp; j += W) {
                        vf e = vexp(load(p + j) - splat(m));
                        sum += e;
                        store(p + j, e);
                    }
                    const float total = hsum(sum);
                    lse[i + r] = m + std::log(total);
                    const vf inv = splat(1.f / total);
                    for (i64 j = 0; j < Tp; j += W) store(p + j, load(p + j) * inv);
                }
                product(rows, L, T, s, Tp, 1, v, L, o, L);
                unpack(rows, D, o, L, 1.f, y + i * out, out);
            }
        }
    });
}

i64 attention_grad_scratch(const AttentionGradArgs& g) { return (threads() * part_backward(g.T, g.D) * 4 + 63) / 64 * 64; }

template <class S>
void attention_grad(const AttentionGradArgs& g) {
    const i64 T = g.T, H = g.H, D = g.D, Tp = up(T), L = up(D), in = 3 * H * D, out = H * D;
    const float scale = 1.f / std::sqrt((float)D);
    parallel(g.B * H, 1, [&](i64 first, i64 last, int part) {
        float* q = (float*)g.scratch + part * part_backward(T, D);
        float *k = q + T * L, *v = k + T * L, *dy = v + T * L, *y = dy + T * L, *o = y + T * L;
        float *kt = o + T * L, *vt = kt + D * Tp, *p = vt + D * Tp, *ds = p + T * Tp;
        for (i64 bh = first; bh < last; bh++) {
            const i64 at_in = (bh / H) * T * in + (bh % H) * D, at_out = (bh / H) * T * out + (bh % H) * D;
            const S* x = (const S*)g.qkv + at_in;
            S* dx = (S*)g.dQkv + at_in;
            const float* lse = (const float*)g.lse + bh * T;
            pack(T, D, x, in, scale, q);
            pack(T, D, x + H * D, in, 1.f, k);
            pack(T, D, x + 2 * H * D, in, 1.f, v);
            pack(T, D, (const S*)g.dY + at_out, out, 1.f, dy);
            pack(T, D, (const S*)g.y + at_out, out, 1.f, y);
            transpose(T, D, k, L, kt, Tp);
            transpose(T, D, v, L, vt, Tp);
            product(T, Tp, D, q, L, 1, kt, Tp, p, Tp);
            product(T, Tp, D, dy, L, 1, vt, Tp, ds, Tp);
            for (i64 i = 0; i < T; i++) {
                vf dot{};
                for (i64 d = 0; d < L; d += W) dot = fma(load(dy + i * L + d), load(y + i * L + d), dot);
                const vf delta = splat(hsum(dot)), l = splat(lse[i]);
                float *pi = p + i * Tp, *si = ds + i * Tp;
                for (i64 j = 0; j < Tp; j += W) {
                    vf e = vexp(load(pi + j) - l);
                    store(pi + j, e);
                    store(si + j, e * (load(si + j) - delta));
                }
            }
            // columns of p and ds behind T are never read: rows of the transposes end at T
            product(T, L, T, ds, Tp, 1, k, L, o, L);
            unpack(T, D, o, L, scale, dx, in);
            product(T, L, T, ds, 1, Tp, q, L, o, L);  // q carries the scale already
            unpack(T, D, o, L, 1.f, dx + H * D, in);
            product(T, L, T, p, 1, Tp, dy, L, o, L);
            unpack(T, D, o, L, 1.f, dx + 2 * H * D, in);
        }
    });
}

CG_INSTANTIATE(attention, AttentionArgs)
CG_INSTANTIATE(attention_grad, AttentionGradArgs)

}  // namespace CG_NS
}  // namespace cg
