// SPDX-License-Identifier: Apache-2.0
// y = a op b elementwise; a, y [n] in T. b [m] is repeated: n is a multiple of m, b[i % m] meets a[i].
//   op 0 add, 1 subtract, 2 multiply, 3 alpha a + beta b;  type_b: Variant of b, T's own or float.
// n FLOPs (3 n for op 3), one read of a and b, one write. Deterministic. y may be a.
#pragma once
#include "cg/abi.h"
namespace cg {
enum BinaryOp : i64 { kAdd = 0, kSub = 1, kMul = 2, kAxpby = 3 };
struct BinaryArgs {
    const void* a;
    const void* b;
    void* y;
    i64 n, m, op, type_b;
    double alpha, beta;
};
}  // namespace cg
