// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

namespace {
/// Calls f(x index, w index, y index) for every multiplication of the convolution.
template <class Args, class F>
void products(const Args& g, F&& f) {
    const i64 OH = (g.H + 2 * g.ph - g.KH) / g.sh + 1, OW = (g.W + 2 * g.pw - g.KW) / g.sw + 1;
    for (i64 b = 0; b < g.B; b++)
        for (i64 i = 0; i < OH; i++)
            for (i64 j = 0; j < OW; j++)
                for (i64 p = 0; p < g.KH; p++)
                    for (i64 q = 0; q < g.KW; q++) {
                        const i64 r = i * g.sh + p - g.ph, c = j * g.sw + q - g.pw;
                        if (r < 0 || r >= g.H || c < 0 || c >= g.W) continue;
                        for (i64 o = 0; o < g.O; o++)
                            for (i64 k = 0; k < g.C; k++)
                                f(((b * g.H + r) * g.W + c) * g.C + k, ((o * g.C + k) * g.KH + p) * g.KW + q,
                                  ((b * OH + i) * OW + j) * g.O + o);
                    }
}
}  // namespace

void conv2d(const Conv2dArgs& g) {
    const double *x = (const double*)g.x, *w = (const double*)g.w, s = g.scale ? *(const double*)g.scale : 1;
    double* y = (double*)g.y;
    const i64 n = g.B * ((g.H + 2 * g.ph - g.KH) / g.sh + 1) * ((g.W + 2 * g.pw - g.KW) / g.sw + 1) * g.O;
    for (i64 i = 0; i < n; i++) y[i] = g.bias ? ((const double*)g.bias)[i % g.O] : 0;
    products(g, [&](i64 xi, i64 wi, i64 yi) { y[yi] += s * x[xi] * w[wi]; });
}

void conv2d_grad_x(const Conv2dGradXArgs& g) {
    const double *dY = (const double*)g.dY, *w = (const double*)g.w;
    double* dX = (double*)g.dX;
    for (i64 i = 0; i < g.B * g.H * g.W * g.C; i++) dX[i] = 0;
    products(g, [&](i64 xi, i64 wi, i64 yi) { dX[xi] += dY[yi] * w[wi]; });
}

void conv2d_grad_w(const Conv2dGradWArgs& g) {
    const double *dY = (const double*)g.dY, *x = (const double*)g.x;
    double* dW = (double*)g.dW;
    for (i64 i = 0; i < g.O * g.C * g.KH * g.KW; i++) dW[i] = 0;
    products(g, [&](i64 xi, i64 wi, i64 yi) { dW[wi] += dY[yi] * x[xi]; });
}

void grouped_conv2d(const GroupedConv2dArgs& g) {
    for (i64 i = 0; i < g.n; i++) conv2d(g.rows[i]);
}

void grouped_conv2d_grad_x(const GroupedConv2dGradXArgs& g) {
    for (i64 i = 0; i < g.n; i++) {
        const Conv2dGradXArgs& c = g.rows[i].conv;
        conv2d_grad_x(c);
        if (!g.rows[i].scale) continue;
        for (i64 k = 0; k < c.B * c.H * c.W * c.C; k++) ((double*)c.dX)[k] *= *(const double*)g.rows[i].scale;
    }
}

void grouped_conv2d_grad_w(const GroupedConv2dGradWArgs& g) {
    for (i64 i = 0; i < g.n; i++) conv2d_grad_w(g.rows[i]);
}

}  // namespace cg::ref
