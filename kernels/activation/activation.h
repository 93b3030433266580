// SPDX-License-Identifier: Apache-2.0
// Elementwise activations y = f(x) and dX = dY f'(x); x, y, dY, dX [n] in T, computed in float.
//   kind 0 GELU x Phi(x) with the exact normal distribution function (torch's default, timm's ViT)
//        1 LeakyReLU, slope alpha   2 ReLU   3 tanh
// One read and one write (backward: two reads). Deterministic. dX may be dY or x.
#pragma once
#include "cg/abi.h"
namespace cg {
enum ActivationKind : i64 { kGelu = 0, kLeakyRelu = 1, kRelu = 2, kTanh = 3 };
struct ActivationArgs {
    const void* x;
    void* y;
    i64 n, kind;
    double alpha;
};
struct ActivationGradArgs {
    const void* x;
    const void* dY;
    void* dX;
    i64 n, kind;
    double alpha;
};
}  // namespace cg
