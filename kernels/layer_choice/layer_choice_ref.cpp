// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

namespace {
std::vector<double> softmax(const double* a, i64 L) {
    std::vector<double> p((size_t)L);
    double most = a[0], sum = 0;
    for (i64 l = 0; l < L; l++) most = a[l] > most ? a[l] : most;
    for (i64 l = 0; l < L; l++) sum += p[(size_t)l] = std::exp(a[l] - most);
    for (double& x : p) x /= sum;
    return p;
}
}  // namespace

void layer_choice(const LayerChoiceArgs& g) {
    const double *a = (const double*)g.a, *f = (const double*)g.f;
    for (i64 v = 0; v < g.V; v++) {
        const std::vector<double> p = softmax(a + v * g.L, g.L);
        for (i64 l = 0; l < g.L; l++)
            for (i64 c = 0; c < g.C; c++) ((double*)g.w)[(v * g.L + l) * g.C + c] = p[(size_t)l] * f[v * g.C + c];
    }
}

void layer_choice_grad(const LayerChoiceGradArgs& g) {
    const double *dW = (const double*)g.dW, *f = (const double*)g.f;
    double *da = (double*)g.da, *df = (double*)g.df;
    for (i64 v = 0; v < g.V; v++) {
        const std::vector<double> p = softmax((const double*)g.a + v * g.L, g.L);
        std::vector<double> t((size_t)g.L);
        double mean = 0;
        for (i64 c = 0; c < g.C; c++) df[v * g.C + c] = 0;
        for (i64 l = 0; l < g.L; l++) {
            for (i64 c = 0; c < g.C; c++) {
                const double d = dW[(v * g.L + l) * g.C + c];
                t[(size_t)l] += d * f[v * g.C + c];
                df[v * g.C + c] += p[(size_t)l] * d;
            }
            mean += p[(size_t)l] * t[(size_t)l];
        }
        for (i64 l = 0; l < g.L; l++) da[v * g.L + l] = p[(size_t)l] * (t[(size_t)l] - mean);
    }
}

}  // namespace cg::ref
