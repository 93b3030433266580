// SPDX-License-Identifier: Apache-2.0
// The activation functions of the double references.
#pragma once

#include <cmath>

#include "activation/activation.h"

namespace cg::ref {

/// f(x).
inline double activation_value(ActivationKind kind, double x, double alpha) {
    switch (kind) {
        case ActivationKind::GELU: return 0.5 * x * std::erfc(-x * M_SQRT1_2);
        case ActivationKind::LEAKY_RELU: return x > 0 ? x : alpha * x;
        case ActivationKind::TANH: return std::tanh(x);
        case ActivationKind::SWISH: return x / (1 + std::exp(-alpha * x));
    }
    CG_CHECK(false, "unknown activation");
}

/// f'(x).
inline double activation_slope(ActivationKind kind, double x, double alpha) {
    switch (kind) {
        case ActivationKind::GELU:
            return 0.5 * std::erfc(-x * M_SQRT1_2) + x * std::exp(-0.5 * x * x) * 0.3989422804014327;
        case ActivationKind::LEAKY_RELU: return x > 0 ? 1 : alpha;
        case ActivationKind::TANH: return 1 - std::tanh(x) * std::tanh(x);
        case ActivationKind::SWISH: {
            const double s = 1 / (1 + std::exp(-alpha * x));
            return s + alpha * x * s * (1 - s);
        }
    }
    CG_CHECK(false, "unknown activation");
}

}  // namespace cg::ref
