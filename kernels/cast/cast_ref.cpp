// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void cast(const CastArgs& g) {
    for (i64 i = 0; i < g.n; i++) ((double*)g.y)[i] = ((const double*)g.x)[i];
}

}  // namespace cg::ref
