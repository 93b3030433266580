// SPDX-License-Identifier: Apache-2.0
// Sums one vector of columns of one b at a time over all n. Memory-bound.
// Versions: only this one; 8 x 196 x 768 forward 0.05 ms in f32 on 2 Zen 5 cores.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

template <class T>
void mean_middle(const MeanMiddleArgs& g) {
    const T* x = (const T*)g.x;
    T* y = (T*)g.y;
    const i64 blocks = (g.C + W - 1) / W;
    const vf f = splat(1.f / (float)g.N);
    parallel(g.B * blocks, 16384 / (g.N * W) + 1, [&](i64 first, i64 last, int) {
        for (i64 k = first; k < last; k++) {
            const i64 b = k / blocks, c = k % blocks * W, n = g.C - c < W ? g.C - c : W;
            const T* xs = x + b * g.N * g.C + c;
            vf s{};
            for (i64 i = 0; i < g.N; i++) s += n == W ? load(xs + i * g.C) : load_n(xs + i * g.C, n);
            if (n == W) store(y + b * g.C + c, f * s);
            else store_n(y + b * g.C + c, f * s, n);
        }
    });
}

template <class T>
void mean_middle_grad(const MeanMiddleGradArgs& g) {
    const T* dY = (const T*)g.dY;
    T* dX = (T*)g.dX;
    const vf f = splat(1.f / (float)g.N);
    parallel(g.B * g.N, 16384 / g.C + 1, [&](i64 first, i64 last, int) {
        for (i64 r = first; r < last; r++) {
            const T* s = dY + r / g.N * g.C;
            T* d = dX + r * g.C;
            for (i64 c = 0; c < g.C; c += W) {
                const i64 n = g.C - c;
                if (n >= W) store(d + c, f * load(s + c));
                else store_n(d + c, f * load_n(s + c, n), n);
            }
        }
    });
}

CG_INSTANTIATE(mean_middle, MeanMiddleArgs)
CG_INSTANTIATE(mean_middle_grad, MeanMiddleGradArgs)

}  // namespace CG_NS
}  // namespace cg
