// SPDX-License-Identifier: Apache-2.0
// Columns of x [R, V] picked for groups of sizes n_g with N members in all, off_g the members before group g. The
// result is flat, group after group, each a dense [R, n_g]:
//   flat[R off_g + r n_g + i] = x[r, index[off_g + i]]
//   dX[r, v] = sum over the places j = first[v] .. first[v + 1] - 1 of dFlat[place[2 j] + r place[2 j + 1]]
// index [N] in [0, V), first [V + 1] and place [N, 2] int32: where row 0 of a column went and the step to the next row,
// for every time that the column was picked, in the order of the groups. x, flat, dX in T; sums in float, in that
// order. No FLOPs forward, R N backward; R N elements read, R N or R V written. Deterministic, no atomics.
#pragma once
#include "cg/abi.h"
namespace cg {
struct GatherGroup {
    i64 off, n;
};
struct GatherGroupsArgs {
    const void* x;
    const void* index;
    void* flat;
    const GatherGroup* rows;
    i64 n;
    i64 R, V;
};
struct GatherGroupsGradArgs {
    const void* dFlat;
    const void* first;
    const void* place;
    void* dX;
    i64 R, V;
};
}  // namespace cg
