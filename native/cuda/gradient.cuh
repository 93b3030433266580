// SPDX-License-Identifier: Apache-2.0
// Reads a gradient in CUDA kernels (cg/gradient.h).
#pragma once

#include "cg/gradient.h"
#include "device.cuh"

namespace cg::cuda {

inline void check(const Gradient& r) {
    CG_CHECK(aligned16(r.g, r.v), "addresses of gradients must be multiples of 16 bytes");
    CG_CHECK(!r.v || r.n < (1ll << 31),
             "a spectrally normalised weight has " + std::to_string(r.n) + " elements, must have fewer than 2^31");
}

/// A thread's walk through a gradient, from element i in equal steps. Row and column advance by additions. The only
/// division is at the start, in 32 bits, because a 64-bit division is a call that spills registers.
class GradientWalk {
  public:
    __device__ GradientWalk(const Gradient& r, i64 i, int step)
        : g_((const float*)r.g + i), u_((const float*)r.u), v_((const float*)r.v), step_(step) {
        if (!v_) return;
        lambda_ = *(const float*)r.lambda, scale_ = *(const float*)r.inv_sigma;
        N_ = (uint32_t)r.N;
        row_ = (uint32_t)i / N_, column_ = (uint32_t)i % N_;
        rows_ = (uint32_t)step / N_, columns_ = (uint32_t)step % N_;
    }
    /// Returns the next four elements without advancing.
    __device__ void four(float (&x)[4]) const {
        if (v_ && (N_ & 3)) {
            GradientWalk w = *this;
#pragma unroll
            for (int k = 0; k < 4; k++) x[k] = w.one();
            return;
        }
        load_vec(g_, x);
        if (!v_) return;
        float y[4];
        load_vec(v_ + column_, y);
        const float c = -lambda_ * u_[row_];
#pragma unroll
        for (int k = 0; k < 4; k++) x[k] = (x[k] + c * y[k]) * scale_;
    }
    __device__ void next() {
        g_ += step_;
        row_ += rows_, column_ += columns_;
        if (column_ >= N_) column_ -= N_, row_++;
    }
    /// Returns the current element and advances by one.
    __device__ float one() {
        float x = *g_++;
        if (!v_) return x;
        x = (x + -lambda_ * u_[row_] * v_[column_]) * scale_;
        if (++column_ == N_) column_ = 0, row_++;
        return x;
    }

  private:
    const float *g_, *u_, *v_;
    int step_;
    float lambda_ = 0, scale_ = 1;
    uint32_t N_ = 1, row_ = 0, column_ = 0, rows_ = 0, columns_ = 0;
};

}  // namespace cg::cuda
