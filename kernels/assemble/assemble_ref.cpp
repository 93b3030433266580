// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void assemble(const AssembleArgs& g) {
    double* y = (double*)g.y;
    for (i64 o = 0; o < g.outer; o++)
        for (i64 k = 0; k < g.n; k++) {
            const AssembleRow& r = g.rows[k];
            for (i64 i = 0; i < r.len; i++) *y++ = r.src ? ((const double*)r.src)[r.offset + o * r.stride + i] : 0;
        }
}

}  // namespace cg::ref
