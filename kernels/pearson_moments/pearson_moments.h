// SPDX-License-Identifier: Apache-2.0
// Streams Pearson's r over a data set: updates the moments of each vertex by a batch of images.
//   pred [B, V] (T), target [B, V] (float)
//   rows [2] (int32) = {N, n}: the moments hold N images already; the first n images of this batch are added
//   state [5, V] (double), in place: means of prediction and target, sums of squared deviations of both, sum of
//   products
// Moments of the batch, shifted by its first row, so that a constant vertex gets exactly 0 and any other more than 0:
//   x_i = pred_i - pred_0, mx = mean x_i, likewise y of the target;  Sxx = sum (x_i - mx)^2, Syy, Sxy
// Merged by the pairwise update of Chan, Golub and LeVeque (1979), with d = pred_0 + mx - mean and e the target's d:
//   mean += d n / (N + n);  squares += Sxx + d^2 N n / (N + n);  products += Sxy + d e N n / (N + n)
// N = 0 starts anew and ignores the old state; n = 0 changes nothing else. A value that is not finite makes the moments
// of its vertex not finite for good. The host passes N: a count on the device would need a launch of its own, because
// all blocks read it.
// About 11 FLOPs an element, in double. n rows of pred and target are read once; the state is read and written, 80
// bytes a vertex. Deterministic: a vertex's sums are split by position.
#pragma once
#include "cg/abi.h"
namespace cg {
struct PearsonMomentsArgs {
    const void* pred;
    const void* target;
    const void* rows;
    void* state;
    i64 B, V;
};
}  // namespace cg
