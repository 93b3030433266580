// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "kernels_all.h"

namespace cg::ref {

void gather_rows(const GatherRowsArgs& g) {
    const i64 row = g.C * (g.bytes ? g.bytes : (i64)sizeof(double));
    for (i64 b = 0; b < g.B; b++) {
        const i64 i = ((const int32_t*)g.index)[b];
        CG_CHECK(i >= 0 && i < g.N,
                 "index " + std::to_string(i) + " is outside the table of " + std::to_string(g.N) + " rows");
        for (i64 k = 0; k < row; k++) ((char*)g.y)[b * row + k] = ((const char*)g.table)[i * row + k];
    }
}

}  // namespace cg::ref
