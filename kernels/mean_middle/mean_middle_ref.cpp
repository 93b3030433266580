// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void mean_middle(const MeanMiddleArgs& g) {
    const double* x = (const double*)g.x;
    double* y = (double*)g.y;
    for (i64 b = 0; b < g.B; b++)
        for (i64 c = 0; c < g.C; c++) {
            double s = 0;
            for (i64 n = 0; n < g.N; n++) s += x[(b * g.N + n) * g.C + c];
            y[b * g.C + c] = s / g.N;
        }
}

void mean_middle_grad(const MeanMiddleGradArgs& g) {
    for (i64 b = 0; b < g.B; b++)
        for (i64 n = 0; n < g.N; n++)
            for (i64 c = 0; c < g.C; c++)
                ((double*)g.dX)[(b * g.N + n) * g.C + c] = ((const double*)g.dY)[b * g.C + c] / g.N;
}

}  // namespace cg::ref
