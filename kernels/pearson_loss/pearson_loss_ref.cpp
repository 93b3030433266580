// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void pearson_loss(const PearsonLossArgs& g) {
    const double *p = (const double*)g.pred, *t = (const double*)g.target, *w = (const double*)g.w;
    double* dP = (double*)g.dPred;
    double pixel = 0, corr = 0, n = (double)g.B * g.V;
    for (i64 i = 0; i < g.B * g.V; i++) {
        double d = p[i] - t[i], a = std::fabs(d), l = 0, dl = 0;
        if (g.kind == PixelKind::L1) l = a, dl = d > 0 ? 1 : d < 0 ? -1 : 0;
        else if (g.kind == PixelKind::MSE) l = d * d, dl = 2 * d;
        else if (a < 1) l = 0.5 * d * d, dl = d;
        else l = a - 0.5, dl = d > 0 ? 1 : -1;
        pixel += l / n;
        dP[i] = w[0] * dl / n;
    }
    i64 groups = g.axis == PearsonAxis::IMAGES ? g.V : g.B, len = g.axis == PearsonAxis::IMAGES ? g.B : g.V;
    i64 gs = g.axis == PearsonAxis::IMAGES ? 1 : g.V, es = g.axis == PearsonAxis::IMAGES ? g.V : 1;
    for (i64 k = 0; k < groups; k++) {
        double mp = 0, mt = 0, a = 0, b = 0, c = 0;
        for (i64 i = 0; i < len; i++) {
            mp += p[k * gs + i * es] / len;
            mt += t[k * gs + i * es] / len;
        }
        for (i64 i = 0; i < len; i++) {
            double x = p[k * gs + i * es] - mp, y = t[k * gs + i * es] - mt;
            a += x * x;
            b += y * y;
            c += x * y;
        }
        i64 all = len;
        if (g.sums) {
            const double* s = (const double*)g.sums + k;
            const double N = (double)(all = g.images);
            mp = s[0] / N, mt = s[g.V] / N;
            a = s[2 * g.V] - N * mp * mp, b = s[3 * g.V] - N * mt * mt, c = s[4 * g.V] - N * mp * mt;
        }
        if (b <= pearson_dust(g.axis, all) * mt * mt) b = 0;
        const double e = g.eps * std::fmin(b / (double)all, 1);
        a += e, b += e;
        double D = std::sqrt(a * b), r = D > 0 ? c / D : 0;
        corr += (1 - r) / groups;
        if (D > 0)
            for (i64 i = 0; i < len; i++) {
                double x = p[k * gs + i * es] - mp, y = t[k * gs + i * es] - mt;
                dP[k * gs + i * es] -= w[1] / groups * ((double)all / len) * (y / D - r * x / a);
            }
    }
    *(double*)g.pixel = pixel;
    *(double*)g.corr = corr;
    *(double*)g.total = w[0] * pixel + w[1] * corr;
}

void pearson_sums(const PearsonSumsArgs& g) {
    const double *p = (const double*)g.pred, *t = (const double*)g.target;
    double* s = (double*)g.sums;
    for (i64 v = 0; v < g.V; v++) {
        double sums[5] = {};
        for (i64 i = 0; i < g.B; i++) {
            const double x = p[i * g.V + v], y = t[i * g.V + v];
            sums[0] += x, sums[1] += y, sums[2] += x * x, sums[3] += y * y, sums[4] += x * y;
        }
        for (int k = 0; k < 5; k++) s[k * g.V + v] = sums[k];
    }
}

}  // namespace cg::ref
