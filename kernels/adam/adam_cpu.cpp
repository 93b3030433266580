// SPDX-License-Identifier: Apache-2.0
// Each tensor is split over the threads; the calling thread computes small ones. Memory-bound: seven floats an element.
// Versions: 8 million parameters 2.6 ms on 2 Zen 5 cores, 86 GB/s, the combined rate of a big cache and memory
// (bench/results/2026-11-24-cpu-kernels-jmh.md); within a ViT-B step 0.75 of the floor by measured bandwidth.
// Update of two spectrally normalised weights (lambda, norm and step), processor time of one Zen 4 core, medians of
// three alternating runs, with dW stored / corrected while reading (floor by bytes 48 / 40 = 1.20 times less):
//   39548 x 512 and 512 x 256    25.7 / 19.4 ms, 42 GB/s
//   512 x 39548 and 256 x 512    26.8 / 23.0 ms; each row reads its v from L2. 23.4 ms when the vectors of a row begin
//                                anywhere instead of at multiples of their width
#include "cg/threads.h"
#include "gradient.h"
#include "kernels_all.h"

namespace cg {
namespace CG_NS {

namespace {
constexpr i64 kGrain = 32768;
}

template <class T>
void adam(const AdamArgs& a) {
    const double base = *(const float*)a.lr, t = *(const float*)a.t, norm = *(const float*)a.norm;
    if (!(norm <= 3.4e38)) return;
    double c = 1, d = (1 + t) / (10 + t);
    if (a.clip > 0 && a.clip < norm + 1e-6) c = a.clip / (norm + 1e-6);
    if (a.ema_decay < d) d = a.ema_decay;
    const vf vc = splat((float)c), b1 = splat((float)a.beta1), b2 = splat((float)a.beta2);
    const vf c1 = splat((float)(1 - a.beta1)), c2 = splat((float)(1 - a.beta2)), eps = splat((float)a.eps);
    const double correction = 1 - std::pow(a.beta1, t);
    const vf root = splat((float)(1 / std::sqrt(1 - std::pow(a.beta2, t))));
    const vf ema_keep = splat((float)d), ema_add = splat((float)(1 - d));
    for (i64 k = 0; k < a.n; k++) {
        const AdamRow& r = a.rows[k];
        float *p = (float*)r.p, *m = (float*)r.m, *v = (float*)r.v, *ema = (float*)r.ema;
        bf16* p16 = (bf16*)r.p16;
        const double lr = base * r.rate;
        const vf rate = splat((float)(lr / correction));
        const vf shrink = splat(a.decoupled ? (float)(1 - lr * r.decay) : 1.f);
        const vf l2 = splat(a.decoupled ? 0.f : (float)r.decay);
        parallel(r.gradient.n, kGrain, [&](i64 b, i64 e, int) {
            each_gradient(r.gradient, b, e, [&](i64 i, i64 n, vf g) {
                const bool full = n == W;
                auto get = [&](const float* x) { return full ? load(x + i) : load_n(x + i, n); };
                auto put = [&](float* x, vf y) { full ? store(x + i, y) : store_n(x + i, y, n); };
                vf q = get(p) * shrink, x = fma(l2, q, vc * g);
                vf mi = fma(b1, get(m), c1 * x), vi_ = fma(b2, get(v), c2 * x * x);
                q -= rate * mi / fma(vsqrt(vi_), root, eps);
                put(m, mi);
                put(v, vi_);
                put(p, q);
                if (p16) full ? store(p16 + i, q) : store_n(p16 + i, q, n);
                if (ema) put(ema, fma(ema_keep, get(ema), ema_add * q));
            });
        });
    }
}

i64 grad_norm_scratch(const GradNormArgs&) { return (threads() * 8 + 63) / 64 * 64; }

template <class T>
void grad_norm(const GradNormArgs& a) {
    double* part = (double*)a.scratch;
    double s = 0;
    for (i64 k = 0; k < a.n; k++) {
        const i64 n = a.rows[k].n, parts = parts_of(n, kGrain);
        parallel(n, kGrain, [&](i64 b, i64 e, int p) {
            double x = 0;
            for (i64 i = b; i < e; i += 4096) {
                vf y{};
                each_gradient(a.rows[k], i, e - i < 4096 ? e : i + 4096, [&](i64, i64, vf g) { y = fma(g, g, y); });
                x += hsum(y);
            }
            part[p] = x;
        });
        for (i64 p = 0; p < parts; p++) s += part[p];
    }
    *(float*)a.norm = (float)std::sqrt(s);
}

CG_INSTANTIATE_F32(adam, AdamArgs)
CG_INSTANTIATE_F32(grad_norm, GradNormArgs)

}  // namespace CG_NS
}  // namespace cg
