// SPDX-License-Identifier: Apache-2.0
// Fused pixel and correlation loss of pred [B, V] (T) against target [B, V] (float), with its gradient:
//   total = w[0] * pixel + w[1] * corr
//   pixel = mean over all elements of |d| (L1), d^2 (MSE) or smooth L1 of d (SMOOTH_L1, beta 1), d = p - t
//   corr = mean over groups of 1 - r. IMAGES: a group is a vertex, r is over the B images. VERTICES: a group is an
//   image, r is over the V vertices.
//   r = <pc, tc> / D,  D = sqrt((|pc|^2 + e) (|tc|^2 + e)),  pc, tc centred over the group
//   e = eps min(s^2, 1),  s^2 = |tc|^2 / n the target's variance over the n elements of the group
//   d(1 - r)/dp = -(tc / D - r pc / (|pc|^2 + e)); its mean over the group is zero without centring
// total, pixel and corr are one float each.
// e follows a target of small variance, so that its r is not damped. It does not follow one of large variance, whose
// prediction begins small: r would be damped until the prediction has grown to the target's scale.
// A group's gradient is at most 2 / (sqrt(eps) min(s, 1)), however flat the prediction; eps 0 leaves it unbounded. If D
// is 0 (a constant target, or eps 0 and a constant prediction), r and its gradient are 0.
// A target that is equal over the group but for the rounding of its mean is constant: one with |tc|^2 <= dust mean^2.
// Versions: e = eps, which left a target of small variance without a loss; this one.
// About 16 B V FLOPs; one read of pred and target, one write of dPred.
// Two passes over a tile that stays in cache, because raw sums of squares lose r altogether at an offset of 1000.
// Deterministic: parts depend on positions alone, and their sums are added in order in double.
//
// Over the images of several ranks, each with B of `images`: pearson_sums gives the sums of a rank,
//   sums [5, V] (double) = sum p, sum t, sum p^2, sum t^2, sum p t over the B images (8 B V FLOPs; one read of pred
//   and target, 40 V bytes written; only this version),
// and pearson_loss (IMAGES) takes those of all ranks, added up. Then corr is that of all images, pixel that of the
// rank's, and dPred the gradient of images / B times the loss of all images, so that the mean of the ranks' gradients
// with respect to a parameter is the gradient. Raw sums are enough in double: an offset of 1000 standard deviations
// costs 6 of its 16 digits.
#pragma once
#include "cg/abi.h"
namespace cg {
enum class PixelKind : i64 { L1, MSE, SMOOTH_L1 };
enum class PearsonAxis : i64 { IMAGES, VERTICES };
// A float sum of n equal numbers is off by at most n 2^-24 of itself; over vertices sums are in double, the mean is
// not.
constexpr double pearson_dust(PearsonAxis axis, i64 n) {
    return axis == PearsonAxis::IMAGES ? 0x1p-48 * (double)n * (double)n * (double)n : 0x1p-46 * (double)n;
}
struct PearsonLossArgs {
    const void* pred;
    const void* target;
    const void* w;
    const void* sums;  // null: those of pred and target
    void* total;
    void* pixel;
    void* corr;
    void* dPred;
    void* scratch;  // two doubles a part
    i64 B, V, images;
    PixelKind kind;
    PearsonAxis axis;
    double eps;
};
struct PearsonSumsArgs {
    const void* pred;
    const void* target;
    void* sums;
    i64 B, V;
};
}  // namespace cg
