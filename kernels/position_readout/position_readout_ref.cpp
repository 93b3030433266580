// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

namespace {
struct Axis {
    i64 i[2];
    double q[2], dq;  // weights, and the derivative of q[1] by the position
};

Axis axis(double at, i64 n, i64 fixed) {
    Axis a;
    const double p = ((at + 1) * (double)n - 1) / 2, c = std::fmin(std::fmax(p, 0), (double)(n - 1));
    a.i[0] = (i64)(fixed ? c + 0.5 : c);
    a.i[1] = a.i[0] + 1 < n ? a.i[0] + 1 : a.i[0];
    a.q[1] = p != p ? p : fixed ? 0 : c - (double)a.i[0];
    a.q[0] = 1 - a.q[1];
    a.dq = !fixed && p > 0 && p < (double)(n - 1) ? (double)n / 2 : 0;
    return a;
}
}  // namespace

void position_readout(const PositionReadoutArgs& g) {
    const double *x = (const double*)g.x, *p = (const double*)g.position, *w = (const double*)g.w;
    for (i64 v = 0; v < g.V; v++) {
        const Axis ax = axis(p[2 * v], g.W, g.fixed), ay = axis(p[2 * v + 1], g.H, g.fixed);
        for (i64 b = 0; b < g.B; b++) {
            double s = ((const double*)g.bias)[v];
            for (i64 l = 0; l < g.L; l++)
                for (int k = 0; k < 4; k++) {
                    const double* at = x + (((b * g.L + l) * g.H + ay.i[k / 2]) * g.W + ax.i[k % 2]) * g.C;
                    for (i64 c = 0; c < g.C; c++) s += ax.q[k % 2] * ay.q[k / 2] * at[c] * w[(v * g.L + l) * g.C + c];
                }
            ((double*)g.y)[b * g.V + v] = s;
        }
    }
}

void position_readout_grad(const PositionReadoutGradArgs& g) {
    const double *dY = (const double*)g.dY, *x = (const double*)g.x, *p = (const double*)g.position,
                 *w = (const double*)g.w;
    double *dX = (double*)g.dX, *dw = (double*)g.dw, *dP = (double*)g.dPosition, *db = (double*)g.dbias;
    for (i64 i = 0; dX && i < g.B * g.L * g.H * g.W * g.C; i++) dX[i] = 0;
    for (i64 i = 0; dw && i < g.V * g.L * g.C; i++) dw[i] = 0;
    for (i64 i = 0; dP && i < 2 * g.V; i++) dP[i] = 0;
    for (i64 i = 0; db && i < g.V; i++) db[i] = 0;
    for (i64 v = 0; v < g.V; v++) {
        const Axis ax = axis(p[2 * v], g.W, g.fixed), ay = axis(p[2 * v + 1], g.H, g.fixed);
        for (i64 b = 0; b < g.B; b++) {
            const double d = dY[b * g.V + v];
            if (db) db[v] += d;
            for (i64 l = 0; l < g.L; l++)
                for (int k = 0; k < 4; k++) {
                    const i64 at = (((b * g.L + l) * g.H + ay.i[k / 2]) * g.W + ax.i[k % 2]) * g.C;
                    const double q = ax.q[k % 2] * ay.q[k / 2];
                    for (i64 c = 0; c < g.C; c++) {
                        const i64 j = (v * g.L + l) * g.C + c;
                        if (dX) dX[at + c] += q * d * w[j];
                        if (dw) dw[j] += q * d * x[at + c];
                        if (!dP) continue;
                        dP[2 * v] += (k % 2 ? 1 : -1) * ax.dq * ay.q[k / 2] * d * w[j] * x[at + c];
                        dP[2 * v + 1] += (k / 2 ? 1 : -1) * ay.dq * ax.q[k % 2] * d * w[j] * x[at + c];
                    }
                }
        }
    }
}

}  // namespace cg::ref
