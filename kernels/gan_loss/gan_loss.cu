// Blocks of 256 threads over the logits, their sums in double to scratch; one block adds them in order. Tiny beside the
// step: the floor is two launches. Versions: only this one, not measured on a GPU yet.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256;

i64 blocks_of(i64 n) {
    const i64 b = ceil_div(n, kThreads * 4);
    return b < kBlocks ? b : kBlocks;
}

__device__ inline float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }
__device__ inline float sigmoid(float x) { return x >= 0 ? 1.f / (1.f + expf(-x)) : expf(x) / (1.f + expf(x)); }

/// Loss of a logit and its slope; `up`: whether the logit should be high. gen: the hinge loss of a generator is -x.
__device__ inline float term(float x, i64 kind, bool up, bool gen, float& slope) {
    if (kind == kLsgan) {
        const float d = up ? x - 1.f : x;
        slope = 2 * d;
        return d * d;
    }
    if (kind == kBce) {
        slope = up ? -sigmoid(-x) : sigmoid(x);
        return softplus(up ? -x : x);
    }
    if (gen) {
        slope = -1;
        return -x;
    }
    const float d = up ? 1.f - x : 1.f + x;
    slope = d > 0 ? (up ? -1.f : 1.f) : 0.f;
    return d > 0 ? d : 0.f;
}

/// part [blocks][3]: losses, real logits, fake logits.
template <class T>
__global__ void __launch_bounds__(kThreads) losses(const T* x, const float* weight, T* dX, double* part, i64 n, i64 kind, int gen) {
    __shared__ double room[33];
    const i64 total = gen ? n : 2 * n, step = (i64)gridDim.x * kThreads;
    const double share = (gen ? 1.0 : 0.5) / (double)n;
    const float w = (float)(*weight * share);
    double l = 0, real = 0, fake = 0;
    for (i64 i = (i64)blockIdx.x * kThreads + threadIdx.x; i < total; i += step) {
        const float v = to_float(x[i]);
        const bool is_real = !gen && i < n;
        float slope;
        l += term(v, kind, gen || is_real, gen != 0, slope);
        (is_real ? real : fake) += v;
        dX[i] = from_float<T>(w * slope);
    }
    l = block_sum(l * share, room);
    real = block_sum(real / (double)n, room);
    fake = block_sum(fake / (double)n, room);
    if (threadIdx.x == 0) {
        double* out = part + (i64)blockIdx.x * 3;
        out[0] = l, out[1] = real, out[2] = fake;
    }
}

__global__ void __launch_bounds__(kThreads)
add_up(const double* part, i64 n, const float* weight, float* total, float* loss, float* real, float* fake) {
    __shared__ double room[33];
    double s[3] = {0, 0, 0};
    for (i64 i = threadIdx.x; i < n; i += kThreads)
        for (int k = 0; k < 3; k++) s[k] += part[i * 3 + k];
    for (double& x : s) x = block_sum(x, room);
    if (threadIdx.x != 0) return;
    *total = (float)(*weight * s[0]);
    *loss = (float)s[0];
    *real = (float)s[1];
    *fake = (float)s[2];
}

}  // namespace

i64 gan_loss_scratch(const GanLossArgs& g) { return align_up(blocks_of(2 * g.n) * 24, 256); }

template <class T>
void gan_loss(const GanLossArgs& g, Stream s) {
    const i64 n = blocks_of(g.mode ? g.n : 2 * g.n);
    double* part = (double*)g.scratch;
    const float* w = (const float*)g.weight;
    CG_LAUNCH((losses<T>), grid(n), kThreads, 0, s, (const T*)g.x, w, (T*)g.dX, part, g.n, g.kind, (int)g.mode);
    CG_LAUNCH((add_up), grid(1), kThreads, 0, s, (const double*)part, n, w, (float*)g.total, (float*)g.loss, (float*)g.real, (float*)g.fake);
}

CG_CUDA(gan_loss, GanLossArgs)

}  // namespace cg::cuda
