// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

void spectral_norm(const SpectralNormArgs& g) {
    for (i64 k = 0; k < g.n; k++) {
        const SpectralNormRow& r = g.rows[k];
        const double *W = (const double*)r.W, *u = (const double*)r.u_in, *v = (const double*)r.v_in;
        std::vector<double> s(r.M), t(r.N);
        for (i64 i = 0; i < r.M; i++)
            for (i64 j = 0; j < r.N; j++) s[i] += W[i * r.N + j] * v[j];
        double sigma = 0;
        if (g.advance) {
            double ns = 0, nt = 0;
            for (double x : s) ns += x * x;
            ns = std::max(std::sqrt(ns), 1e-12);
            for (i64 i = 0; i < r.M; i++)
                for (i64 j = 0; j < r.N; j++) t[j] += W[i * r.N + j] * s[i] / ns;
            for (double x : t) nt += x * x;
            sigma = std::sqrt(nt);
            for (i64 i = 0; i < r.M; i++) ((double*)r.u_out)[i] = s[i] / ns;
            for (i64 j = 0; j < r.N; j++) ((double*)r.v_out)[j] = t[j] / std::max(sigma, 1e-12);
        } else {
            for (i64 i = 0; i < r.M; i++) sigma += u[i] * s[i];
            for (i64 i = 0; i < r.M; i++) ((double*)r.u_out)[i] = u[i];
            for (i64 j = 0; j < r.N; j++) ((double*)r.v_out)[j] = v[j];
        }
        *(double*)r.inv_sigma = 1 / std::max(sigma, 1e-12);
    }
}

void spectral_norm_lambda(const SpectralNormLambdaArgs& g) {
    for (i64 k = 0; k < g.n; k++) {
        const SpectralNormLambdaRow& r = g.rows[k];
        double s = 0;
        for (i64 i = 0; i < r.n; i++) s += ((const double*)r.G)[i] * ((const double*)r.W)[i];
        *(double*)r.lambda = s * *(const double*)r.inv_sigma;
    }
}

void spectral_norm_grad(const SpectralNormGradArgs& g) {
    for (i64 k = 0; k < g.n; k++)
        for (i64 i = 0; i < g.rows[k].gradient.n; i++) ((double*)g.rows[k].dW)[i] = gradient(g.rows[k].gradient, i);
}

}  // namespace cg::ref
