// SPDX-License-Identifier: Apache-2.0
// Optimizer step over many tensors at once, in place, in torch's order of operations (Kingma and Ba 2015; Loshchilov
// and Hutter 2019):
//   g' = c g with c = min(1, clip / (norm + 1e-6)), 1 where clip is 0
//   decoupled: p *= 1 - lr decay      otherwise: g' += decay p
//   m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2
//   p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   ema = d ema + (1 - d) p with d = min(ema_decay, (1 + t) / (10 + t))    p16 = bf16(p)
// The gradient is corrected while it is read where it belongs to a spectrally normalised weight (cg/gradient.h).
// lr, t (1, 2, ...) and norm (of all gradients, see grad_norm) are one float each, by address. Where norm is infinite
// or NaN nothing is written: one bad batch must not end a run. p, g, m, v, ema float; p16 and ema may be null. About 12
// FLOPs and 28 bytes an element (+ 2 for p16, + 8 for ema), 3 FLOPs more with correction. Deterministic: elementwise.
//
// grad_norm: norm = sqrt(sum of squares over all tensors, corrected ones as they are then), pieces of 4096 in float
// lanes, their totals in double. 2 FLOPs (5 with correction) and 4 bytes an element; parts cut by position and summed
// in order.
//
// Bytes of a spectrally normalised weight's whole update, an element: lambda 8, norm 4, step 28, together 40. Until the
// corrected gradient was no longer stored it was 48: 8 more to read G once more and to write dW.
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
