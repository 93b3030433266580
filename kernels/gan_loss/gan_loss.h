// SPDX-License-Identifier: Apache-2.0
// Adversarial losses of logits x and their gradient. LSGAN: Mao et al. 2017. BCE: on logits, Goodfellow et al. 2014,
// with the non-saturating generator loss. HINGE: Lim and Ye 2017.
//   DISCRIMINATOR: x [2 n], first n real, then n fake;  loss = (mean L(x_real, 1) + mean L(x_fake, 0)) / 2
//   GENERATOR:     x [n], all fake;                     loss = mean L(x, generator)
//            real            fake            generator
//   LSGAN    (x - 1)^2       x^2             (x - 1)^2
//   BCE      log(1 + e^-x)   log(1 + e^x)    log(1 + e^-x)
//   HINGE    max(0, 1 - x)   max(0, 1 + x)   -x
// x holds G groups of logits, one after another, each as above with its own n. loss, real, fake [G]:
//   total = weight sum_g w_g loss_g;  dX = d total / dx;  real, fake: mean logits (real is 0 for the generator)
// x, dX in T; the others in float, summed in double.
// About 10 FLOPs an element (BCE 40), one read, one write.
// Deterministic: parts depend on positions alone, and their sums are added in order.
#pragma once
#include "cg/abi.h"
namespace cg {
enum class GanKind : i64 { LSGAN, BCE, HINGE };
enum class GanSide : i64 { DISCRIMINATOR, GENERATOR };
struct GanGroup {
    i64 off, n;  // index of the first logit; n as above
    double w;
};
struct GanLossArgs {
    const void* x;
    const void* weight;
    void* total;
    void* loss;
    void* real;
    void* fake;
    void* dX;
    void* scratch;
    const GanGroup* rows;
    i64 n;
    GanKind kind;
    GanSide side;
};
}  // namespace cg
