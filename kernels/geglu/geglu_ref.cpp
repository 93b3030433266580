// SPDX-License-Identifier: Apache-2.0
#include "activations_ref.h"
#include "kernels_all.h"

namespace cg::ref {

void geglu(const GegluArgs& g) {
    for (i64 r = 0; r < g.rows; r++) {
        const double* x = (const double*)g.x + r * 2 * g.C;
        for (i64 c = 0; c < g.C; c++)
            ((double*)g.y)[r * g.C + c] = x[c] * activation_value(ActivationKind::GELU, x[g.C + c], 0);
    }
}

void geglu_grad(const GegluGradArgs& g) {
    for (i64 r = 0; r < g.rows; r++) {
        const double *x = (const double*)g.x + r * 2 * g.C, *dY = (const double*)g.dY + r * g.C;
        double* dX = (double*)g.dX + r * 2 * g.C;
        for (i64 c = 0; c < g.C; c++) {
            const double u = x[c], gate = x[g.C + c];
            dX[c] = dY[c] * activation_value(ActivationKind::GELU, gate, 0);
            dX[g.C + c] = dY[c] * u * activation_slope(ActivationKind::GELU, gate, 0);
        }
    }
}

}  // namespace cg::ref
