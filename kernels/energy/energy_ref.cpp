// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void energy(const EnergyArgs& g) {
    for (i64 r = 0; r < g.rows; r++) {
        const double* x = (const double*)g.x + r * 2 * g.C;
        for (i64 c = 0; c < g.C; c++) {
            const double a = x[c], b = x[g.C + c], e = std::sqrt(a * a + b * b + g.eps);
            ((double*)g.y)[r * g.C + c] = g.sigma > 0 ? std::log1p(e / g.sigma) : e;
        }
    }
}

void energy_grad(const EnergyGradArgs& g) {
    for (i64 r = 0; r < g.rows; r++) {
        const double *x = (const double*)g.x + r * 2 * g.C, *dY = (const double*)g.dY + r * g.C;
        double* dX = (double*)g.dX + r * 2 * g.C;
        for (i64 c = 0; c < g.C; c++) {
            const double a = x[c], b = x[g.C + c], e = std::sqrt(a * a + b * b + g.eps);
            const double d = dY[c] / (g.sigma > 0 ? e * (g.sigma + e) : e);
            dX[c] = d * a;
            dX[g.C + c] = d * b;
        }
    }
}

}  // namespace cg::ref
