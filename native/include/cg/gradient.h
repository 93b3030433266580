// SPDX-License-Identifier: Apache-2.0
// The gradient of one tensor as an optimizer reads it. Usually it is G. If G is the gradient of W/sigma of a spectrally
// normalised W [n / N, N], the gradient of W is  (G - lambda u v^T) / sigma  with lambda = <G, W> / sigma
// (kernels/spectral_norm). The reader computes it element by element while reading G, so it is never stored.
// Readers: native/cpu/gradient.h and native/cuda/gradient.cuh.
#pragma once
#include "cg/abi.h"
namespace cg {
struct Gradient {
    const void* g;
    const void* u;  // u, v, inv_sigma and lambda are null if the gradient is g itself
    const void* v;
    const void* inv_sigma;
    const void* lambda;
    i64 n;
    i64 N;  // columns of W; n if the gradient is g itself
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
