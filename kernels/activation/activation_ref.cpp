// SPDX-License-Identifier: Apache-2.0
#include "activations_ref.h"
#include "kernels_all.h"

namespace cg::ref {

void activation(const ActivationArgs& g) {
    const double* x = (const double*)g.x;
    for (i64 i = 0; i < g.n; i++) ((double*)g.y)[i] = activation_value(g.kind, x[i], g.alpha);
}

void activation_grad(const ActivationGradArgs& g) {
    const double *x = (const double*)g.x, *dY = (const double*)g.dY;
    for (i64 i = 0; i < g.n; i++) ((double*)g.dX)[i] = dY[i] * activation_slope(g.kind, x[i], g.alpha);
}

}  // namespace cg::ref
