// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void readout(const ReadoutArgs& g) {
    const double *t = (const double*)g.t, *w = (const double*)g.w;
    for (i64 v = 0; v < g.V; v++)
        for (i64 b = 0; b < g.B; b++) {
            double s = ((const double*)g.bias)[v];
            for (i64 k = 0; k < g.K; k++) s += t[(v * g.B + b) * g.K + k] * w[v * g.K + k];
            ((double*)g.y)[b * g.V + v] = s;
        }
}

void readout_grad(const ReadoutGradArgs& g) {
    const double *dY = (const double*)g.dY, *t = (const double*)g.t, *w = (const double*)g.w;
    double *dt = (double*)g.dt, *dw = (double*)g.dw, *db = (double*)g.dbias;
    for (i64 v = 0; v < g.V; v++) {
        db[v] = 0;
        for (i64 k = 0; k < g.K; k++) dw[v * g.K + k] = 0;
        for (i64 b = 0; b < g.B; b++) {
            const double d = dY[b * g.V + v];
            db[v] += d;
            for (i64 k = 0; k < g.K; k++) {
                dt[(v * g.B + b) * g.K + k] = d * w[v * g.K + k];
                dw[v * g.K + k] += d * t[(v * g.B + b) * g.K + k];
            }
        }
    }
}

}  // namespace cg::ref
