// SPDX-License-Identifier: Apache-2.0
// Functions that a GPU approximates by one instruction. The errors are those of the PTX ISA. The simulation rounds
// correctly, or errs on purpose where a test asks for it (native/sim/approximate.h).
#pragma once

#include "device.cuh"

namespace cg::cuda {

constexpr float kLog2e = 1.44269504088896341f, kLn2 = 0.69314718055994531f;

__device__ inline float approximate(float exact) {
#ifdef CG_SIM
    return sim::approximate(exact);
#else
    return exact;
#endif
}

/// 2^x with a relative error of up to 2^-22; 0 where the result is below 2^-126.
__device__ inline float exp2_fast(float x) {
#if defined(__CUDA_ARCH__)
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return x < -126.f ? 0.f : approximate(std::exp2(x));
#endif
}

/// 1 / x with an error of up to 1 ulp; 0 where the result is below 2^-126.
__device__ inline float reciprocal_fast(float x) {
#if defined(__CUDA_ARCH__)
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return std::fabs(x) > 0x1p126f ? std::copysign(0.f, x) : approximate(1.f / x);
#endif
}

}  // namespace cg::cuda
