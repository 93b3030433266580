// SPDX-License-Identifier: Apache-2.0
// y[n, b, a, c] = x[n, a, b, c];  x [N, A, B, C], y [N, B, A, C] in T
// No FLOPs; one read, one write. Deterministic: a copy.
#pragma once
#include "cg/abi.h"
namespace cg {
struct SwapLeadingArgs {
    const void* x;
    void* y;
    i64 A, B, C, N;
};
}  // namespace cg
