// SPDX-License-Identifier: Apache-2.0
// Pearson's r over a whole data set, streamed: the moments of each vertex, updated by a batch of images.
//   pred [B, V] (T), target [B, V] (float); rows (int32) [2] = {N, n}: images in the moments before, of this batch the
//   first n state [5, V] (double), in place: means of prediction and target, sums of squared deviations from them, sum
//   of products
// Of the batch, shifted by its first row, so that equal values give exactly 0 and unequal ones more:
//   x_i = pred_i - pred_0, mx = mean x_i, likewise y of the target;  Sxx = sum (x_i - mx)^2, Syy, Sxy
// and merged by the pairwise update of Chan, Golub and LeVeque (1979), d = pred_0 + mx - mean:
//   mean += d n / (N + n);  squares += Sxx + d^2 N n / (N + n);  products += Sxy + d e N n / (N + n), e the target's d
// N = 0 begins anew, whatever the state holds; n = 0 changes nothing else. A value that is not finite makes the moments
// of its vertex so, for good. N comes from the host, which knows it: a count on the device would need a launch of its
// own, as all blocks read it. About 11 FLOPs an element, in double; pred and target read once (n rows), the state read
// and written: 80 bytes a vertex. Deterministic: a vertex' sums are cut by position.
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
