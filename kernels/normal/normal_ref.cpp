// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void normal(const NormalArgs& g) {
    const uint32_t *key = (const uint32_t*)g.key, *rows = (const uint32_t*)g.counters;
    double* y = (double*)g.y;
    for (i64 b = 0; b < g.B; b++)
        for (i64 i = 0; i < g.V; i++) {
            uint32_t w[4] = {(uint32_t)(i / 4), (uint32_t)g.stream, rows[2 * b], rows[2 * b + 1]};
            philox<NormalLane>(w, key[0], key[1]);
            const uint32_t* pair = w + i % 4 / 2 * 2;
            const double r = std::sqrt(-2 * std::log((pair[0] + 0.5) / 0x1p32));
            const double angle = 2 * M_PI * (pair[1] + 0.5) / 0x1p32;
            y[b * g.V + i] = r * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
        }
}

}  // namespace cg::ref
