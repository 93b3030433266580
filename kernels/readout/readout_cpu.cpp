// SPDX-License-Identifier: Apache-2.0
// Vertices are split over the threads. y and dY have vertices innermost: neighbouring vertices share their cache lines.
// Memory-bound by t and dt. Versions: only this one, not measured on a quiet machine.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

template <class T>
void readout(const ReadoutArgs& g) {
    const i64 B = g.B, K = g.K, V = g.V;
    parallel(V, 16384 / (B * K) + 1, [&](i64 first, i64 last, int) {
        for (i64 v = first; v < last; v++) {
            const T* w = (const T*)g.w + v * K;
            for (i64 b = 0; b < B; b++) {
                const T* t = (const T*)g.t + (v * B + b) * K;
                vf s{};
                i64 k = 0;
                for (; k + W <= K; k += W) s = fma(load(t + k), load(w + k), s);
                if (k < K) s = fma(load_n(t + k, K - k), load_n(w + k, K - k), s);
                ((T*)g.y)[b * V + v] = from_float<T>(hsum(s) + ((const float*)g.bias)[v]);
            }
        }
    });
}

template <class T>
void readout_grad(const ReadoutGradArgs& g) {
    const i64 B = g.B, K = g.K, V = g.V;
    const T* dY = (const T*)g.dY;
    parallel(V, 16384 / (B * K) + 1, [&](i64 first, i64 last, int) {
        for (i64 v = first; v < last; v++) {
            const T *w = (const T*)g.w + v * K, *t = (const T*)g.t + v * B * K;
            T* dt = (T*)g.dt + v * B * K;
            float* dw = (float*)g.dw + v * K;
            float sum = 0;
            for (i64 b = 0; b < B; b++) sum += to_float(dY[b * V + v]);
            ((float*)g.dbias)[v] = sum;
            for (i64 k = 0; k < K; k += W) {
                const i64 n = K - k < W ? K - k : W;
                const bool full = n == W;
                const vf vw = full ? load(w + k) : load_n(w + k, n);
                vf s{};
                for (i64 b = 0; b < B; b++) {
                    const vf d = splat(to_float(dY[b * V + v]));
                    if (full) {
                        s = fma(d, load(t + b * K + k), s);
                        store(dt + b * K + k, d * vw);
                    } else {
                        s = fma(d, load_n(t + b * K + k, n), s);
                        store_n(dt + b * K + k, d * vw, n);
                    }
                }
                if (full) store(dw + k, s);
                else store_n(dw + k, s, n);
            }
        }
    });
}

CG_INSTANTIATE(readout, ReadoutArgs)
CG_INSTANTIATE(readout_grad, ReadoutGradArgs)

}  // namespace CG_NS
}  // namespace cg
