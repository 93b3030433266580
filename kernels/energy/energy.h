// SPDX-License-Identifier: Apache-2.0
// The energy of quadrature pairs (Adelson and Bergen 1985), divided by the mean energy of all pairs at the same place
// (Heeger 1992). A row has C pairs: a[c] = x[c] of the even filters and b[c] = x[C + c] of the odd ones.
//   e[c] = sqrt(a[c]^2 + b[c]^2 + eps)     eps keeps the slope finite where both are 0
//   y[c] = e[c] / s,  s = sigma + mean over c of e[c];  or y[c] = e[c] if sigma is 0
// Backward, with g[c] = dY[c] / s - (sum over j of dY[j] e[j]) / (C s^2), or g = dY if sigma is 0:
//   da[c] = g[c] a[c] / e[c],  db[c] = g[c] b[c] / e[c]
// x, dX [rows, 2 C] and y, dY [rows, C] in T, computed in float. dX may not alias its inputs.
// About 8 FLOPs an element of y, backward 16. One read of x and one write of y; backward reads dY too.
// Deterministic.
#pragma once
#include "cg/abi.h"
namespace cg {
struct EnergyArgs {
    const void* x;
    void* y;
    i64 rows, C;
    double sigma, eps;
};
struct EnergyGradArgs {
    const void* x;
    const void* dY;
    void* dX;
    i64 rows, C;
    double sigma, eps;
};
}  // namespace cg
