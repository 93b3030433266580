// SPDX-License-Identifier: Apache-2.0
// Layer normalisation over the last axis, with an optional residual sum before it:
//   s = x + r (r null: s = x, and `sum` is null too);  y = (s - mean) * rstd * gamma + beta
//   x, r, sum, y [rows, C] in T; gamma, beta [C] and mean, rstd [rows] in float; rstd = 1 / sqrt(var + eps), biased var
// Backward, with h = (s - mean) * rstd and dh = dY * gamma:
//   dS = rstd * (dh - mean(dh) - h * mean(dh * h)) + dSum (may be null);  dX = dR = dS
//   dGamma = sum over rows of dY h;  dBeta = sum over rows of dY
// About 8 FLOPs an element forward, 14 backward. Forward reads 1-2 and writes 1-2 tensors of rows*C; backward reads 2-3
// and writes 1.
// Deterministic: partial dGamma and dBeta are summed in the order of the parts.
#pragma once
#include "cg/abi.h"
namespace cg {
struct LayerNormArgs {
    const void* x;
    const void* r;
    const void* gamma;
    const void* beta;
    void* sum;
    void* y;
    void* mean;
    void* rstd;
    i64 rows, C;
    double eps;
};
struct LayerNormGradArgs {
    const void* dY;
    const void* dSum;
    const void* s;
    const void* gamma;
    const void* mean;
    const void* rstd;
    void* dS;
    void* dGamma;
    void* dBeta;
    void* scratch;  // 2 * C floats a part
    i64 rows, C;
};
}  // namespace cg
