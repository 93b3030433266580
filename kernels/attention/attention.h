// Multi-head self-attention over patches, packed as a ViT's qkv layer gives it: qkv [B, T, 3, H, D], y [B, T, H, D] in T,
// lse [B, H, T] in float. For each image and head, with s = 1 / sqrt(D):
//   S = s Q K^T;  lse_i = log sum_j exp(S_ij);  P = exp(S - lse);  y = P V          (Vaswani et al. 2017)
// Backward recomputes P:  dV = P^T dY;  dP = dY V^T;  dS = P (dP - rowsum(dY y));  dQ = s dS K;  dK = s dS^T Q
// 4 B H T^2 D FLOPs forward, 10 backward; qkv and y once each way, T x T never leaves the chip's caches.
// Deterministic: each image and head is one part's, and nothing is summed across parts.
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
    void* dQkv;
    void* scratch;
    i64 B, T, H, D;
};
}  // namespace cg
