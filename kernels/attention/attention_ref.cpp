#include <cmath>
#include <vector>

#include "kernels_all.h"

namespace cg::ref {

namespace {
/// Addresses of one image's and head's tensors, with the distance between tokens.
struct Head {
    i64 in, out, lse, token_in, token_out;
    Head(i64 b, i64 h, i64 T, i64 H, i64 D)
        : in(b * T * 3 * H * D + h * D), out(b * T * H * D + h * D), lse((b * H + h) * T), token_in(3 * H * D), token_out(H * D) {}
};
}  // namespace

void attention(const AttentionArgs& g) {
    const double* x = (const double*)g.qkv;
    double *y = (double*)g.y, *lse = (double*)g.lse, s = 1 / std::sqrt((double)g.D);
    std::vector<double> p((size_t)g.T);
    for (i64 b = 0; b < g.B; b++)
        for (i64 h = 0; h < g.H; h++) {
            Head a(b, h, g.T, g.H, g.D);
            const double *q = x + a.in, *k = q + g.H * g.D, *v = k + g.H * g.D;
            for (i64 i = 0; i < g.T; i++) {
                double most = -1e300, sum = 0;
                for (i64 j = 0; j < g.T; j++) {
                    p[j] = 0;
                    for (i64 d = 0; d < g.D; d++) p[j] += s * q[i * a.token_in + d] * k[j * a.token_in + d];
                    most = p[j] > most ? p[j] : most;
                }
                for (i64 j = 0; j < g.T; j++) sum += p[j] = std::exp(p[j] - most);
                lse[a.lse + i] = most + std::log(sum);
                for (i64 d = 0; d < g.D; d++) {
                    double o = 0;
                    for (i64 j = 0; j < g.T; j++) o += p[j] / sum * v[j * a.token_in + d];
                    y[a.out + i * a.token_out + d] = o;
                }
            }
        }
}

void attention_grad(const AttentionGradArgs& g) {
    const double *x = (const double*)g.qkv, *y = (const double*)g.y, *lse = (const double*)g.lse, *dY = (const double*)g.dY;
    double *dx = (double*)g.dQkv, s = 1 / std::sqrt((double)g.D);
    for (i64 b = 0; b < g.B; b++)
        for (i64 h = 0; h < g.H; h++) {
            Head a(b, h, g.T, g.H, g.D);
            const double *q = x + a.in, *k = q + g.H * g.D, *v = k + g.H * g.D;
            double *dq = dx + a.in, *dk = dq + g.H * g.D, *dv = dk + g.H * g.D;
            for (i64 i = 0; i < g.T; i++)
                for (i64 d = 0; d < g.D; d++) dq[i * a.token_in + d] = dk[i * a.token_in + d] = dv[i * a.token_in + d] = 0;
            for (i64 i = 0; i < g.T; i++) {
                const double *dy = dY + a.out + i * a.token_out, *yi = y + a.out + i * a.token_out;
                double delta = 0;
                for (i64 d = 0; d < g.D; d++) delta += dy[d] * yi[d];
                for (i64 j = 0; j < g.T; j++) {
                    double sij = 0, dp = 0;
                    for (i64 d = 0; d < g.D; d++) {
                        sij += s * q[i * a.token_in + d] * k[j * a.token_in + d];
                        dp += dy[d] * v[j * a.token_in + d];
                    }
                    double p = std::exp(sij - lse[a.lse + i]), ds = s * p * (dp - delta);
                    for (i64 d = 0; d < g.D; d++) {
                        dq[i * a.token_in + d] += ds * k[j * a.token_in + d];
                        dk[j * a.token_in + d] += ds * q[i * a.token_in + d];
                        dv[j * a.token_in + d] += p * dy[d];
                    }
                }
            }
        }
}

}  // namespace cg::ref
