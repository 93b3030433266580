// SPDX-License-Identifier: Apache-2.0
// FP8 (native/include/cg/fp8.h) with a scale for each tensor, from the magnitudes of earlier steps.
//   y[r,c] = t[c,r] = fp8(x[r,c] * state[1]);  x [R,C] in float or bf16, y [R,C] and t [C,R] in `format`
//   maxima[i,j] = largest |x| of tile (i,j) of 64 x 64 elements
//   sums[i,c] = sum over the tile's rows of x[r,c]; sums may be null
// R and C are multiples of 16: tensor cores multiply FP8 matrices whose rows both run along k, so the backward products
// read the transpose. R C FLOPs without the sums; x is read once, y and t are written once. Deterministic.
#pragma once
#include "cg/abi.h"
#include "cg/fp8.h"
namespace cg {
struct QuantizeArgs {
    const void* x;
    const void* state;  // float [18]
    void* y;
    void* t;
    void* maxima;  // float [ceil(R / 64), ceil(C / 64)]
    void* sums;    // float [ceil(R / 64), C]
    i64 R, C;
    Fp8 format;
};
// Ends a step: every state takes the largest of the step's maxima into its history and gets its next scale.
struct Fp8ScalesRow {
    void* state;
    const void* maxima;
    i64 n;
    Fp8 format;
};
struct Fp8ScalesArgs {
    const Fp8ScalesRow* rows;
    i64 n;
};
}  // namespace cg
