// SPDX-License-Identifier: Apache-2.0
// Errors of the functions that a GPU approximates. The simulation computes these functions with correct rounding. A
// test makes them err, to see that a kernel's tolerance does not depend on it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace cg::sim {

/// Most ulps by which an approximate function errs.
inline int approximation_ulps = 0;

/// Moves v by up to approximation_ulps. The error depends on v alone, so that equal arguments give equal results.
inline float approximate(float v) {
    if (approximation_ulps == 0 || !std::isnormal(v)) return v;
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    const uint32_t range = 2 * (uint32_t)approximation_ulps + 1;
    bits += ((bits * 2654435761u) >> 16) % range - (uint32_t)approximation_ulps;
    std::memcpy(&v, &bits, 4);
    return v;
}

}  // namespace cg::sim
