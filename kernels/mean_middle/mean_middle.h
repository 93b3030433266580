// SPDX-License-Identifier: Apache-2.0
// y[b, c] = mean over n of x[b, n, c];  backward: dX[b, n, c] = dY[b, c] / N
//   x, dX [B, N, C] and y, dY [B, C] in T; sums in float
// B N C FLOPs; one read of the input, one write of the output. Deterministic.
#pragma once
#include "cg/abi.h"
namespace cg {
struct MeanMiddleArgs {
    const void* x;
    void* y;
    i64 B, N, C;
};
struct MeanMiddleGradArgs {
    const void* dY;
    void* dX;
    i64 B, N, C;
};
}  // namespace cg
