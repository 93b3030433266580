// SPDX-License-Identifier: Apache-2.0
// The gradient of one tensor as an optimizer reads it: G itself or, where G is the gradient of W/sigma of a spectrally
// normalised W [n / N, N], that of W:  (G - lambda u v^T) / sigma  with lambda = <G, W> / sigma
// (kernels/spectral_norm). It is made of what is at hand while G is read, element by element, so that it is never
// stored. native/cpu/gradient.h and native/cuda/gradient.cuh read it.
#pragma once
#include "cg/abi.h"
namespace cg {
struct Gradient {
    const void* g;
    const void* u;  // this and the next three null: g itself
    const void* v;
    const void* inv_sigma;
    const void* lambda;
    i64 n;
    i64 N;  // n without correction
};

namespace ref {
inline double gradient(const Gradient& r, i64 i) {
    const double g = ((const double*)r.g)[i];
    if (!r.v) return g;
    return (g - *(const double*)r.lambda * ((const double*)r.u)[i / r.N] * ((const double*)r.v)[i % r.N]) *
           *(const double*)r.inv_sigma;
}
}  // namespace ref
}  // namespace cg
