// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

void attention(const AttentionArgs& g) {
    const double* qkv = (const double*)g.qkv;
    const i64 T = g.T, H = g.H, D = g.D, C = H * D;
    std::vector<double> s((size_t)T);
    for (i64 b = 0; b < g.B; b++)
        for (i64 h = 0; h < H; h++)
            for (i64 i = 0; i < T; i++) {
                auto row = [&](i64 t, i64 part) { return qkv + ((b * T + t) * 3 + part) * C + h * D; };
                double max = -INFINITY, sum = 0;
                for (i64 j = 0; j < T; j++) {
                    s[j] = 0;
                    for (i64 d = 0; d < D; d++) s[j] += row(i, 0)[d] * row(j, 1)[d];
                    s[j] /= std::sqrt((double)D);
                    max = std::fmax(max, s[j]);
                }
                for (i64 j = 0; j < T; j++) sum += std::exp(s[j] - max);
                double lse = max + std::log(sum);
                ((double*)g.lse)[(b * H + h) * T + i] = lse;
                double* y = (double*)g.y + (b * T + i) * C + h * D;
                for (i64 d = 0; d < D; d++) {
                    y[d] = 0;
                    for (i64 j = 0; j < T; j++) y[d] += std::exp(s[j] - lse) * row(j, 2)[d];
                }
            }
}

void attention_grad(const AttentionGradArgs& g) {
    const double *qkv = (const double*)g.qkv, *lse = (const double*)g.lse;
    double* dQKV = (double*)g.dQKV;
    const i64 T = g.T, H = g.H, D = g.D, C = H * D;
    const double scale = 1 / std::sqrt((double)D);
    for (i64 n = 0; n < g.B * T * 3 * C; n++) dQKV[n] = 0;
    for (i64 b = 0; b < g.B; b++)
        for (i64 h = 0; h < H; h++)
            for (i64 i = 0; i < T; i++) {
                auto at = [&](i64 t, i64 part) { return ((b * T + t) * 3 + part) * C + h * D; };
                const double *y = (const double*)g.y + (b * T + i) * C + h * D,
                             *dY = (const double*)g.dY + (b * T + i) * C + h * D;
                double Di = 0;
                for (i64 d = 0; d < D; d++) Di += dY[d] * y[d];
                for (i64 j = 0; j < T; j++) {
                    double s = 0, dP = 0;
                    for (i64 d = 0; d < D; d++) {
                        s += qkv[at(i, 0) + d] * qkv[at(j, 1) + d];
                        dP += dY[d] * qkv[at(j, 2) + d];
                    }
                    double p = std::exp(s * scale - lse[(b * H + h) * T + i]), dS = p * (dP - Di) * scale;
                    for (i64 d = 0; d < D; d++) {
                        dQKV[at(i, 0) + d] += dS * qkv[at(j, 1) + d];
                        dQKV[at(j, 1) + d] += dS * qkv[at(i, 0) + d];
                        dQKV[at(j, 2) + d] += p * dY[d];
                    }
                }
            }
}

}  // namespace cg::ref
