// SPDX-License-Identifier: Apache-2.0
// Vertices are split over the threads. The softmax over a few layers is scalar. Memory-bound by w and dW.
// Versions: only this one, not measured on a quiet machine.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {
/// max_a: the largest logit; inv: 1 / sum of e^(a - max_a).
inline void softmax(const float* a, i64 L, float& max_a, float& inv) {
    max_a = a[0];
    for (i64 l = 1; l < L; l++) max_a = a[l] > max_a ? a[l] : max_a;
    float sum = 0;
    for (i64 l = 0; l < L; l++) sum += std::exp(a[l] - max_a);
    inv = 1.f / sum;
}
}  // namespace

template <class T>
void layer_choice(const LayerChoiceArgs& g) {
    const i64 L = g.L, C = g.C;
    parallel(g.V, 16384 / (L * C) + 1, [&](i64 b, i64 e, int) {
        for (i64 v = b; v < e; v++) {
            const float *a = (const float*)g.a + v * L, *f = (const float*)g.f + v * C;
            float max_a, inv;
            softmax(a, L, max_a, inv);
            for (i64 l = 0; l < L; l++) {
                T* w = (T*)g.w + (v * L + l) * C;
                const vf p = splat(std::exp(a[l] - max_a) * inv);
                i64 c = 0;
                for (; c + W <= C; c += W) store(w + c, p * load(f + c));
                if (c < C) store_n(w + c, p * load_n(f + c, C - c), C - c);
            }
        }
    });
}

template <class T>
void layer_choice_grad(const LayerChoiceGradArgs& g) {
    const i64 L = g.L, C = g.C;
    parallel(g.V, 16384 / (L * C) + 1, [&](i64 b, i64 e, int) {
        for (i64 v = b; v < e; v++) {
            const float *a = (const float*)g.a + v * L, *f = (const float*)g.f + v * C;
            float *da = (float*)g.da + v * L, *df = (float*)g.df + v * C;
            float max_a, inv, mean = 0;
            softmax(a, L, max_a, inv);
            for (i64 l = 0; l < L; l++) {
                const T* d = (const T*)g.dW + (v * L + l) * C;
                const float p = std::exp(a[l] - max_a) * inv;
                vf t{};
                for (i64 c = 0; c < C; c += W) {
                    const i64 n = C - c;
                    if (n >= W) {
                        const vf x = load(d + c);
                        t = fma(x, load(f + c), t);
                        store(df + c, l == 0 ? splat(p) * x : fma(splat(p), x, load(df + c)));
                    } else {
                        const vf x = load_n(d + c, n);
                        t = fma(x, load_n(f + c, n), t);
                        store_n(df + c, l == 0 ? splat(p) * x : fma(splat(p), x, load_n(df + c, n)), n);
                    }
                }
                da[l] = hsum(t);
                mean += p * da[l];
            }
            for (i64 l = 0; l < L; l++) da[l] = std::exp(a[l] - max_a) * inv * (da[l] - mean);
        }
    });
}

CG_INSTANTIATE(layer_choice, LayerChoiceArgs)
CG_INSTANTIATE(layer_choice_grad, LayerChoiceGradArgs)

}  // namespace CG_NS
}  // namespace cg
