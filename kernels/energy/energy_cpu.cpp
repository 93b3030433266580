// SPDX-License-Identifier: Apache-2.0
// A row at a time, twice: the sum over its pairs, then the results, for which the energies are computed again.
// Memory-bound. Versions: only this one; its rate is not measured.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr i64 kGrain = 8192;

template <class T>
inline vf part(const T* p, i64 n) {
    return n >= W ? load(p) : load_n(p, n);
}

template <class T>
inline void put(T* p, vf v, i64 n) {
    if (n >= W) store(p, v);
    else store_n(p, v, n);
}

/// Energies of the pairs from c on; 0 beyond the last of n pairs, so that they add nothing to a sum.
template <class T>
inline vf energies(const T* x, i64 C, i64 c, vf eps) {
    const vf a = part(x + c, C - c), b = part(x + C + c, C - c);
    vf e = vsqrt(fma(a, a, fma(b, b, eps)));
    for (i64 i = C - c; i < W; i++) e[i] = 0;
    return e;
}

}  // namespace

template <class T>
void energy(const EnergyArgs& g) {
    const i64 C = g.C;
    const vf eps = splat((float)g.eps);
    parallel(g.rows, kGrain / C + 1, [&](i64 first, i64 last, int) {
        for (i64 r = first; r < last; r++) {
            const T* x = (const T*)g.x + r * 2 * C;
            T* y = (T*)g.y + r * C;
            vf total{};
            if (g.sigma > 0)
                for (i64 c = 0; c < C; c += W) total += energies(x, C, c, eps);
            const float s = g.sigma > 0 ? (float)g.sigma + hsum(total) / (float)C : 1.f;
            const vf scale = splat(1.f / s);
            for (i64 c = 0; c < C; c += W) put(y + c, scale * energies(x, C, c, eps), C - c);
        }
    });
}

template <class T>
void energy_grad(const EnergyGradArgs& g) {
    const i64 C = g.C;
    const vf eps = splat((float)g.eps);
    parallel(g.rows, kGrain / C + 1, [&](i64 first, i64 last, int) {
        for (i64 r = first; r < last; r++) {
            const T *x = (const T*)g.x + r * 2 * C, *dY = (const T*)g.dY + r * C;
            T* dX = (T*)g.dX + r * 2 * C;
            vf total{}, product{};
            if (g.sigma > 0)
                for (i64 c = 0; c < C; c += W) {
                    const vf e = energies(x, C, c, eps);
                    total += e;
                    product = fma(part(dY + c, C - c), e, product);
                }
            const float s = g.sigma > 0 ? (float)g.sigma + hsum(total) / (float)C : 1.f;
            const vf scale = splat(1.f / s), common = splat(hsum(product) / ((float)C * s * s));
            for (i64 c = 0; c < C; c += W) {
                const vf e = energies(x, C, c, eps);
                const vf d = (part(dY + c, C - c) * scale - common) / e;  // lanes beyond the last pair are not stored
                put(dX + c, d * part(x + c, C - c), C - c);
                put(dX + C + c, d * part(x + C + c, C - c), C - c);
            }
        }
    });
}

CG_INSTANTIATE(energy, EnergyArgs)
CG_INSTANTIATE(energy_grad, EnergyGradArgs)

}  // namespace CG_NS
}  // namespace cg
