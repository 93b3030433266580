// SPDX-License-Identifier: Apache-2.0
// Readout weights of every vertex over several layers, from a learned choice of layer:
//   p[v] = softmax(a[v]);  w[v, l C + c] = p[v, l] f[v, c];  a [V, L], f [V, C] in float, w [V, L C] in T.
// Backward, p computed again: t[l] = sum_c dW[v, l, c] f[v, c];  da[v, l] = p[l] (t[l] - sum_k p[k] t[k]);
//   df[v, c] = sum_l p[l] dW[v, l, c].  dW in T (float where a product's weight gradient comes in), da, df in float.
// V L C products and V L exponentials; w written once, dW read once (its row from L1 again). Deterministic: a vertex is
// one thread's or one warp's.
#pragma once
#include "cg/abi.h"
namespace cg {
struct LayerChoiceArgs {
    const void* a;
    const void* f;
    void* w;
    i64 V, L, C;
};
struct LayerChoiceGradArgs {
    const void* dW;
    const void* a;
    const void* f;
    void* da;
    void* df;
    i64 V, L, C;
};
}  // namespace cg
