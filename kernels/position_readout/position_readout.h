// SPDX-License-Identifier: Apache-2.0
// Reads maps at one learned point per vertex (Lurz et al. 2021), over L layers:
//   y[b, v] = sum_l,c w[v, l C + c] sum_k q[v, k] x[b, l, pixel[v, k], c] + bias[v]
//   x [B, L, H, W, C], w [V, L C], y [B, V] in T; position [V, 2], bias [V] in float
// Interpolation as torch's grid_sample (bilinear, align_corners false, padding border), position (x, y) in -1..1:
//   px = clamp(((x + 1) W - 1) / 2, 0, W - 1), py likewise; corners k = 0..3 at floor(px) + k % 2, floor(py) + k / 2
//   q[k]: products of the distances to the opposite sides. A NaN position makes its vertex NaN.
// A fixed point is the pixel nearest to it: q = (1, 0, 0, 0) at floor(px + 1/2), floor(py + 1/2); dposition = 0.
// Backward:
//   dw[v, l C + c] = sum_k q[k] s[k],  s[k] = sum_b dY[b, v] x[b, l, pixel[k], c];  dbias[v] = sum_b dY[b, v]
//   dposition[v] = sum_k dq[k]/dposition sum_l,c w s[k], 0 where the point is clamped;  all three in float
//   dX[b, l, p, c] = sum over v and k with pixel[v, k] = p of q[v, k] dY[b, v] w[v, l C + c]  in T
// dX is gathered, not scattered: vertices are sorted by cell floor(py) W + floor(px), and each pixel sums the vertices
// of its four cells, both in a fixed order. No atomics; deterministic.
// Each output of the gradient may be null: it is not computed. x may then be null unless dw or dPosition is wanted, w
// unless dX or dPosition is.
// 10 B V L C FLOPs forward, 18 backward; 2 and 4 if fixed.
// w is read once forward and five times backward; dw is written once.
#pragma once
#include "cg/abi.h"
namespace cg {
struct PositionReadoutArgs {
    const void* x;
    const void* position;
    const void* w;
    const void* bias;
    void* y;
    void* scratch;
    i64 B, L, H, W, C, V, fixed;
};
struct PositionReadoutGradArgs {
    const void* dY;
    const void* x;
    const void* position;
    const void* w;
    void* dX;
    void* dPosition;
    void* dw;
    void* dbias;
    void* scratch;
    i64 B, L, H, W, C, V, fixed;
};
}  // namespace cg
