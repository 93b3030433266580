// SPDX-License-Identifier: Apache-2.0
// Blocks of 256 threads sum the logits of a group in double to scratch. One block then adds these sums in a fixed
// order, group after group, and then the groups (up to 512 at once).
// Floor: two launches; tiny beside the step. Versions: only this one.
#include <vector>

#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256, kGroups = 512;

i64 blocks_of(i64 n) {
    const i64 b = ceil_div(n, kThreads * 4);
    return b < kBlocks ? b : kBlocks;
}

__device__ inline float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }
__device__ inline float sigmoid(float x) { return x >= 0 ? 1.f / (1.f + expf(-x)) : expf(x) / (1.f + expf(x)); }

/// Loss of a logit and its slope. up: the target is "real". gen: the hinge loss of a generator is -x.
__device__ inline float term(float x, GanKind kind, bool up, bool gen, float& slope) {
    if (kind == GanKind::LSGAN) {
        const float d = up ? x - 1.f : x;
        slope = 2 * d;
        return d * d;
    }
    if (kind == GanKind::BCE) {
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

struct Group {
    i64 off, n;
    double w;
    double* part;  // [blocks][3]: losses, real logits, fake logits
    i64 blocks;
};

template <class T>
__global__ void __launch_bounds__(kThreads) losses(const Rows<Group, kGroups> __grid_constant__ groups, const T* all,
                                                   const float* weight, T* dAll, GanKind kind, bool gen) {
    await_inputs();
    __shared__ double smem[33];
    int block;
    const Group& g = groups.row[groups.find((int)blockIdx.x, block)];
    const T* x = all + g.off;
    T* dX = dAll + g.off;
    const i64 n = g.n, total = gen ? n : 2 * n, step = g.blocks * kThreads;
    const double share = (gen ? 1.0 : 0.5) / (double)n;
    const float w = (float)(*weight * g.w * share);
    double l = 0, real = 0, fake = 0;
    for (i64 i = (i64)block * kThreads + threadIdx.x; i < total; i += step) {
        const float v = to_float(x[i]);
        const bool is_real = !gen && i < n;
        float slope;
        l += term(v, kind, gen || is_real, gen, slope);
        (is_real ? real : fake) += v;
        dX[i] = from_float<T>(w * slope);
    }
    l = block_sum(l * share, smem);
    real = block_sum(real / (double)n, smem);
    fake = block_sum(fake / (double)n, smem);
    if (threadIdx.x == 0) {
        double* out = g.part + (i64)block * 3;
        out[0] = l, out[1] = real, out[2] = fake;
    }
}

/// Losses of the groups from `first` on. sums [all groups] keeps the weighted losses; the last of several calls adds
/// them up to the total.
__global__ void __launch_bounds__(kThreads)
    add_up(const Rows<Group, kGroups> __grid_constant__ groups, i64 first, i64 all, double* sums, const float* weight,
           float* total, float* loss, float* real, float* fake) {
    await_inputs();
    __shared__ double smem[33];
    for (int g = 0; g < groups.n; g++) {
        const Group& r = groups.row[g];
        double s[3] = {0, 0, 0};
        for (i64 i = threadIdx.x; i < r.blocks; i += kThreads)
            for (int k = 0; k < 3; k++) s[k] += r.part[i * 3 + k];
        for (double& x : s) x = block_sum(x, smem);
        if (threadIdx.x != 0) continue;
        loss[first + g] = (float)s[0];
        real[first + g] = (float)s[1];
        fake[first + g] = (float)s[2];
        sums[first + g] = r.w * s[0];
    }
    if (threadIdx.x != 0 || first + groups.n < all) return;
    double t = 0;
    for (i64 g = 0; g < all; g++) t += sums[g];
    *total = (float)(*weight * t);
}

i64 blocks_of(const GanLossArgs& a, const GanGroup& g) {
    return blocks_of(a.side == GanSide::GENERATOR ? g.n : 2 * g.n);
}

}  // namespace

i64 gan_loss_scratch(const GanLossArgs& a) {
    i64 doubles = a.n;
    for (i64 g = 0; g < a.n; g++) doubles += 3 * blocks_of(a, a.rows[g]);
    return align_up(doubles * 8, 256);
}

template <class T>
void gan_loss(const GanLossArgs& a, Stream s) {
    double *sums = (double*)a.scratch, *part = sums + a.n;
    std::vector<Group> groups;
    for (i64 g = 0; g < a.n; g++) {
        const i64 blocks = blocks_of(a, a.rows[g]);
        groups.push_back(Group{a.rows[g].off, a.rows[g].n, a.rows[g].w, part, blocks});
        part += 3 * blocks;
    }
    const float* w = (const float*)a.weight;
    for_rows<kGroups>(
        groups.data(), a.n, [](const Group& g) { return g.blocks; },
        [&](const Rows<Group, kGroups>& t, i64 blocks, i64 first) {
            CG_LAUNCH((losses<T>), grid(blocks), kThreads, 0, s, t, (const T*)a.x, w, (T*)a.dX, a.kind,
                      a.side == GanSide::GENERATOR);
            CG_LAUNCH((add_up), grid(1), kThreads, 0, s, t, first, a.n, sums, w, (float*)a.total, (float*)a.loss,
                      (float*)a.real, (float*)a.fake);
        });
}

CG_CUDA(gan_loss, GanLossArgs)

}  // namespace cg::cuda
