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
    i64 type_a, type_b, type_y;  // Variant
};
// Gradients of a linear layer by weight and bias in one go: y = dW[M,N] = a^T b of a = dY stored [K,M] and b = x [K,N],
// and into bias the sums of dY, db[m] = sum_k a[k,m] (float). trans_a is 1, trans_b 0, type_y float, scale null. FLOPs
// 2 M N K + M K. Bytes: a + b + y once.
struct LinearGradArgs {
    MatmulArgs product;
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
