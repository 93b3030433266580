// SPDX-License-Identifier: Apache-2.0
// y[b] = table[index[b]]: rows picked from a table [N, C] of any type, for data that live beside the engine.
//   index int32 [B]; rows of row_bytes bytes. In the reference, floating-point tables are double and row_bytes is
//   theirs.
// No FLOPs; B rows read and written. Deterministic. An index outside [0, N) is an error.
#pragma once
#include "cg/abi.h"
namespace cg {
struct GatherRowsArgs {
    const void* table;
    const void* index;
    void* y;
    i64 B, N, C, bytes;  // bytes of an element on this device's own storage, 0: the variant's
};
}  // namespace cg
