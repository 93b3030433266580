// SPDX-License-Identifier: Apache-2.0
// The noisy samples of a diffusion model and what it learns of them (Ho et al. 2020; Salimans and Ho 2022):
//   x[b, i] = a x0[b, i] + s n[b, i],  target[b, i] = p x0[b, i] + q n[b, i]  with (a, s, p, q) = table[t[b]]
// x0, n, x, target [B, V] and table [T, 4] in float, t [B] int32. x and target may alias x0 and n.
// A t outside [0, T) is an error. 6 FLOPs an element; two reads, two writes. Deterministic: elementwise.
#pragma once
#include "cg/abi.h"
namespace cg {
struct DiffuseArgs {
    const void* x0;
    const void* noise;
    const void* t;
    const void* table;
    void* x;
    void* target;
    i64 B, V, T;
};
}  // namespace cg
