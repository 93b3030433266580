// SPDX-License-Identifier: Apache-2.0
// y = x in another type: float to bf16 (to nearest, ties to even) or bf16 to float. x, y [n].
// The kernel's variant is the type of x. No FLOPs, one read, one write. Deterministic.
#pragma once
#include "cg/abi.h"
namespace cg {
struct CastArgs {
    const void* x;
    void* y;
    i64 n;
    Variant type_y;
};
}  // namespace cg
