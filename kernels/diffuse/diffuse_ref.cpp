// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "kernels_all.h"

namespace cg::ref {

void diffuse(const DiffuseArgs& g) {
    const double *x0 = (const double*)g.x0, *noise = (const double*)g.noise;
    for (i64 b = 0; b < g.B; b++) {
        const i64 t = ((const int32_t*)g.t)[b];
        CG_CHECK(t >= 0 && t < g.T,
                 "timestep " + std::to_string(t) + " is outside the table of " + std::to_string(g.T) + " rows");
        const double* k = (const double*)g.table + 4 * t;
        for (i64 i = b * g.V; i < (b + 1) * g.V; i++) {
            const double x = x0[i], n = noise[i];
            ((double*)g.x)[i] = k[0] * x + k[1] * n;
            ((double*)g.target)[i] = k[2] * x + k[3] * n;
        }
    }
}

}  // namespace cg::ref
