// SPDX-License-Identifier: Apache-2.0
// A product of each vertex with its own features, the second half of the factorised readout (Klindt et al. 2017):
//   y[b, v] = sum_k t[v, b, k] w[v, k] + bias[v];  t [V, B, K], w [V, K], y [B, V] in T, bias [V] in float
// Backward:
//   dt[v, b, k] = dY[b, v] w[v, k] in T
//   dw[v, k] = sum_b dY[b, v] t[v, b, k] and dbias[v] = sum_b dY[b, v] in float
// w is in T like the weight of any product; the optimizer holds the float master copy.
// 2 V B K FLOPs forward, 3 V B K backward; t is read once, dt written once.
// Deterministic: one thread or one warp computes a vertex.
#pragma once
#include "cg/abi.h"
namespace cg {
struct ReadoutArgs {
    const void* t;
    const void* w;
    const void* bias;
    void* y;
    i64 V, B, K;
};
struct ReadoutGradArgs {
    const void* dY;
    const void* t;
    const void* w;
    void* dt;
    void* dw;
    void* dbias;
    i64 V, B, K;
};
}  // namespace cg
