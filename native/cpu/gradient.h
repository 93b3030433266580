// How the CPU kernels read a gradient (cg/gradient.h).
#pragma once

#include "cg/gradient.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

/// Calls f(i, n, x) for all elements [begin, end) of a gradient in order: x holds the n <= W from i on, the rest zero. No vector
/// crosses the end of a row, so that lambda u_i is one number for it.
template <class F>
inline void each_gradient(const Gradient& r, i64 begin, i64 end, F&& f) {
    const float *g = (const float*)r.g, *u = (const float*)r.u, *v = (const float*)r.v;
    const float lambda = v ? *(const float*)r.lambda : 0.f;
    const vf scale = splat(v ? *(const float*)r.inv_sigma : 1.f);
    for (i64 i = begin; i < end;) {
        const i64 row = i / r.N, last = (row + 1) * r.N, stop = end < last ? end : last, j = i - row * r.N;
        if (v) {
            const vf c = splat(-lambda * u[row]);
            const float* y = v + j - i;
            for (; i + W <= stop; i += W) f(i, (i64)W, fma(c, load(y + i), load(g + i)) * scale);
            if (i < stop) f(i, stop - i, fma(c, load_n(y + i, stop - i), load_n(g + i, stop - i)) * scale);
        } else {
            for (; i + W <= stop; i += W) f(i, (i64)W, load(g + i));
            if (i < stop) f(i, stop - i, load_n(g + i, stop - i));
        }
        i = stop;
    }
}

}  // namespace CG_NS
}  // namespace cg
