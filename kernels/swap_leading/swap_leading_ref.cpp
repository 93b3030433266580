// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void swap_leading(const SwapLeadingArgs& g) {
    for (i64 n = 0; n < g.N; n++)
        for (i64 a = 0; a < g.A; a++)
            for (i64 b = 0; b < g.B; b++)
                for (i64 c = 0; c < g.C; c++)
                    ((double*)g.y)[((n * g.B + b) * g.A + a) * g.C + c] =
                        ((const double*)g.x)[((n * g.A + a) * g.B + b) * g.C + c];
}

}  // namespace cg::ref
