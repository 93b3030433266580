// SPDX-License-Identifier: Apache-2.0
// Converts images u8 [B, H, W, 3] to normalised patches y [B, T, 3 P P] in T:  y = (x / 255 - mean_c) / std_c
//   A row of y is a patch; T = (H / P) (W / P) patches in reading order. Within a patch: colour, row, column, the order
//   of a patch embedding's convolution weight [E, 3, P, P]. With planar 0 the colours stay innermost (P = 1: plain
//   normalisation, NHWC).
// 2 FLOPs an element; x read once, y written once. Deterministic.
#pragma once
#include "cg/abi.h"
namespace cg {
struct PatchifyArgs {
    const void* x;
    void* y;
    i64 B, H, W, P, planar;
    double mean[3], std[3];
};
}  // namespace cg
