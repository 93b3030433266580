// y[b, a, c] = x[a, b, c].  x [A, B, C], y [B, A, C] in T. No FLOPs; one read, one write. Deterministic: a copy.
#pragma once
#include "cg/abi.h"
namespace cg {
struct SwapLeadingArgs {
    const void* x;
    void* y;
    i64 A, B, C;
};
}  // namespace cg
