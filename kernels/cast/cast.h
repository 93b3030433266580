// SPDX-License-Identifier: Apache-2.0
// y = x in another type: float to bf16 (to nearest, ties to even) or bf16 to float. x, y [n].
// No FLOPs, one read, one write. The kernel's own type is that of x. Deterministic.
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
