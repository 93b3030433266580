// SPDX-License-Identifier: Apache-2.0
// Gathers columns of x [R, V] for groups of sizes n_g, N members in all; off_g counts the members before group g.
// The result is flat: one dense [R, n_g] matrix per group, group after group.
//   flat[R off_g + r n_g + i] = x[r, index[off_g + i]]
//   dX[r, v] = sum over j = first[v] .. first[v + 1] - 1 of dFlat[place[2 j] + r place[2 j + 1]]
// index [N] int32 in [0, V). first [V + 1] and place [N, 2] int32 invert it: for each time that column v was picked,
// in the order of the groups, place holds the position of its row 0 in flat and the step to the next row.
// x, flat, dX in T; sums in float, in the order of place.
// No FLOPs forward, R N backward; R N elements read, R N or R V written. Deterministic, no atomics.
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
