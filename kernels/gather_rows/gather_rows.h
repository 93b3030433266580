// SPDX-License-Identifier: Apache-2.0
// y[b] = table[index[b]]: picks rows of a table [N, C] of any type, for data that the engine does not compute with.
//   index [B] int32. An element has `bytes` bytes. bytes is 0 for floating-point tables: the size is then that of the
//   variant's type (double in the reference).
// No FLOPs; B rows read and written. Deterministic. An index outside [0, N) is an error.
#pragma once
#include "cg/abi.h"
namespace cg {
struct GatherRowsArgs {
    const void* table;
    const void* index;
    void* y;
    i64 B, N, C, bytes;  // bytes of a table element as this device stores it; 0: the variant's size
};
}  // namespace cg
