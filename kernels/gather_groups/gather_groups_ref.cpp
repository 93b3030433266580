// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void gather_groups(const GatherGroupsArgs& a) {
    for (i64 g = 0; g < a.n; g++) {
        const GatherGroup& p = a.rows[g];
        for (i64 r = 0; r < a.R; r++)
            for (i64 i = 0; i < p.n; i++)
                ((double*)a.flat)[a.R * p.off + r * p.n + i] =
                    ((const double*)a.x)[r * a.V + ((const int32_t*)a.index)[p.off + i]];
    }
}

void gather_groups_grad(const GatherGroupsGradArgs& a) {
    const int32_t *first = (const int32_t*)a.first, *place = (const int32_t*)a.place;
    for (i64 r = 0; r < a.R; r++)
        for (i64 v = 0; v < a.V; v++) {
            double s = 0;
            for (i64 j = first[v]; j < first[v + 1]; j++)
                s += ((const double*)a.dFlat)[place[2 * j] + r * place[2 * j + 1]];
            ((double*)a.dX)[r * a.V + v] = s;
        }
}

}  // namespace cg::ref
