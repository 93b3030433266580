// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels_all.h"

namespace cg::ref {

void adam(const AdamArgs& a) {
    const double base = *(const double*)a.lr, t = *(const double*)a.t, norm = *(const double*)a.norm;
    if (!std::isfinite(norm)) return;
    const double c = a.clip > 0 ? std::min(1.0, a.clip / (norm + 1e-6)) : 1;
    const double d = std::min(a.ema_decay, (1 + t) / (10 + t));
    for (i64 k = 0; k < a.n; k++) {
        const AdamRow& r = a.rows[k];
        const double lr = base * r.rate;
        double *p = (double*)r.p, *m = (double*)r.m, *v = (double*)r.v;
        for (i64 i = 0; i < r.gradient.n; i++) {
            double g = c * gradient(r.gradient, i);
            if (a.decoupled) p[i] *= 1 - lr * r.decay;
            else g += r.decay * p[i];
            m[i] = a.beta1 * m[i] + (1 - a.beta1) * g;
            v[i] = a.beta2 * v[i] + (1 - a.beta2) * g * g;
            p[i] -= lr / (1 - std::pow(a.beta1, t)) * m[i] / (std::sqrt(v[i] / (1 - std::pow(a.beta2, t))) + a.eps);
            if (r.p16) ((double*)r.p16)[i] = p[i];
            if (r.ema) ((double*)r.ema)[i] = d * ((double*)r.ema)[i] + (1 - d) * p[i];
        }
    }
}

void grad_norm(const GradNormArgs& a) {
    double s = 0;
    for (i64 k = 0; k < a.n; k++)
        for (i64 i = 0; i < a.rows[k].n; i++) {
            const double g = gradient(a.rows[k], i);
            s += g * g;
        }
    *(double*)a.norm = std::sqrt(s);
}

}  // namespace cg::ref
