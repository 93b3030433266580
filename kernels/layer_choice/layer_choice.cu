// SPDX-License-Identifier: Apache-2.0
// A warp computes a vertex, its lanes the features. Every lane computes the softmax of the few logits itself.
// Floor: bytes over bandwidth. Versions: only this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kWarps = 4;

__device__ inline void softmax(const float* a, i64 L, float& max_a, float& inv) {
    max_a = a[0];
    for (i64 l = 1; l < L; l++) max_a = a[l] > max_a ? a[l] : max_a;
    float sum = 0;
    for (i64 l = 0; l < L; l++) sum += expf(a[l] - max_a);
    inv = 1.f / sum;
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps) choose(const float* as, const float* f, T* w, i64 V, i64 L, i64 C) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (v >= V) return;
    const float* a = as + v * L;
    float max_a, inv;
    softmax(a, L, max_a, inv);
    for (i64 l = 0; l < L; l++) {
        const float p = expf(a[l] - max_a) * inv;
        for (i64 c = threadIdx.x & 31; c < C; c += 32) w[(v * L + l) * C + c] = from_float<T>(p * f[v * C + c]);
    }
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    choose_grad(const T* dW, const float* as, const float* f, float* da, float* df, i64 V, i64 L, i64 C) {
    await_inputs();
    const i64 v = (i64)blockIdx.x * kWarps + threadIdx.x / 32;
    if (v >= V) return;
    const int lane = (int)threadIdx.x & 31;
    const float* a = as + v * L;
    float max_a, inv, mean = 0;
    softmax(a, L, max_a, inv);
    for (i64 l = 0; l < L; l++) {
        const float p = expf(a[l] - max_a) * inv;
        float t = 0;
        for (i64 c = lane; c < C; c += 32) {
            const float d = to_float(dW[(v * L + l) * C + c]);
            t += d * f[v * C + c];
            df[v * C + c] = l == 0 ? p * d : df[v * C + c] + p * d;
        }
        t = warp_sum(t);
        mean += p * t;
        if (lane == 0) da[v * L + l] = t;
    }
    if (lane == 0)  // this lane wrote da
        for (i64 l = 0; l < L; l++) da[v * L + l] = expf(a[l] - max_a) * inv * (da[v * L + l] - mean);
}

}  // namespace

template <class T>
void layer_choice(const LayerChoiceArgs& g, Stream s) {
    CG_LAUNCH((choose<T>), grid(ceil_div(g.V, kWarps)), 32 * kWarps, 0, s, (const float*)g.a, (const float*)g.f,
              (T*)g.w, g.V, g.L, g.C);
}

template <class T>
void layer_choice_grad(const LayerChoiceGradArgs& g, Stream s) {
    CG_LAUNCH((choose_grad<T>), grid(ceil_div(g.V, kWarps)), 32 * kWarps, 0, s, (const T*)g.dW, (const float*)g.a,
              (const float*)g.f, (float*)g.da, (float*)g.df, g.V, g.L, g.C);
}

CG_CUDA(layer_choice, LayerChoiceArgs)
CG_CUDA(layer_choice_grad, LayerChoiceGradArgs)

}  // namespace cg::cuda
