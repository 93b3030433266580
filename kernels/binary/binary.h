// SPDX-License-Identifier: Apache-2.0
// y = a op b elementwise; a, y [n] in T. b [m] is repeated: n is a multiple of m, b[i % m] meets a[i].
//   ADD: a + b;  MUL: a b;  AXPBY: alpha a + beta b;  type_b: type of b, T's own or float.
// n FLOPs (3 n for AXPBY), one read of a and b, one write. Deterministic. y may be a.
#pragma once
#include "cg/abi.h"
namespace cg {
enum class BinaryOp : i64 { ADD, MUL, AXPBY };
struct BinaryArgs {
    const void* a;
    const void* b;
    void* y;
    i64 n, m;
    BinaryOp op;
    Variant type_b;
    double alpha, beta;
};
}  // namespace cg
