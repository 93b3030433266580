// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

void attention(const AttentionArgs& g) {
    const double *q = (const double*)g.q, *k = (const double*)g.k, *v = (const double*)g.v;
    const i64 Tq = g.Tq, Tk = g.Tk, H = g.H, D = g.D;
    std::vector<double> s((size_t)Tk);
    for (i64 b = 0; b < g.B; b++)
        for (i64 h = 0; h < H; h++)
            for (i64 i = 0; i < Tq; i++) {
                const double* qi = q + (b * Tq + i) * g.q_stride + h * D;
                auto key = [&](i64 j) { return (b * Tk + j) * g.kv_stride + h * D; };
                double max = -INFINITY, sum = 0;
                for (i64 j = 0; j < Tk; j++) {
                    s[j] = 0;
                    for (i64 d = 0; d < D; d++) s[j] += qi[d] * k[key(j) + d];
                    s[j] /= std::sqrt((double)D);
                    max = std::fmax(max, s[j]);
                }
                for (i64 j = 0; j < Tk; j++) sum += std::exp(s[j] - max);
                double lse = max + std::log(sum);
                ((double*)g.lse)[(b * H + h) * Tq + i] = lse;
                double* y = (double*)g.y + ((b * Tq + i) * H + h) * D;
                for (i64 d = 0; d < D; d++) {
                    y[d] = 0;
                    for (i64 j = 0; j < Tk; j++) y[d] += std::exp(s[j] - lse) * v[key(j) + d];
                }
            }
}

void attention_grad(const AttentionGradArgs& g) {
    const double *q = (const double*)g.q, *k = (const double*)g.k, *v = (const double*)g.v, *lse = (const double*)g.lse;
    double *dQ = (double*)g.dQ, *dK = (double*)g.dK, *dV = (double*)g.dV;
    const i64 Tq = g.Tq, Tk = g.Tk, H = g.H, D = g.D;
    const double scale = 1 / std::sqrt((double)D);
    auto query = [&](i64 b, i64 i) { return (b * Tq + i) * g.q_stride; };
    auto key = [&](i64 b, i64 j) { return (b * Tk + j) * g.kv_stride; };
    for (i64 b = 0; b < g.B; b++)
        for (i64 c = 0; c < H * D; c++) {
            for (i64 i = 0; i < Tq; i++) dQ[query(b, i) + c] = 0;
            for (i64 j = 0; j < Tk; j++) dK[key(b, j) + c] = dV[key(b, j) + c] = 0;
        }
    for (i64 b = 0; b < g.B; b++)
        for (i64 h = 0; h < H; h++)
            for (i64 i = 0; i < Tq; i++) {
                const i64 at = query(b, i) + h * D;
                const double *y = (const double*)g.y + ((b * Tq + i) * H + h) * D,
                             *dY = (const double*)g.dY + ((b * Tq + i) * H + h) * D;
                double Di = 0;
                for (i64 d = 0; d < D; d++) Di += dY[d] * y[d];
                for (i64 j = 0; j < Tk; j++) {
                    const i64 to = key(b, j) + h * D;
                    double s = 0, dP = 0;
                    for (i64 d = 0; d < D; d++) {
                        s += q[at + d] * k[to + d];
                        dP += dY[d] * v[to + d];
                    }
                    double p = std::exp(s * scale - lse[(b * H + h) * Tq + i]), dS = p * (dP - Di) * scale;
                    for (i64 d = 0; d < D; d++) {
                        dQ[at + d] += dS * k[to + d];
                        dK[to + d] += dS * q[at + d];
                        dV[to + d] += p * dY[d];
                    }
                }
            }
}

}  // namespace cg::ref
