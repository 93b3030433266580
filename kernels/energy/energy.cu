// SPDX-License-Identifier: Apache-2.0
// A thread computes a row, twice: the sum over its pairs, then the results, for which it reads the row again from the
// first-level cache. Small beside the step.
// Floor: bytes over bandwidth. Versions: only this one; not measured.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 128;

struct Shape {
    i64 rows, C;
    float sigma, eps;
};

template <class T>
__device__ inline float energy_of(const T* x, i64 C, i64 c, float eps) {
    const float a = to_float(x[c]), b = to_float(x[C + c]);
    return sqrtf(fmaf(a, a, fmaf(b, b, eps)));
}

template <class T>
__global__ void __launch_bounds__(kThreads) forward(const T* x, T* y, Shape g) {
    await_inputs();
    const i64 r = (i64)blockIdx.x * kThreads + threadIdx.x;
    if (r >= g.rows) return;
    x += r * 2 * g.C;
    float total = 0;
    if (g.sigma > 0)
        for (i64 c = 0; c < g.C; c++) total += energy_of(x, g.C, c, g.eps);
    const float scale = g.sigma > 0 ? 1.f / (g.sigma + total / (float)g.C) : 1.f;
    for (i64 c = 0; c < g.C; c++) y[r * g.C + c] = from_float<T>(scale * energy_of(x, g.C, c, g.eps));
}

template <class T>
__global__ void __launch_bounds__(kThreads) backward(const T* x, const T* dY, T* dX, Shape g) {
    await_inputs();
    const i64 r = (i64)blockIdx.x * kThreads + threadIdx.x;
    if (r >= g.rows) return;
    x += r * 2 * g.C;
    dY += r * g.C;
    dX += r * 2 * g.C;
    float total = 0, product = 0;
    if (g.sigma > 0)
        for (i64 c = 0; c < g.C; c++) {
            const float e = energy_of(x, g.C, c, g.eps);
            total += e;
            product = fmaf(to_float(dY[c]), e, product);
        }
    const float scale = g.sigma > 0 ? 1.f / (g.sigma + total / (float)g.C) : 1.f;
    const float common = product * scale * scale / (float)g.C;
    for (i64 c = 0; c < g.C; c++) {
        const float d = (to_float(dY[c]) * scale - common) / energy_of(x, g.C, c, g.eps);
        dX[c] = from_float<T>(d * to_float(x[c]));
        dX[g.C + c] = from_float<T>(d * to_float(x[g.C + c]));
    }
}

template <class G>
Shape shape(const G& g) {
    return Shape{g.rows, g.C, (float)g.sigma, (float)g.eps};
}

}  // namespace

template <class T>
void energy(const EnergyArgs& g, Stream s) {
    CG_LAUNCH((forward<T>), grid(ceil_div(g.rows, kThreads)), kThreads, 0, s, (const T*)g.x, (T*)g.y, shape(g));
}

template <class T>
void energy_grad(const EnergyGradArgs& g, Stream s) {
    CG_LAUNCH((backward<T>), grid(ceil_div(g.rows, kThreads)), kThreads, 0, s, (const T*)g.x, (const T*)g.dY, (T*)g.dX,
              shape(g));
}

CG_CUDA(energy, EnergyArgs)
CG_CUDA(energy_grad, EnergyGradArgs)

}  // namespace cg::cuda
