// SPDX-License-Identifier: Apache-2.0
// y = a op b elementwise. a, y [n] in T; b [m] repeats: a[i] meets b[i % m], n is a multiple of m.
//   ADD: a + b;  MUL: a b;  AXPBY: alpha a + beta b
// type_b is the type of b: T or float. y may alias a.
// n FLOPs (3 n for AXPBY), one read of a and b, one write. Deterministic.
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
