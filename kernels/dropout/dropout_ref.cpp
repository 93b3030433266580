// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void dropout(const DropoutArgs& g) {
    const DropoutKey key = dropout_key(g.key, g.site);
    const double* x = (const double*)g.x;
    double* y = (double*)g.y;
    for (i64 i = 0; i < g.n; i++) y[i] = dropout_bits((uint32_t)(g.first + i), key) >= g.threshold ? x[i] * g.scale : 0;
}

}  // namespace cg::ref
