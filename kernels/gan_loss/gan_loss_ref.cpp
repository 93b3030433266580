// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void gan_loss(const GanLossArgs& a) {
    const double weight = *(const double*)a.weight, half = a.side == GanSide::DISCRIMINATOR ? 0.5 : 1;
    double total = 0;
    for (i64 g = 0; g < a.n; g++) {
        const GanGroup& p = a.rows[g];
        const double* x = (const double*)a.x + p.off;
        double* dX = (double*)a.dX + p.off;
        double loss[2] = {0, 0}, mean[2] = {0, 0};
        for (i64 i = 0; i < (a.side == GanSide::DISCRIMINATOR ? 2 * p.n : p.n); i++) {
            const bool fake = a.side == GanSide::GENERATOR || i >= p.n;
            // the target is 1 for real logits, and for fake ones in the generator's loss
            const bool up = a.side == GanSide::GENERATOR || !fake;
            double l = 0, d = 0, s = up ? -x[i] : x[i];
            switch (a.kind) {
                case GanKind::LSGAN:
                    d = 2 * (up ? x[i] - 1 : x[i]);
                    l = d * d / 4;
                    break;
                case GanKind::BCE:
                    l = (s > 0 ? s : 0) + std::log1p(std::exp(-std::fabs(s)));
                    d = (up ? -1 : 1) / (1 + std::exp(-s));
                    break;
                case GanKind::HINGE:
                    if (a.side == GanSide::GENERATOR) l = -x[i], d = -1;
                    else if (1 + s > 0) l = 1 + s, d = up ? -1 : 1;
                    break;
                default: CG_CHECK(false, "unknown adversarial loss");
            }
            loss[fake] += l / p.n;
            mean[fake] += x[i] / p.n;
            dX[i] = weight * p.w * half * d / p.n;
        }
        const double l = half * (loss[0] + loss[1]);
        ((double*)a.loss)[g] = l;
        ((double*)a.real)[g] = mean[0];
        ((double*)a.fake)[g] = mean[1];
        total += p.w * l;
    }
    *(double*)a.total = weight * total;
}

}  // namespace cg::ref
