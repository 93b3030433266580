// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void scaled_matmul(const ScaledMatmulArgs& g) {
    const double *a = (const double*)g.a, *b = (const double*)g.b, *bias = (const double*)g.bias;
    const double s = *(const double*)g.scale_a * *(const double*)g.scale_b * (g.scale ? *(const double*)g.scale : 1);
    for (i64 m = 0; m < g.M; m++)
        for (i64 n = 0; n < g.N; n++) {
            double sum = 0;
            for (i64 k = 0; k < g.K; k++) sum += a[m * g.K + k] * b[n * g.K + k];
            ((double*)g.y)[m * g.N + n] = s * sum + (bias ? bias[n] : 0);
        }
}

}  // namespace cg::ref
