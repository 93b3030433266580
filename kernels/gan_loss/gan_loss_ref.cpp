#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void gan_loss(const GanLossArgs& g) {
    const double *x = (const double*)g.x, w = *(const double*)g.weight;
    double* dX = (double*)g.dX;
    double loss[2] = {0, 0}, mean[2] = {0, 0};
    const i64 all = g.mode == 0 ? 2 * g.n : g.n;
    const double half = g.mode == 0 ? 0.5 : 1;
    for (i64 i = 0; i < all; i++) {
        const bool fake = g.mode == 1 || i >= g.n;
        // what the logit is to be: 1 for real ones and, in the generator's eyes, for fakes
        const bool up = g.mode == 1 || !fake;
        double l = 0, d = 0, s = up ? -x[i] : x[i];
        switch (g.kind) {
            case kLsgan:
                d = 2 * (up ? x[i] - 1 : x[i]);
                l = d * d / 4;
                break;
            case kBce:
                l = (s > 0 ? s : 0) + std::log1p(std::exp(-std::fabs(s)));
                d = (up ? -1 : 1) / (1 + std::exp(-s));
                break;
            case kHinge:
                if (g.mode == 1) l = -x[i], d = -1;
                else if (1 + s > 0) l = 1 + s, d = up ? -1 : 1;
                break;
            default: CG_CHECK(false, "unknown adversarial loss");
        }
        loss[fake] += l / g.n;
        mean[fake] += x[i] / g.n;
        dX[i] = w * half * d / g.n;
    }
    *(double*)g.loss = half * (loss[0] + loss[1]);
    *(double*)g.total = w * *(double*)g.loss;
    *(double*)g.real = mean[0];
    *(double*)g.fake = mean[1];
}

}  // namespace cg::ref
