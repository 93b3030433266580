// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

namespace {

/// x rounded to the format; the reference stores FP8 as double.
double rounded(Fp8 f, double x) {
    const double most = std::ldexp(1.75, fp8::largest_exponent(f));
    if (std::isnan(x) || x == 0) return x;
    if (std::fabs(x) >= most) return std::copysign(most, x);
    const int e = std::max(std::ilogb(x), 1 - fp8::bias(f));
    const double ulp = std::ldexp(1, e - fp8::mantissa(f));
    return std::nearbyint(x / ulp) * ulp;
}

}  // namespace

void quantize(const QuantizeArgs& g) {
    const double *x = (const double*)g.x, scale = ((const double*)g.state)[1];
    double *y = (double*)g.y, *t = (double*)g.t, *maxima = (double*)g.maxima, *sums = (double*)g.sums;
    const i64 rows = (g.R + fp8::kTile - 1) / fp8::kTile, columns = (g.C + fp8::kTile - 1) / fp8::kTile;
    std::fill(maxima, maxima + rows * columns, 0.0);
    if (sums) std::fill(sums, sums + rows * g.C, 0.0);
    for (i64 r = 0; r < g.R; r++)
        for (i64 c = 0; c < g.C; c++) {
            const double v = x[r * g.C + c];
            y[r * g.C + c] = t[c * g.R + r] = rounded(g.format, v * scale);
            double& m = maxima[r / fp8::kTile * columns + c / fp8::kTile];
            if (!(std::fabs(v) <= m)) m = std::fabs(v);
            if (sums) sums[r / fp8::kTile * g.C + c] += v;
        }
}

void fp8_scales(const Fp8ScalesArgs& g) {
    for (const Fp8ScalesRow* r = g.rows; r < g.rows + g.n; r++) {
        double *state = (double*)r->state, *history = state + 2, largest = 0;
        for (i64 i = 0; i < r->n; i++)
            if (!(((const double*)r->maxima)[i] <= largest)) largest = ((const double*)r->maxima)[i];
        if (!std::isfinite(largest)) continue;
        std::rotate(history, history + 1, history + fp8::kHistory);
        history[fp8::kHistory - 1] = largest;
        largest = *std::max_element(history, history + fp8::kHistory);
        if (largest == 0) continue;
        int e = 0;
        const double fraction = 2 * std::frexp(largest, &e);  // largest = fraction * 2^(e - 1)
        e = fp8::largest_exponent(r->format) - (e - 1) - (fraction > 1.75);
        e = std::clamp(e, -fp8::kLargestScale, fp8::kLargestScale);
        state[0] = std::ldexp(1, -e);
        state[1] = std::ldexp(1, e);
    }
}

}  // namespace cg::ref
