// SPDX-License-Identifier: Apache-2.0
// A row at a time, a vector of pairs at a time.
// Versions, 131,072 rows of 8 pairs on 2 AMD EPYC cores with AVX2, measured alternately, forward / backward:
//   1. divided by the mean of a row, computed first   1.3 / 2.1 ms f32, 1.8 / 3.2 bf16
//   2. the logarithm (chosen)                         1.0 / 1.1 ms f32, 1.6 / 1.3 bf16
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr i64 kGrain = 8192;

/// Pairs of responses of the even and the odd filters.
struct Pairs {
    vf a, b;

    /// The pairs of row x from c on; 0 beyond the last of the C pairs.
    template <class T>
    Pairs(const T* x, i64 C, i64 c) : a(load_upto(x + c, C - c)), b(load_upto(x + C + c, C - c)) {}

    vf energy(vf eps) const { return vsqrt(fma(a, a, fma(b, b, eps))); }
};

}  // namespace

template <class T>
void energy(const EnergyArgs& g) {
    const i64 C = g.C;
    const bool compress = g.sigma > 0;
    const vf eps = splat((float)g.eps), scale = splat(compress ? (float)(1 / g.sigma) : 1.f);
    parallel(g.rows, kGrain / C + 1, [&](i64 first, i64 last, int) {
        for (i64 r = first; r < last; r++) {
            const T* x = (const T*)g.x + r * 2 * C;
            T* y = (T*)g.y + r * C;
            for (i64 c = 0; c < C; c += W) {
                const vf e = Pairs(x, C, c).energy(eps);
                store_upto(y + c, compress ? vlog1p(scale * e) : e, C - c);
            }
        }
    });
}

template <class T>
void energy_grad(const EnergyGradArgs& g) {
    const i64 C = g.C;
    const bool compress = g.sigma > 0;
    const vf eps = splat((float)g.eps), sigma = splat((float)g.sigma);
    parallel(g.rows, kGrain / C + 1, [&](i64 first, i64 last, int) {
        for (i64 r = first; r < last; r++) {
            const T *x = (const T*)g.x + r * 2 * C, *dY = (const T*)g.dY + r * C;
            T* dX = (T*)g.dX + r * 2 * C;
            for (i64 c = 0; c < C; c += W) {
                const Pairs p(x, C, c);
                const vf e = p.energy(eps);
                const vf d = load_upto(dY + c, C - c) / (compress ? e * (sigma + e) : e);
                store_upto(dX + c, d * p.a, C - c);
                store_upto(dX + C + c, d * p.b, C - c);
            }
        }
    });
}

CG_INSTANTIATE(energy, EnergyArgs)
CG_INSTANTIATE(energy_grad, EnergyGradArgs)

}  // namespace CG_NS
}  // namespace cg
