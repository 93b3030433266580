// SPDX-License-Identifier: Apache-2.0
// Rows of W are split over the threads. A thread takes four rows at a time: their dot products with v, then their share
// of t while they are still in L1. So W is read from memory once, and t is loaded once for four rows.
// Versions: only this one; 39548 x 512 on 2 Zen 5 cores 1.8 ms, 5.8 times as fast as PyTorch
// (bench/results/2026-11-24-cpu-kernels.md; goal 5). For the times of the gradient see kernels/adam/adam_cpu.cpp.
#include "cg/threads.h"
#include "gradient.h"
#include "kernels_all.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr double kEps = 1e-12;  // torch's F.normalize
constexpr i64 kGrain = 32768;

i64 grain(i64 N) { return kGrain / N + 1; }
i64 up(i64 n) { return (n + 15) / 16 * 16; }
// Dot product in float lanes; callers keep n small.
inline double dot(const float* a, const float* b, i64 n) {
    vf s{};
    i64 i = 0;
    for (; i + W <= n; i += W) s = fma(load(a + i), load(b + i), s);
    if (i < n) s = fma(load_n(a + i, n - i), load_n(b + i, n - i), s);
    return hsum(s);
}
// Dot product of any length: pieces of 4096 in float lanes, totals in double.
double long_dot(const float* a, const float* b, i64 n) {
    double s = 0;
    for (i64 i = 0; i < n; i += 4096) s += dot(a + i, b + i, n - i < 4096 ? n - i : 4096);
    return s;
}
double norm(const float* a, i64 n) { return std::sqrt(long_dot(a, a, n)); }
// s[r] = W_r . v for R rows of W; if t is not null, also t += sum of s[r] W_r.
template <int R>
inline void rows_of(const float* w, i64 N, const float* v, float* s, float* t) {
    vf acc[R] = {};
    for (i64 j = 0; j < N; j += W) {
        bool full = N - j >= W;
        vf x = full ? load(v + j) : load_n(v + j, N - j);
        for (int r = 0; r < R; r++) acc[r] = fma(full ? load(w + r * N + j) : load_n(w + r * N + j, N - j), x, acc[r]);
    }
    vf f[R];
    for (int r = 0; r < R; r++) f[r] = splat(s[r] = hsum(acc[r]));
    if (!t) return;
    for (i64 j = 0; j < N; j += W) {
        bool full = N - j >= W;
        vf x = load(t + j);  // t is padded to whole vectors
        for (int r = 0; r < R; r++) x = fma(full ? load(w + r * N + j) : load_n(w + r * N + j, N - j), f[r], x);
        store(t + j, x);
    }
}

}  // namespace

i64 spectral_norm_scratch(const SpectralNormArgs& g) {
    i64 most = 0;
    for (i64 k = 0; k < g.n; k++) {
        i64 need = up(g.rows[k].M) + threads() * up(g.rows[k].N);
        if (need > most) most = need;
    }
    return most * 4;
}

template <class T>
void spectral_norm(const SpectralNormArgs& g) {
    for (i64 k = 0; k < g.n; k++) {
        const SpectralNormRow& r = g.rows[k];
        const i64 M = r.M, N = r.N, parts = parts_of(M, grain(N));
        const float *w = (const float*)r.W, *v = (const float*)r.v_in, *u = (const float*)r.u_in;
        float *s = (float*)g.scratch, *t = s + up(M), *uo = (float*)r.u_out, *vo = (float*)r.v_out;
        parallel(M, grain(N), [&](i64 b, i64 e, int p) {
            float* tp = g.advance ? t + p * up(N) : nullptr;
            if (tp)
                for (i64 j = 0; j < up(N); j++) tp[j] = 0;
            i64 i = b;
            for (; i + 4 <= e; i += 4) rows_of<4>(w + i * N, N, v, s + i, tp);
            for (; i < e; i++) rows_of<1>(w + i * N, N, v, s + i, tp);
        });
        double sigma;
        if (g.advance) {
            double ns = norm(s, M), guarded = ns > kEps ? ns : kEps;
            for (i64 p = 1; p < parts; p++)
                for (i64 j = 0; j < N; j++) t[j] += t[p * up(N) + j];
            sigma = norm(t, N) / guarded;
            double gt = sigma > kEps ? sigma : kEps;
            for (i64 i = 0; i < M; i++) uo[i] = (float)(s[i] / guarded);
            for (i64 j = 0; j < N; j++) vo[j] = (float)(t[j] / guarded / gt);
        } else {
            sigma = 0;
            for (i64 i = 0; i < M; i++) sigma += (double)u[i] * s[i];
            for (i64 i = 0; i < M; i++) uo[i] = u[i];
            for (i64 j = 0; j < N; j++) vo[j] = v[j];
        }
        *(float*)r.inv_sigma = (float)(1 / (sigma > kEps ? sigma : kEps));
    }
}

i64 spectral_norm_lambda_scratch(const SpectralNormLambdaArgs&) { return (threads() * 8 + 63) / 64 * 64; }

template <class T>
void spectral_norm_lambda(const SpectralNormLambdaArgs& args) {
    double* part = (double*)args.scratch;
    for (i64 k = 0; k < args.n; k++) {
        const SpectralNormLambdaRow& r = args.rows[k];
        const float *G = (const float*)r.G, *w = (const float*)r.W;
        parallel(r.n, kGrain, [&](i64 b, i64 e, int p) { part[p] = long_dot(G + b, w + b, e - b); });
        double s = 0;
        for (i64 p = 0; p < parts_of(r.n, kGrain); p++) s += part[p];
        *(float*)r.lambda = (float)(s * *(const float*)r.inv_sigma);
    }
}

template <class T>
void spectral_norm_grad(const SpectralNormGradArgs& args) {
    for (i64 k = 0; k < args.n; k++) {
        const SpectralNormGradRow& r = args.rows[k];
        float* dW = (float*)r.dW;
        parallel(r.gradient.n, kGrain, [&](i64 b, i64 e, int) {
            each_gradient(r.gradient, b, e,
                          [&](i64 i, i64 n, vf g) { n == W ? store(dW + i, g) : store_n(dW + i, g, n); });
        });
    }
}

CG_INSTANTIATE_F32(spectral_norm, SpectralNormArgs)
CG_INSTANTIATE_F32(spectral_norm_lambda, SpectralNormLambdaArgs)
CG_INSTANTIATE_F32(spectral_norm_grad, SpectralNormGradArgs)

}  // namespace CG_NS
}  // namespace cg
