// SPDX-License-Identifier: Apache-2.0
// GEGLU (Shazeer 2020): a row has C pairs, u[c] = x[c] and the gate g[c] = x[C + c].
//   y[c] = u[c] gelu(g[c]), with the exact GELU (kernels/activation)
// Backward: du[c] = dY[c] gelu(g[c]),  dg[c] = dY[c] u[c] gelu'(g[c])
// x, dX [rows, 2 C] and y, dY [rows, C] in T, computed in float. dX may alias x.
// About 26 FLOPs an element of y, backward 31. One read of x and one write of y; backward reads dY too and writes dX.
// Deterministic: elementwise.
#pragma once
#include "cg/abi.h"
namespace cg {
struct GegluArgs {
    const void* x;
    void* y;
    i64 rows, C;
};
struct GegluGradArgs {
    const void* x;
    const void* dY;
    void* dX;
    i64 rows, C;
};
}  // namespace cg
