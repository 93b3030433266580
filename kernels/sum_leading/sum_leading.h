// SPDX-License-Identifier: Apache-2.0
// y[c] = scale * sum over r of x[r, c];  x [R, C] in T, y [C] in float, summed in float. One kernel sums any number of
// tensors x, a row of the table each.
// R C FLOPs, one read of x. Deterministic: parts depend on positions alone, and their sums are added in order.
#pragma once
#include "cg/abi.h"
namespace cg {
struct SumLeadingRow {
    const void* x;
    void* y;
    i64 R, C;
    double scale;
};
struct SumLeadingArgs {
    void* scratch;  // C floats a part
    const SumLeadingRow* rows;
    i64 n;
};
}  // namespace cg
