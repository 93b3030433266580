// SPDX-License-Identifier: Apache-2.0
// How the CUDA kernels read a gradient (cg/gradient.h).
#pragma once

#include "cg/gradient.h"
#include "device.cuh"

namespace cg::cuda {

inline void check(const Gradient& r) {
    CG_CHECK(aligned16(r.g, r.v), "a gradient must lie on 16 bytes");
    CG_CHECK(!r.v || r.n < (1ll << 31), "a spectrally normalised weight of " + std::to_string(r.n) + " numbers");
}

/// A thread's way through a gradient, from element i in equal steps. Its row and column follow by additions: the one
/// division is at the start and in 32 bits (one of 64 is a call, for which registers spill).
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
    /// The four elements from here on.
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
    /// The element here, and on to the one after it.
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
