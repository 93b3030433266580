// SPDX-License-Identifier: Apache-2.0
// Normalises groups of channels, then applies f: a leaky ReLU (alpha 1: none) or swish (kernels/activation):
//   u = x + shift;  h = (u - mean) * rstd;  z = h * gamma + beta;  y = f(z)
//   x, y [N, S, C] in T, channels innermost; shift [N, C] in T or null (0); gamma, beta [C] and mean, rstd [N, G] in
//   float. u is not rounded to T.
//   mean and biased var of u are over the S * C/G elements of a group, which is C/G neighbouring channels;
//   rstd = 1 / sqrt(var + eps)
//   GroupNorm of a map [B, H, W, C]: N = B, S = H W. BatchNorm: N = 1, S = B H W, G = C.
// Backward, with dz = dY f'(z) and dh = dz * gamma; z is recomputed from x:
//   dX = rstd * (dh - mean(dh) - h * mean(dh * h)), means over the group
//   dGamma = sum over n, s of dz h;  dBeta = sum over n, s of dz;  dShift = sum over s of dX, null if shift is
// The kernels shift the mean of a channel instead of x, and dShift follows from sums of dz and of u - mean:
// a shift costs no pass over a tensor.
// Variance: each tile takes two passes (mean, then squared distances), and Chan's formula merges the tiles. Raw sums of
// squares would lose the variance at large offsets.
// Forward reads x twice and writes y; backward reads dY and x twice and writes dX. 8 and 18 FLOPs an element; swish
// adds 25 and 50.
// Deterministic: parts are summed in order.
//
// channel_affine is the same with given statistics (evaluation), without a shift, and with a leaky ReLU:
//   h = (x - mean) / sqrt(var + eps);  mean, var [C] float
//
// track_statistics keeps exponential averages of channel_norm's statistics, in place, with the unbiased variance as in
// torch:
//   runningMean += momentum (mean - runningMean)
//   runningVar += momentum ((1 / rstd^2 - eps) count / (count - 1) - runningVar)
//
// BatchNorm over the images of several ranks (SyncBatchNorm) is four kernels, between which the ranks add up their sums
// [2, C] in double. `count` is the number of rows of all ranks; x [S, C] has those of one rank:
//   channel_sums        sums = sum x, sum x^2. Tiles give means and squared distances; the sums are formed in double.
//   channel_norm_given  mean, rstd and y from the sums of all ranks
//   channel_grad_sums   sums = sum dz h, sum dz; the same in float are the rank's dGamma and dBeta
//   channel_grad_given  dX from the sums of all ranks
// They read x once each, the gradients dY too; channel_norm_given writes y and channel_grad_given dX. 4, 4, 6 and 7
// FLOPs an element. Only this version.
#pragma once
#include "activation/activation.h"
#include "cg/abi.h"
namespace cg {
struct ChannelNormArgs {
    const void* x;
    const void* shift;
    const void* gamma;
    const void* beta;
    void* y;
    void* mean;
    void* rstd;
    void* scratch;
    i64 N, S, C, G;
    double eps;
    ActivationKind kind;
    double alpha;
};
struct ChannelNormGradArgs {
    const void* dY;
    const void* x;
    const void* shift;
    const void* gamma;
    const void* beta;
    const void* mean;
    const void* rstd;
    void* dX;
    void* dShift;
    void* dGamma;
    void* dBeta;
    void* scratch;
    i64 N, S, C, G;
    ActivationKind kind;
    double alpha;
};
struct ChannelAffineArgs {
    const void* x;
    const void* gamma;
    const void* beta;
    const void* mean;
    const void* var;
    void* y;
    i64 rows, C;
    double eps, slope;
};
struct ChannelSumsArgs {
    const void* x;
    void* sums;
    void* scratch;
    i64 S, C;
};
struct ChannelNormGivenArgs {
    const void* x;
    const void* gamma;
    const void* beta;
    const void* sums;
    void* y;
    void* mean;
    void* rstd;
    i64 S, C, count;
    double eps, slope;
};
struct ChannelGradSumsArgs {
    const void* dY;
    const void* x;
    const void* gamma;
    const void* beta;
    const void* mean;
    const void* rstd;
    void* sums;
    void* dGamma;
    void* dBeta;
    void* scratch;
    i64 S, C;
    double slope;
};
struct ChannelGradGivenArgs {
    const void* dY;
    const void* x;
    const void* gamma;
    const void* beta;
    const void* mean;
    const void* rstd;
    const void* sums;
    void* dX;
    void* scratch;
    i64 S, C, count;
    double slope;
};
struct TrackStatisticsArgs {
    void* runningMean;
    void* runningVar;
    const void* mean;
    const void* rstd;
    i64 C;
    double momentum, count, eps;
};
}  // namespace cg
