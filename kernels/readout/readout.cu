// SPDX-License-Identifier: Apache-2.0
// A warp computes a vertex, its lanes the features. Floor: bytes of t (and dt) over bandwidth. Versions: only this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kWarps = 4;

template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    read_out(const T* t, const T* w, const float* bias, T* y, i64 V, i64 B, i64 K) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (v >= V) return;
    const int lane = (int)threadIdx.x & 31;
    for (i64 b = 0; b < B; b++) {
        float s = 0;
        for (i64 k = lane; k < K; k += 32) s += to_float(t[(v * B + b) * K + k]) * to_float(w[v * K + k]);
        s = warp_sum(s);
        if (lane == 0) y[b * V + v] = from_float<T>(s + bias[v]);
    }
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    read_out_grad(const T* dY, const T* t, const T* w, T* dt, float* dw, float* dbias, i64 V, i64 B, i64 K) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (v >= V) return;
    const int lane = (int)threadIdx.x & 31;
    if (lane == 0) {
        float s = 0;
        for (i64 b = 0; b < B; b++) s += to_float(dY[b * V + v]);
        dbias[v] = s;
    }
    for (i64 k = lane; k < K; k += 32) {
        const float x = to_float(w[v * K + k]);
        float s = 0;
        for (i64 b = 0; b < B; b++) {
            const float d = to_float(dY[b * V + v]);
            s += d * to_float(t[(v * B + b) * K + k]);
            dt[(v * B + b) * K + k] = from_float<T>(d * x);
        }
        dw[v * K + k] = s;
    }
}

}  // namespace

template <class T>
void readout(const ReadoutArgs& g, Stream s) {
    CG_LAUNCH((read_out<T>), grid(ceil_div(g.V, kWarps)), 32 * kWarps, 0, s, (const T*)g.t, (const T*)g.w,
              (const float*)g.bias, (T*)g.y, g.V, g.B, g.K);
}

template <class T>
void readout_grad(const ReadoutGradArgs& g, Stream s) {
    CG_LAUNCH((read_out_grad<T>), grid(ceil_div(g.V, kWarps)), 32 * kWarps, 0, s, (const T*)g.dY, (const T*)g.t,
              (const T*)g.w, (T*)g.dt, (float*)g.dw, (float*)g.dbias, g.V, g.B, g.K);
}

CG_CUDA(readout, ReadoutArgs)
CG_CUDA(readout_grad, ReadoutGradArgs)

}  // namespace cg::cuda
