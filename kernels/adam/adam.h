// SPDX-License-Identifier: Apache-2.0
// One optimizer step for many tensors, in place, in torch's order of operations (Kingma and Ba 2015; Loshchilov and
// Hutter 2019):
//   g' = c g with c = min(1, clip / (norm + 1e-6)); c = 1 if clip is 0
//   decoupled: p *= 1 - lr decay      otherwise: g' += decay p
//   m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2
//   p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   ema = d ema + (1 - d) p with d = min(ema_decay, (1 + t) / (10 + t))    p16 = bf16(p)
// p, g, m, v, ema in float; p16 and ema may be null. lr, t (1, 2, ...) and norm (of all gradients, see grad_norm) are
// addresses of one float each. A row's lr is lr times its rate.
// The gradient of a spectrally normalised weight is corrected while it is read (cg/gradient.h).
// If norm is infinite or NaN, the step writes nothing: one bad batch must not end a run.
// About 12 FLOPs and 28 bytes an element (2 more with p16, 8 more with ema), 3 FLOPs more with the correction.
// Deterministic: elementwise.
//
// grad_norm: norm = sqrt(sum of squares over all tensors), of corrected gradients where a correction applies.
// Pieces of 4096 elements on the CPU and 8192 in CUDA are summed in float lanes, the pieces' totals in double.
// 2 FLOPs (5 with the correction) and 4 bytes an element. Deterministic: parts depend on positions alone and are summed
// in order.
//
// A whole update of a spectrally normalised weight moves 40 bytes an element: lambda 8, norm 4, step 28. The earlier
// version stored the corrected gradient and moved 48: 8 more to read G again and to write dW.
#pragma once
#include "cg/gradient.h"
namespace cg {
struct AdamRow {
    void* p;
    Gradient gradient;
    void* m;
    void* v;
    void* p16;
    void* ema;
    double decay;
    double rate;
};
struct AdamArgs {
    const void* lr;
    const void* t;
    const void* norm;
    double beta1, beta2, eps, clip, ema_decay;
    i64 decoupled;
    const AdamRow* rows;
    i64 n;
};
struct GradNormArgs {
    void* norm;
    void* scratch;  // a double a part
    const Gradient* rows;
    i64 n;
};
}  // namespace cg
