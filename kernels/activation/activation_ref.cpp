// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void activation(const ActivationArgs& g) {
    const double* x = (const double*)g.x;
    double* y = (double*)g.y;
    for (i64 i = 0; i < g.n; i++) {
        double v = x[i];
        switch (g.kind) {
            case ActivationKind::GELU: y[i] = 0.5 * v * std::erfc(-v * M_SQRT1_2); break;
            case ActivationKind::LEAKY_RELU: y[i] = v > 0 ? v : g.alpha * v; break;
            case ActivationKind::TANH: y[i] = std::tanh(v); break;
            case ActivationKind::SWISH: y[i] = v / (1 + std::exp(-g.alpha * v)); break;
            default: CG_CHECK(false, "unknown activation");
        }
    }
}

void activation_grad(const ActivationGradArgs& g) {
    const double *x = (const double*)g.x, *dY = (const double*)g.dY;
    double* dX = (double*)g.dX;
    for (i64 i = 0; i < g.n; i++) {
        double v = x[i], d = 0;
        switch (g.kind) {
            case ActivationKind::GELU:
                d = 0.5 * std::erfc(-v * M_SQRT1_2) + v * std::exp(-0.5 * v * v) * 0.3989422804014327;
                break;
            case ActivationKind::LEAKY_RELU: d = v > 0 ? 1 : g.alpha; break;
            case ActivationKind::TANH: d = 1 - std::tanh(v) * std::tanh(v); break;
            case ActivationKind::SWISH: {
                double s = 1 / (1 + std::exp(-g.alpha * v));
                d = s + g.alpha * v * s * (1 - s);
                break;
            }
            default: CG_CHECK(false, "unknown activation");
        }
        dX[i] = dY[i] * d;
    }
}

}  // namespace cg::ref
