// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product self-attention on the packed output of one linear layer, without mask or dropout.
//   qkv [B, T, 3 H D] in T: a row holds q, k, v, each H heads of D;  y [B, T, H D] in T, lse [B H, T] in float
//   s_ij = q_i . k_j / sqrt(D);  lse_i = log sum_j exp(s_ij);  p_ij = exp(s_ij - lse_i);  y_i = sum_j p_ij v_j
// Backward, with p recomputed from lse:
//   D_i = dY_i . y_i;  dV_j = sum_i p_ij dY_i;  dS_ij = p_ij (dY_i . v_j - D_i)
//   dQ_i = sum_j dS_ij k_j / sqrt(D);  dK_j = sum_i dS_ij q_i / sqrt(D);  dQKV [B, T, 3 H D] in T, packed like qkv
// Sums are in float. In bf16, on processors with bf16 dot products, p and dS are rounded to bf16 before the products.
// 4 B H T^2 D FLOPs forward, 10 B H T^2 D backward. Every tensor is read and written once; scores stay in cache.
// Deterministic: one thread computes a whole (image, head) pair.
#pragma once
#include "cg/abi.h"
namespace cg {
struct AttentionArgs {
    const void* qkv;
    void* y;
    void* lse;
    void* scratch;
    i64 B, T, H, D;
};
struct AttentionGradArgs {
    const void* qkv;
    const void* y;
    const void* lse;
    const void* dY;
    void* dQKV;
    void* scratch;
    i64 B, T, H, D;
};
}  // namespace cg
