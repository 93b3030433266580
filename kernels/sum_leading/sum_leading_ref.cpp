// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void sum_leading(const SumLeadingArgs& a) {
    for (i64 i = 0; i < a.n; i++) {
        const SumLeadingRow& g = a.rows[i];
        const double* x = (const double*)g.x;
        for (i64 c = 0; c < g.C; c++) {
            double s = 0;
            for (i64 r = 0; r < g.R; r++) s += x[r * g.C + c];
            ((double*)g.y)[c] = g.scale * s;
        }
    }
}

}  // namespace cg::ref
