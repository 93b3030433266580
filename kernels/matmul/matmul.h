// SPDX-License-Identifier: Apache-2.0
// y[M,N] = scale * op(a)[M,K] op(b)[K,N] + bias[N]
//   a is stored as [M,K], or as [K,M] with trans_a; b is stored as [K,N], or as [N,K] with trans_b (torch's Linear).
//   bias [N] and scale [1] (1/sigma of spectral normalisation) are float and may be null.
//   bias16 [N] is bias rounded to bf16, or null. A kernel may read it in place of bias if y is bf16.
// 2 M N K FLOPs; a and b are read once, y is written once.
#pragma once
#include "cg/abi.h"
namespace cg {
struct MatmulArgs {
    void* state;
    const void* a;
    const void* b;
    const void* bias;
    const void* bias16;
    const void* scale;
    void* y;
    void* scratch;
    i64 M, N, K;
    i64 trans_a, trans_b;
    Variant type_a, type_b, type_y;
};
// Weight and bias gradients of a linear layer in one pass over dY:
//   dW[M,N] = dY^T x and db[m] = sum_k dY[k,m];  dY [K,M] and x [K,N] in one type, dW and db in float
// 2 M N K + M K FLOPs; dY and x are read once, dW is written once.
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
// Many products in one kernel, a row each. All rows share types and transposes; M, N, K, bias and scale may differ.
// The rows' own state and scratch stay null.
struct GroupedMatmulArgs {
    void* state;
    void* scratch;
    const MatmulArgs* rows;
    i64 n;
};
}  // namespace cg
