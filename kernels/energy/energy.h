// SPDX-License-Identifier: Apache-2.0
// The energy of quadrature pairs (Adelson and Bergen 1985), compressed by a logarithm (Nishimoto et al. 2011). A row
// has C pairs: a[c] = x[c] of the even filters and b[c] = x[C + c] of the odd ones.
//   e[c] = sqrt(a[c]^2 + b[c]^2 + eps)     eps keeps the slope finite where both are 0
//   y[c] = log(1 + e[c] / sigma);  or y[c] = e[c] if sigma is 0
// y is linear in contrasts far below sigma, logarithmic far above. Backward:
//   g[c] = dY[c] / (e[c] (sigma + e[c]));  or g[c] = dY[c] / e[c] if sigma is 0
//   da[c] = g[c] a[c],  db[c] = g[c] b[c]
// x, dX [rows, 2 C] and y, dY [rows, C] in T, computed in float. dX may alias x.
// About 25 FLOPs an element of y (5 if sigma is 0), backward 10. One read of x and one write of y; backward reads dY
// too. Deterministic.
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
