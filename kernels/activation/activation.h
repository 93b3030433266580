// SPDX-License-Identifier: Apache-2.0
// Elementwise activations: y = f(x) and dX = dY f'(x).
//   GELU        x Phi(x) with the exact normal distribution function Phi (torch's default; timm's ViT)
//   LEAKY_RELU  x where x > 0, else alpha x
//   TANH        tanh(x)
//   SWISH       x / (1 + exp(-alpha x)): SiLU for alpha 1, the quick GELU of CLIP for 1.702
// x, y, dY, dX [n] in T, computed in float. dX may alias dY or x.
// About 25 FLOPs an element for GELU, TANH and SWISH, 2 for LEAKY_RELU; backward 3 more. One read and one write;
// backward two reads and one write. Deterministic.
#pragma once
#include "cg/abi.h"
namespace cg {
enum class ActivationKind : i64 { GELU, LEAKY_RELU, TANH, SWISH };
struct ActivationArgs {
    const void* x;
    void* y;
    i64 n;
    ActivationKind kind;
    double alpha;
};
struct ActivationGradArgs {
    const void* x;
    const void* dY;
    void* dX;
    i64 n;
    ActivationKind kind;
    double alpha;
};
}  // namespace cg
