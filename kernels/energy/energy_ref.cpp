// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

namespace {

/// Writes the energies of a row x [2 C] and returns s, 1 without normalisation.
double energies(const double* x, i64 C, double sigma, double eps, std::vector<double>& e) {
    double sum = 0;
    for (i64 c = 0; c < C; c++) {
        e[c] = std::sqrt(x[c] * x[c] + x[C + c] * x[C + c] + eps);
        sum += e[c];
    }
    return sigma > 0 ? sigma + sum / C : 1;
}

}  // namespace

void energy(const EnergyArgs& g) {
    std::vector<double> e(g.C);
    for (i64 r = 0; r < g.rows; r++) {
        const double s = energies((const double*)g.x + r * 2 * g.C, g.C, g.sigma, g.eps, e);
        for (i64 c = 0; c < g.C; c++) ((double*)g.y)[r * g.C + c] = e[c] / s;
    }
}

void energy_grad(const EnergyGradArgs& g) {
    std::vector<double> e(g.C);
    for (i64 r = 0; r < g.rows; r++) {
        const double *x = (const double*)g.x + r * 2 * g.C, *dY = (const double*)g.dY + r * g.C;
        double* dX = (double*)g.dX + r * 2 * g.C;
        const double s = energies(x, g.C, g.sigma, g.eps, e);
        double common = 0;
        for (i64 c = 0; c < g.C; c++) common += dY[c] * e[c];
        common = g.sigma > 0 ? common / (g.C * s * s) : 0;
        for (i64 c = 0; c < g.C; c++) {
            const double d = (dY[c] / s - common) / e[c];
            dX[c] = d * x[c];
            dX[g.C + c] = d * x[g.C + c];
        }
    }
}

}  // namespace cg::ref
