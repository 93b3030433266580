// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void binary(const BinaryArgs& g) {
    const double *a = (const double*)g.a, *b = (const double*)g.b;
    double* y = (double*)g.y;
    for (i64 i = 0; i < g.n; i++) {
        double x = a[i], z = b[i % g.m];
        switch (g.op) {
            case BinaryOp::ADD: y[i] = x + z; break;
            case BinaryOp::MUL: y[i] = x * z; break;
            case BinaryOp::AXPBY: y[i] = g.alpha * x + g.beta * z; break;
            default: CG_CHECK(false, "unknown operation");
        }
    }
}

}  // namespace cg::ref
