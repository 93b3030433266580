// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention without mask or dropout. Queries and keys may be different tokens, and of different
// number.
//   q [B, Tq, H D] in T, rows q_stride elements apart;  k, v [B, Tk, H D] in T, rows kv_stride elements apart
//   y [B, Tq, H D] in T, lse [B H, Tq] in float, both dense
// So the packed output of one linear layer [B, T, 3 H D] is q, k = q + H D, v = q + 2 H D with strides of 3 H D.
//   s_ij = q_i . k_j / sqrt(D);  lse_i = log sum_j exp(s_ij);  p_ij = exp(s_ij - lse_i);  y_i = sum_j p_ij v_j
// Backward, with p recomputed from lse:
//   D_i = dY_i . y_i;  dV_j = sum_i p_ij dY_i;  dS_ij = p_ij (dY_i . v_j - D_i)
//   dQ_i = sum_j dS_ij k_j / sqrt(D);  dK_j = sum_i dS_ij q_i / sqrt(D);  dQ, dK, dV with the strides of q, k, v
// Sums are in float. In bf16, on processors with bf16 dot products, p and dS are rounded to bf16 before the products.
// 4 B H Tq Tk D FLOPs forward, 10 B H Tq Tk D backward. Every tensor is read and written once; scores stay in cache.
// Deterministic: one thread computes a row of y, or a row of dQ, dK or dV, with sums in a fixed order.
#pragma once
#include "cg/abi.h"
namespace cg {
struct AttentionArgs {
    const void* q;
    const void* k;
    const void* v;
    void* y;
    void* lse;
    void* scratch;
    i64 B, Tq, Tk, H, D;
    i64 q_stride, kv_stride;
};
struct AttentionGradArgs {
    const void* q;
    const void* k;
    const void* v;
    const void* y;
    const void* lse;
    const void* dY;
    void* dQ;
    void* dK;
    void* dV;
    void* scratch;
    i64 B, Tq, Tk, H, D;
    i64 q_stride, kv_stride;
};
}  // namespace cg
