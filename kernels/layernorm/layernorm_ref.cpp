// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void layernorm(const LayerNormArgs& g) {
    const double *x = (const double*)g.x, *r = (const double*)g.r, *ga = (const double*)g.gamma,
                 *be = (const double*)g.beta;
    for (i64 i = 0; i < g.rows; i++) {
        double m = 0, v = 0;
        auto s = [&](i64 c) { return x[i * g.C + c] + (r ? r[i * g.C + c] : 0); };
        for (i64 c = 0; c < g.C; c++) m += s(c);
        m /= g.C;
        for (i64 c = 0; c < g.C; c++) v += (s(c) - m) * (s(c) - m);
        double rstd = 1 / std::sqrt(v / g.C + g.eps);
        ((double*)g.mean)[i] = m;
        ((double*)g.rstd)[i] = rstd;
        for (i64 c = 0; c < g.C; c++) {
            double sc = s(c);
            ((double*)g.y)[i * g.C + c] = (sc - m) * rstd * ga[c] + be[c];
            if (g.sum) ((double*)g.sum)[i * g.C + c] = sc;
        }
    }
}

void layernorm_grad(const LayerNormGradArgs& g) {
    const double *dY = (const double*)g.dY, *dSum = (const double*)g.dSum, *s = (const double*)g.s,
                 *ga = (const double*)g.gamma, *mean = (const double*)g.mean, *rstd = (const double*)g.rstd;
    double *dS = (double*)g.dS, *dG = (double*)g.dGamma, *dB = (double*)g.dBeta;
    for (i64 c = 0; c < g.C; c++) dG[c] = dB[c] = 0;
    for (i64 i = 0; i < g.rows; i++) {
        double a = 0, b = 0;
        for (i64 c = 0; c < g.C; c++) {
            i64 k = i * g.C + c;
            double h = (s[k] - mean[i]) * rstd[i];
            a += dY[k] * ga[c];
            b += dY[k] * ga[c] * h;
            dG[c] += dY[k] * h;
            dB[c] += dY[k];
        }
        for (i64 c = 0; c < g.C; c++) {
            i64 k = i * g.C + c;
            double h = (s[k] - mean[i]) * rstd[i];
            double d = rstd[i] * (dY[k] * ga[c] - a / g.C - h * b / g.C);
            dS[k] = d + (dSum ? dSum[k] : 0);
        }
    }
}

}  // namespace cg::ref
