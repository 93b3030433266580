// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void patchify(const PatchifyArgs& g) {
    const uint8_t* x = (const uint8_t*)g.x;
    double* y = (double*)g.y;
    for (i64 b = 0; b < g.B; b++)
        for (i64 ty = 0; ty < g.H / g.P; ty++)
            for (i64 tx = 0; tx < g.W / g.P; tx++, y += 3 * g.P * g.P)
                for (i64 py = 0; py < g.P; py++)
                    for (i64 px = 0; px < g.P; px++)
                        for (i64 c = 0; c < 3; c++) {
                            double v = x[((b * g.H + ty * g.P + py) * g.W + tx * g.P + px) * 3 + c] / 255.0;
                            y[g.planar ? (c * g.P + py) * g.P + px : (py * g.P + px) * 3 + c] =
                                (v - g.mean[c]) / g.std[c];
                        }
}

}  // namespace cg::ref
