// SPDX-License-Identifier: Apache-2.0
// Normalises groups of channels, then applies a leaky ReLU (slope 1: none):
//   h = (x - mean) * rstd;  z = h * gamma + beta;  y = z > 0 ? z : slope * z
//   x, y [N, S, C] in T, channels innermost; gamma, beta [C] and mean, rstd [N, G] in float.
//   mean and biased var are over the S * C/G elements of a group, which is C/G neighbouring channels;
//   rstd = 1 / sqrt(var + eps)
//   GroupNorm of a map [B, H, W, C]: N = B, S = H W. BatchNorm: N = 1, S = B H W, G = C.
// Backward, with dz = dY (z > 0 ? 1 : slope) and dh = dz * gamma; z is recomputed from x:
//   dX = rstd * (dh - mean(dh) - h * mean(dh * h)), means over the group
//   dGamma = sum over n, s of dz h;  dBeta = sum over n, s of dz
// Variance: each tile takes two passes (mean, then squared distances), and Chan's formula merges the tiles. Raw sums of
// squares would lose the variance at large offsets.
// Forward reads x twice and writes y; backward reads dY and x twice and writes dX. 8 and 18 FLOPs an element.
// Deterministic: parts are summed in order.
//
// channel_affine is the same with given statistics (evaluation): h = (x - mean) / sqrt(var + eps); mean, var [C] float.
//
// track_statistics keeps exponential averages of channel_norm's statistics, in place, with the unbiased variance as in
// torch:
//   runningMean += momentum (mean - runningMean)
//   runningVar += momentum ((1 / rstd^2 - eps) count / (count - 1) - runningVar)
#pragma once
#include "cg/abi.h"
namespace cg {
struct ChannelNormArgs {
    const void* x;
    const void* gamma;
    const void* beta;
    void* y;
    void* mean;
    void* rstd;
    void* scratch;
    i64 N, S, C, G;
    double eps, slope;
};
struct ChannelNormGradArgs {
    const void* dY;
    const void* x;
    const void* gamma;
    const void* beta;
    const void* mean;
    const void* rstd;
    void* dX;
    void* dGamma;
    void* dBeta;
    void* scratch;
    i64 N, S, C, G;
    double slope;
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
struct TrackStatisticsArgs {
    void* runningMean;
    void* runningVar;
    const void* mean;
    const void* rstd;
    i64 C;
    double momentum, count, eps;
};
}  // namespace cg
