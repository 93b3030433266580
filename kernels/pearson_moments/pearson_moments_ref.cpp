// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void pearson_moments(const PearsonMomentsArgs& g) {
    const double *p = (const double*)g.pred, *t = (const double*)g.target;
    const int32_t* rows = (const int32_t*)g.rows;
    const i64 n = rows[1], V = g.V;
    CG_CHECK(rows[0] >= 0 && n >= 0 && n <= g.B, "rows = {N, n}: N must not be negative, n must be in 0..B");
    for (i64 v = 0; v < V; v++) {
        double* s = (double*)g.state + v;
        if (rows[0] == 0) s[0] = s[V] = s[2 * V] = s[3 * V] = s[4 * V] = 0;
        if (n == 0) continue;
        double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
        for (i64 i = 0; i < n; i++) {
            mx += (p[i * V + v] - p[v]) / n;
            my += (t[i * V + v] - t[v]) / n;
        }
        for (i64 i = 0; i < n; i++) {
            const double x = p[i * V + v] - p[v] - mx, y = t[i * V + v] - t[v] - my;
            xx += x * x;
            yy += y * y;
            xy += x * y;
        }
        const double share = n / ((double)rows[0] + n), d = p[v] + mx - s[0], e = t[v] + my - s[V];
        s[0] += d * share;
        s[V] += e * share;
        s[2 * V] += xx + d * d * rows[0] * share;
        s[3 * V] += yy + e * e * rows[0] * share;
        s[4 * V] += xy + d * e * rows[0] * share;
    }
}

}  // namespace cg::ref
