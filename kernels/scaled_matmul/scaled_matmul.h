// SPDX-License-Identifier: Apache-2.0
// y[M,N] = scale * scale_a * scale_b * a[M,K] b[N,K]^T + bias[N]; a and b in FP8, k along the rows of both.
//   scale_a and scale_b (float [1]) undo the scales of a and b: the first element of the states of `quantize`.
//   bias [N] and scale [1] (1/sigma of spectral normalisation) are float and may be null.
//   bias16 [N] is bias rounded to bf16, or null. A kernel may read it in place of bias if y is bf16.
// The kernel's variant is the type of y. M, N and K are multiples of 16.
// 2 M N K FLOPs; a and b are read once, y is written once. Sums are float.
#pragma once
#include "cg/abi.h"
#include "cg/fp8.h"
namespace cg {
struct ScaledMatmulArgs {
    void* state;
    const void* a;
    const void* b;
    const void* scale_a;
    const void* scale_b;
    const void* bias;
    const void* bias16;
    const void* scale;
    void* y;
    void* scratch;
    i64 M, N, K;
    Fp8 format_a, format_b;
    Variant type_y;
};
}  // namespace cg
