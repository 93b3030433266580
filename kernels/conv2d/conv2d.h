// SPDX-License-Identifier: Apache-2.0
// y[b, i, j, o] = scale * sum over c, p, q of x[b, i sh + p - ph, j sw + q - pw, c] w[o, c, p, q] + bias[o]
//   x [B, H, W, C] and y [B, OH, OW, O] channels innermost, w [O, C, KH, KW] as torch stores it, all in T.
//   x is zero outside its bounds. bias [O] and scale [1] (1/sigma of spectral normalisation) are float and may be null.
// Backward: dX leaves the scale out, which is a separate node of the graph; dW (float) is by contract the gradient of
// the scaled weight.
// 2 B OH OW O C KH KW FLOPs each. Two tensors are read, one is written.
// CPU: oneDNN. Tensors keep plain layouts; the weight is reordered to oneDNN's own layout inside the kernel.
#pragma once
#include "cg/abi.h"
namespace cg {
struct Conv2dArgs {
    void* state;
    const void* x;
    const void* w;
    const void* bias;
    const void* scale;
    void* y;
    void* scratch;
    i64 B, H, W, C, O, KH, KW, sh, sw, ph, pw;
    Variant type;
};
struct Conv2dGradXArgs {
    void* state;
    const void* dY;
    const void* w;
    void* dX;
    void* scratch;
    i64 B, H, W, C, O, KH, KW, sh, sw, ph, pw;
    Variant type;
};
struct Conv2dGradWArgs {
    void* state;
    const void* x;
    const void* dY;
    void* dW;
    void* scratch;
    i64 B, H, W, C, O, KH, KW, sh, sw, ph, pw;
    Variant type;
};
// Many convolutions of one type in one kernel, a row each; the rows' own state and scratch stay null.
// The grouped dX is multiplied by the row's scale, which may be null.
struct ScaledConv2dGradXArgs {
    Conv2dGradXArgs conv;
    const void* scale;
};
struct GroupedConv2dArgs {
    void* state;
    void* scratch;
    const Conv2dArgs* rows;
    i64 n;
};
struct GroupedConv2dGradXArgs {
    void* state;
    void* scratch;
    const ScaledConv2dGradXArgs* rows;
    i64 n;
};
struct GroupedConv2dGradWArgs {
    void* state;
    void* scratch;
    const Conv2dGradWArgs* rows;
    i64 n;
};
}  // namespace cg
