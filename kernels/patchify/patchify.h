// SPDX-License-Identifier: Apache-2.0
// Photographs u8 [B, H, W, 3] to normalised values y [B, T, 3 P P] in T, one row a patch, T = (H / P) (W / P) patches
// in reading order, inside a patch colour, row, column: what a patch embedding's convolution weight [E, 3, P, P]
// multiplies.
//   y = (x / 255 - mean_c) / std_c;   with planar 0 the colours stay innermost (P = 1: plain normalisation, NHWC).
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
