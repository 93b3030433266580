// SPDX-License-Identifier: Apache-2.0
// y[M,N] = scale * op(a)[M,K] op(b)[K,N] + bias[N]
//   op(a) is a stored [M,K], or [K,M] when trans_a; op(b) is b stored [K,N], or [N,K] when trans_b (torch's Linear).
//   bias (float, length N) and scale (float, one element; 1/sigma of spectral normalisation) may be null.
// FLOPs 2 M N K. Bytes: a + b + y once.
#pragma once
#include "cg/abi.h"
namespace cg {
struct MatmulArgs {
    void* state;
    const void* a;
    const void* b;
    const void* bias;
    const void* scale;
    void* y;
    void* scratch;
    i64 M, N, K;
    i64 trans_a, trans_b;
    Variant type_a, type_b, type_y;
};
// Gradients of a linear layer by its weight and its bias in one pass over dY:
//   dW[M,N] = dY^T x and db[m] = sum_k dY[k,m], with dY [K,M] and x [K,N] in one type; dW and db in float.
// FLOPs 2 M N K + M K. Bytes: dY + x + dW once.
struct LinearGradArgs {
    void* state;
    const void* dY;
    const void* x;
    void* dW;
    void* db;
    void* scratch;
    i64 M, N, K;
    Variant type;  // of dY and x
};
// Many products as one kernel, one row each, all with the same types and transposes; what M, N, K, bias and scale are
// is the row's own. state and scratch of the rows stay null.
struct GroupedMatmulArgs {
    void* state;
    void* scratch;
    const MatmulArgs* rows;
    i64 n;
};
}  // namespace cg
