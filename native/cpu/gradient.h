// SPDX-License-Identifier: Apache-2.0
// Reads a gradient in CPU kernels (cg/gradient.h).
#pragma once

#include "cg/gradient.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

/// Calls f(i, n, x) for the elements [begin, end) of a gradient in order; x holds the n <= W elements from i on, the
/// rest is zero. No vector crosses the end of a row, so that lambda u_i is one number per vector. Whole vectors begin
/// at multiples of W, so that in every tensor of the update except v they lie in one cache line.
template <class F>
inline void each_gradient(const Gradient& r, i64 begin, i64 end, F&& f) {
    const float *g = (const float*)r.g, *u = (const float*)r.u, *v = (const float*)r.v;
    const float lambda = v ? *(const float*)r.lambda : 0.f;
    const vf scale = splat(v ? *(const float*)r.inv_sigma : 1.f);
    for (i64 i = begin; i < end;) {
        const i64 row = i / r.N, last = (row + 1) * r.N, stop = end < last ? end : last;
        const vf c = splat(v ? -lambda * u[row] : 0.f);
        const float* y = v - row * r.N;
        auto step = [&](i64 n) {
            const bool full = n == W;
            vf x = full ? load(g + i) : load_n(g + i, n);
            if (v) x = fma(c, full ? load(y + i) : load_n(y + i, n), x) * scale;
            f(i, n, x);
            i += n;
        };
        const i64 head = W - i % W;
        if (head < W) step(head < stop - i ? head : stop - i);
        while (i + W <= stop) step(W);
        if (i < stop) step(stop - i);
    }
}

}  // namespace CG_NS
}  // namespace cg
