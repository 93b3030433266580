// SPDX-License-Identifier: Apache-2.0
// The activation functions of the CPU kernels.
// GELU uses erf by Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7): with z = |x| / sqrt(2) and t = 1 / (1 + p z),
// erfc(z) = poly(t) exp(-z^2). The gradient needs exp(-z^2) anyway, so one exponential serves Phi and its density.
#pragma once

#include "activation/activation.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

struct NormalAt {
    vf cdf, e;  // Phi(x), exp(-x^2/2)
};
inline NormalAt normal_at(vf x) {
    vf t = vreciprocal(fma(vabs(x), splat(0.3275911f * 0.70710678118654752f), splat(1.f)));
    vf e = exp2v(x * x * splat(-0.5f * 1.44269504088896341f));
    vf p = splat(1.061405429f);
    p = fma(p, t, splat(-1.453152027f));
    p = fma(p, t, splat(1.421413741f));
    p = fma(p, t, splat(-0.284496736f));
    p = fma(p, t, splat(0.254829592f));
    vf half_erfc = splat(0.5f) * p * t * e;
    return {select(x < vf{}, half_erfc, splat(1.f) - half_erfc), e};
}
inline vf vtanh(vf x) {
    // tanh |x| = (1 - q) / (1 + q), q = exp(-2|x|); below 0.1 the difference cancels: odd Taylor polynomial instead
    vf a = vabs(x), q = vexp(splat(-2.f) * a);
    vf big = (splat(1.f) - q) / (splat(1.f) + q);
    vf s = a * a;
    vf small = a * fma(s, fma(s, fma(s, splat(-17.f / 315), splat(2.f / 15)), splat(-1.f / 3)), splat(1.f));
    vf r = select(a < splat(0.1f), small, big);
    return select(x < vf{}, -r, r);
}

/// 1 / (1 + exp(-x)); the exponent is never positive, so nothing overflows.
inline vf sigmoid(vf x) {
    vf q = vexp(-vabs(x));
    return select(x < vf{}, q, splat(1.f)) / (splat(1.f) + q);
}

/// f(x); for the functions see kernels/activation/activation.h.
template <ActivationKind K>
inline vf activation_value(vf x, vf alpha) {
    if constexpr (K == ActivationKind::GELU) return x * normal_at(x).cdf;
    if constexpr (K == ActivationKind::LEAKY_RELU) return select(x > vf{}, x, alpha * x);
    if constexpr (K == ActivationKind::TANH) return vtanh(x);
    if constexpr (K == ActivationKind::SWISH) return x * sigmoid(alpha * x);
}
/// f'(x).
template <ActivationKind K>
inline vf activation_slope(vf x, vf alpha) {
    if constexpr (K == ActivationKind::GELU) {
        NormalAt n = normal_at(x);
        return fma(x * n.e, splat(0.3989422804014327f), n.cdf);
    }
    if constexpr (K == ActivationKind::LEAKY_RELU) return select(x > vf{}, splat(1.f), alpha);
    if constexpr (K == ActivationKind::TANH) {
        vf t = vtanh(x);
        return splat(1.f) - t * t;
    }
    if constexpr (K == ActivationKind::SWISH) {
        vf s = sigmoid(alpha * x);
        return fma(alpha * x * s, splat(1.f) - s, s);
    }
}

}  // namespace CG_NS
}  // namespace cg
