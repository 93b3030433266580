// y[c] = scale * sum over r of x[r, c];  x [R, C] in T, y [C] in float, summed in float.
// R C FLOPs, one read of x. Deterministic: parts cut by position, their sums added in order.
#pragma once
#include "cg/abi.h"
namespace cg {
struct SumLeadingArgs {
    const void* x;
    void* y;
    void* scratch;  // C floats a part
    i64 R, C;
    double scale;
};
}  // namespace cg
