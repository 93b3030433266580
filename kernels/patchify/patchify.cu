// SPDX-License-Identifier: Apache-2.0
// A block converts one patch. Its bytes go through shared memory, so that reads run along the image's rows and writes
// along the patch's. With planar 0 and P = 1 (plain normalisation) bytes and values share one order, and a thread
// converts one. Versions: only this one.
// Floor: bytes over bandwidth.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

struct Scale {
    float a[3], b[3];  // y = a x + b
};

/// SIDE: the patch size as a constant, so that the compiler turns divisions into multiplications; 0: any size.
template <class T, int SIDE>
__global__ void __launch_bounds__(256) patches(const uint8_t* x, T* y, int H, int W, int side, int planar, Scale s) {
    CG_SHARED(uint8_t, patch);
    const int P = SIDE ? SIDE : side, across = W / P, n = 3 * P * P, ty = (int)blockIdx.x / across,
              tx = (int)blockIdx.x % across;
    const uint8_t* from = x + (((i64)blockIdx.y * H + ty * P) * W + tx * P) * 3;
    for (int i = (int)threadIdx.x; i < n; i += 256) patch[i] = from[(i64)(i / (3 * P)) * W * 3 + i % (3 * P)];
    __syncthreads();
    T* out = y + ((i64)blockIdx.y * gridDim.x + blockIdx.x) * n;
    for (int i = (int)threadIdx.x; i < n; i += 256) {
        const int c = planar ? i / (P * P) : i % 3, at = planar ? i % (P * P) * 3 + c : i;
        out[i] = from_float<T>(s.a[c] * (float)patch[at] + s.b[c]);
    }
}

template <class T>
__global__ void __launch_bounds__(256) normalise(const uint8_t* x, T* y, i64 n, Scale s) {
    const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i < n) y[i] = from_float<T>(s.a[i % 3] * (float)x[i] + s.b[i % 3]);
}

template <class T, int SIDE>
void run(const PatchifyArgs& g, const Scale& k, Stream s) {
    CG_LAUNCH((patches<T, SIDE>), grid((g.H / g.P) * (g.W / g.P), g.B), 256, (size_t)(3 * g.P * g.P), s,
              (const uint8_t*)g.x, (T*)g.y, (int)g.H, (int)g.W, (int)g.P, (int)g.planar, k);
}

}  // namespace

template <class T>
void patchify(const PatchifyArgs& g, Stream s) {
    Scale k;
    for (int c = 0; c < 3; c++) {
        k.a[c] = (float)(1 / (255 * g.std[c]));
        k.b[c] = (float)(-g.mean[c] / g.std[c]);
    }
    const i64 n = g.B * g.H * g.W * 3;
    if (g.P == 1) CG_LAUNCH((normalise<T>), grid(ceil_div(n, 256)), 256, 0, s, (const uint8_t*)g.x, (T*)g.y, n, k);
    else if (g.P == 16) run<T, 16>(g, k, s);
    else if (g.P == 8) run<T, 8>(g, k, s);
    else run<T, 0>(g, k, s);
}

CG_CUDA(patchify, PatchifyArgs)

}  // namespace cg::cuda
