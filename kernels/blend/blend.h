// SPDX-License-Identifier: Apache-2.0
// x[i] = c[0] x[i] + c[1] y[i] in place: a step of a diffusion model's sampler, and sums over samples.
// x, y [n] and c [2] in float. Where c[0] is 0, x is not read: it may hold anything, NaN too.
// 3 FLOPs an element; two reads, one write. Deterministic: elementwise.
#pragma once
#include "cg/abi.h"
namespace cg {
struct BlendArgs {
    void* x;
    const void* y;
    const void* c;
    i64 n;
};
}  // namespace cg
