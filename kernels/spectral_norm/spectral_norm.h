// SPDX-License-Identifier: Apache-2.0
// Spectral normalisation (Miyato et al. 2018): one power iteration for each of n weights W [M, N], with one read of W:
//   s = W v;  t = W^T s;  u = s / |s|;  v = t / |t|;  sigma = |t| / |s|;  inv_sigma = 1 / sigma
// This equals torch's order (u from W v, then v from W^T u, then sigma = u^T W v) because W^T u = t / |s|.
// advance 0: u and v stay, sigma = u^T W v. u_out and v_out may alias u_in and v_in.
// W/sigma is never stored: the product that uses W multiplies by inv_sigma.
// 4 M N FLOPs, one read of W. All float; norms are summed in double. Deterministic: parts are summed in order.
//
// Gradient of each of n weights, u and v constant, G the gradient of W/sigma:  dW = (G - lambda u v^T) inv_sigma
//
// spectral_norm_lambda: the number lambda = <G, W> inv_sigma. 2 M N FLOPs, one read of G and W. Pieces are summed in
// float, their totals in double and in order.
//
// spectral_norm_grad: dW as a tensor, for ops that need one; dW may alias G. 3 M N FLOPs, one read, one write. The
// optimizer (kernels/adam) does not: it corrects G while reading it.
#pragma once
#include "cg/gradient.h"
namespace cg {
struct SpectralNormRow {
    const void* W;
    const void* u_in;
    const void* v_in;
    void* u_out;
    void* v_out;
    void* inv_sigma;
    i64 M, N;
};
struct SpectralNormArgs {
    void* scratch;
    i64 advance;
    const SpectralNormRow* rows;
    i64 n;
};
struct SpectralNormLambdaRow {
    const void* G;
    const void* W;
    const void* inv_sigma;
    void* lambda;
    i64 n;
};
struct SpectralNormLambdaArgs {
    void* scratch;
    const SpectralNormLambdaRow* rows;
    i64 n;
};
struct SpectralNormGradRow {
    Gradient gradient;
    void* dW;
};
struct SpectralNormGradArgs {
    const SpectralNormGradRow* rows;
    i64 n;
};
}  // namespace cg
