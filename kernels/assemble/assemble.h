// SPDX-License-Identifier: Apache-2.0
// Builds rows from pieces: concatenation, slices, zero padding and repetition along an axis.
//   y [outer, width], width = sum of len_i;  piece i fills len_i columns of row o from src_i[offset_i + o stride_i ...]
//   src null: zeros;  stride 0: every row gets the same elements. Offsets, strides and lengths count elements.
// No FLOPs; each piece is read once and y written once. Deterministic.
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
