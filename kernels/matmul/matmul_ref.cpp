// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

void matmul(const MatmulArgs& g) {
    const double *a = (const double*)g.a, *b = (const double*)g.b, *bias = (const double*)g.bias;
    double* y = (double*)g.y;
    double s = g.scale ? *(const double*)g.scale : 1;
    i64 sam = g.trans_a ? 1 : g.K, sak = g.trans_a ? g.M : 1, sbk = g.trans_b ? 1 : g.N, sbn = g.trans_b ? g.K : 1;
    std::vector<double> row((size_t)g.N);
    for (i64 m = 0; m < g.M; m++) {
        for (i64 n = 0; n < g.N; n++) row[n] = 0;
        if (g.trans_b) {
            for (i64 n = 0; n < g.N; n++)
                for (i64 k = 0; k < g.K; k++) row[n] += a[m * sam + k * sak] * b[k * sbk + n * sbn];
        } else {
            for (i64 k = 0; k < g.K; k++)
                for (i64 n = 0; n < g.N; n++) row[n] += a[m * sam + k * sak] * b[k * sbk + n * sbn];
        }
        for (i64 n = 0; n < g.N; n++) y[m * g.N + n] = s * row[n] + (bias ? bias[n] : 0);
    }
}

void linear_grad(const LinearGradArgs& g) {
    const double* dY = (const double*)g.dY;
    double* db = (double*)g.db;
    for (i64 m = 0; m < g.M; m++) {
        db[m] = 0;
        for (i64 k = 0; k < g.K; k++) db[m] += dY[k * g.M + m];
    }
    MatmulArgs p = {};
    p.a = g.dY, p.b = g.x, p.y = g.dW;
    p.M = g.M, p.N = g.N, p.K = g.K, p.trans_a = 1;
    matmul(p);
}

void grouped_matmul(const GroupedMatmulArgs& g) {
    for (i64 i = 0; i < g.n; i++) matmul(g.rows[i]);
}

}  // namespace cg::ref
