// SPDX-License-Identifier: Apache-2.0
// Rows put together from pieces: concatenation, slices, zero padding and repetition along an axis are all this.
//   y [outer, width], width = sum of len;  piece i fills len_i columns of row o from src_i[offset_i + o stride_i ...]
//   src null: zeros;  stride 0: the same for every row. Offsets, strides and lengths in elements.
// No FLOPs; every piece is read once and y written once. Deterministic.
#pragma once
#include "cg/abi.h"
namespace cg {
struct AssembleRow {
    const void* src;
    i64 offset, stride, len;
};
struct AssembleArgs {
    void* y;
    i64 outer, width;
    const AssembleRow* rows;
    i64 n;
};
}  // namespace cg
