// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "activations_ref.h"
#include "kernels_all.h"

namespace cg::ref {

void channel_norm(const ChannelNormArgs& g) {
    const double *x = (const double*)g.x, *shift = (const double*)g.shift, *ga = (const double*)g.gamma,
                 *be = (const double*)g.beta;
    const i64 D = g.C / g.G;
    for (i64 n = 0; n < g.N; n++)
        for (i64 k = 0; k < g.G; k++) {
            auto at = [&](i64 s, i64 d) { return (n * g.S + s) * g.C + k * D + d; };
            auto u = [&](i64 s, i64 d) { return x[at(s, d)] + (shift ? shift[n * g.C + k * D + d] : 0); };
            double m = 0, v = 0;
            for (i64 s = 0; s < g.S; s++)
                for (i64 d = 0; d < D; d++) m += u(s, d);
            m /= (double)(g.S * D);
            for (i64 s = 0; s < g.S; s++)
                for (i64 d = 0; d < D; d++) v += (u(s, d) - m) * (u(s, d) - m);
            const double r = 1 / std::sqrt(v / (double)(g.S * D) + g.eps);
            ((double*)g.mean)[n * g.G + k] = m;
            ((double*)g.rstd)[n * g.G + k] = r;
            for (i64 s = 0; s < g.S; s++)
                for (i64 d = 0; d < D; d++) {
                    const double z = (u(s, d) - m) * r * ga[k * D + d] + be[k * D + d];
                    ((double*)g.y)[at(s, d)] = activation_value(g.kind, z, g.alpha);
                }
        }
}

void channel_norm_grad(const ChannelNormGradArgs& g) {
    const double *dY = (const double*)g.dY, *x = (const double*)g.x, *shift = (const double*)g.shift,
                 *ga = (const double*)g.gamma, *be = (const double*)g.beta;
    double *dX = (double*)g.dX, *dS = (double*)g.dShift, *dG = (double*)g.dGamma, *dB = (double*)g.dBeta;
    const i64 D = g.C / g.G;
    for (i64 c = 0; c < g.C; c++) dG[c] = dB[c] = 0;
    for (i64 i = 0; i < g.N * g.C && shift; i++) dS[i] = 0;
    for (i64 n = 0; n < g.N; n++)
        for (i64 k = 0; k < g.G; k++) {
            const double m = ((const double*)g.mean)[n * g.G + k], r = ((const double*)g.rstd)[n * g.G + k];
            double a = 0, b = 0;
            for (int pass = 0; pass < 2; pass++)
                for (i64 s = 0; s < g.S; s++)
                    for (i64 d = 0; d < D; d++) {
                        const i64 i = (n * g.S + s) * g.C + k * D + d, c = k * D + d;
                        const double h = (x[i] + (shift ? shift[n * g.C + c] : 0) - m) * r,
                                     dz = dY[i] * activation_slope(g.kind, h * ga[c] + be[c], g.alpha), dh = dz * ga[c];
                        if (pass == 0) {
                            a += dh / (double)(g.S * D);
                            b += dh * h / (double)(g.S * D);
                            dG[c] += dz * h;
                            dB[c] += dz;
                        } else {
                            dX[i] = r * (dh - a - h * b);
                            if (shift) dS[n * g.C + c] += dX[i];
                        }
                    }
        }
}

void channel_affine(const ChannelAffineArgs& g) {
    const double *x = (const double*)g.x, *ga = (const double*)g.gamma, *be = (const double*)g.beta;
    for (i64 i = 0; i < g.rows * g.C; i++) {
        const i64 c = i % g.C;
        const double z =
            (x[i] - ((const double*)g.mean)[c]) / std::sqrt(((const double*)g.var)[c] + g.eps) * ga[c] + be[c];
        ((double*)g.y)[i] = z > 0 ? z : g.slope * z;
    }
}

void channel_sums(const ChannelSumsArgs& g) {
    const double* x = (const double*)g.x;
    double* s = (double*)g.sums;
    for (i64 c = 0; c < 2 * g.C; c++) s[c] = 0;
    for (i64 i = 0; i < g.S * g.C; i++) {
        s[i % g.C] += x[i];
        s[g.C + i % g.C] += x[i] * x[i];
    }
}

void channel_norm_given(const ChannelNormGivenArgs& g) {
    const double *x = (const double*)g.x, *s = (const double*)g.sums;
    double *mean = (double*)g.mean, *rstd = (double*)g.rstd;
    for (i64 c = 0; c < g.C; c++) {
        mean[c] = s[c] / (double)g.count;
        rstd[c] = 1 / std::sqrt(s[g.C + c] / (double)g.count - mean[c] * mean[c] + g.eps);
    }
    for (i64 i = 0; i < g.S * g.C; i++) {
        const i64 c = i % g.C;
        const double z = (x[i] - mean[c]) * rstd[c] * ((const double*)g.gamma)[c] + ((const double*)g.beta)[c];
        ((double*)g.y)[i] = z > 0 ? z : g.slope * z;
    }
}

namespace {

/// h and dz of element i.
template <class Args>
void element(const Args& g, i64 i, double& h, double& dz) {
    const i64 c = i % g.C;
    h = (((const double*)g.x)[i] - ((const double*)g.mean)[c]) * ((const double*)g.rstd)[c];
    const double z = h * ((const double*)g.gamma)[c] + ((const double*)g.beta)[c], dY = ((const double*)g.dY)[i];
    dz = z > 0 ? dY : g.slope * dY;
}

}  // namespace

void channel_grad_sums(const ChannelGradSumsArgs& g) {
    double* s = (double*)g.sums;
    for (i64 c = 0; c < 2 * g.C; c++) s[c] = 0;
    for (i64 i = 0; i < g.S * g.C; i++) {
        double h, dz;
        element(g, i, h, dz);
        s[i % g.C] += dz * h;
        s[g.C + i % g.C] += dz;
    }
    for (i64 c = 0; c < g.C; c++) {
        ((double*)g.dGamma)[c] = s[c];
        ((double*)g.dBeta)[c] = s[g.C + c];
    }
}

void channel_grad_given(const ChannelGradGivenArgs& g) {
    const double *s = (const double*)g.sums, n = (double)g.count;
    for (i64 i = 0; i < g.S * g.C; i++) {
        const i64 c = i % g.C;
        double h, dz;
        element(g, i, h, dz);
        ((double*)g.dX)[i] =
            ((const double*)g.rstd)[c] * ((const double*)g.gamma)[c] * (dz - s[g.C + c] / n - h * s[c] / n);
    }
}

void track_statistics(const TrackStatisticsArgs& g) {
    for (i64 c = 0; c < g.C; c++) {
        double &m = ((double*)g.runningMean)[c], &v = ((double*)g.runningVar)[c];
        const double r = ((const double*)g.rstd)[c];
        m += g.momentum * (((const double*)g.mean)[c] - m);
        v += g.momentum * ((1 / (r * r) - g.eps) * g.count / (g.count - 1) - v);
    }
}

}  // namespace cg::ref
