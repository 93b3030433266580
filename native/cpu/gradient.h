// SPDX-License-Identifier: Apache-2.0
// How the CPU kernels read a gradient (cg/gradient.h).
#pragma once

#include "cg/gradient.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

/// Calls f(i, n, x) for all elements [begin, end) of a gradient in order: x holds the n <= W from i on, the rest zero.
/// No vector crosses the end of a row, so that lambda u_i is one number for it; whole vectors begin at multiples of W,
/// so that those of all the update's tensors but v lie on one cache line each.
template <class F>
inline void each_gradient(const Gradient& r, i64 begin, i64 end, F&& f) {
    const float *g = (const float*)r.g, *u = (const float*)r.u, *v = (const float*)r.v;
    const float lambda = v ? *(const float*)r.lambda : 0.f;
    const vf scale = splat(v ? *(const float*)r.inv_sigma : 1.f);
    for (i64 i = begin; i < end;) {
        const i64 row = i / r.N, last = (row + 1) * r.N, stop = end < last ? end : last;
        const vf c = splat(v ? -lambda * u[row] : 0.f);
        const float* y = v - row * r.N;
        auto some = [&](i64 n) {
            const bool full = n == W;
            vf x = full ? load(g + i) : load_n(g + i, n);
            if (v) x = fma(c, full ? load(y + i) : load_n(y + i, n), x) * scale;
            f(i, n, x);
            i += n;
        };
        const i64 head = W - i % W;
        if (head < W) some(head < stop - i ? head : stop - i);
        while (i + W <= stop) some(W);
        if (i < stop) some(stop - i);
    }
}

}  // namespace CG_NS
}  // namespace cg
