// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void blend(const BlendArgs& g) {
    double* x = (double*)g.x;
    const double *y = (const double*)g.y, *c = (const double*)g.c;
    for (i64 i = 0; i < g.n; i++) x[i] = (c[0] == 0 ? 0 : c[0] * x[i]) + c[1] * y[i];
}

}  // namespace cg::ref
