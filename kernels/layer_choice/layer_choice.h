// SPDX-License-Identifier: Apache-2.0
// Readout weights of every vertex over several layers, from a learned choice of layer:
//   p[v] = softmax(a[v]);  w[v, l C + c] = p[v, l] f[v, c];  a [V, L], f [V, C] in float, w [V, L C] in T
// Backward, with p recomputed:
//   t[l] = sum_c dW[v, l, c] f[v, c];  da[v, l] = p[l] (t[l] - sum_k p[k] t[k]);  df[v, c] = sum_l p[l] dW[v, l, c]
//   dW in T (float if it is the weight gradient of a product), da, df in float
// V L C multiplications and V L exponentials. w is written once; dW is read once (its row again from L1).
// Deterministic: one thread or one warp computes a vertex.
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
