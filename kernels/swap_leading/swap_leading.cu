// SPDX-License-Identifier: Apache-2.0
// A thread copies one element of the output (16 bytes where C allows). Neighbouring threads write neighbouring
// elements, and read them too within a row of C. Small beside the step. Versions: only this one.
// Floor: bytes over bandwidth.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

template <class W>
__global__ void __launch_bounds__(256) swap(const W* x, W* y, i64 A, i64 B, i64 C, i64 N) {
    const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= N * A * B * C) return;
    const i64 c = i % C, a = i / C % A, b = i / C / A % B, n = i / C / A / B;
    y[i] = x[((n * A + a) * B + b) * C + c];
}

template <class W>
void run(const SwapLeadingArgs& g, i64 C, Stream s) {
    CG_LAUNCH((swap<W>), grid(ceil_div(g.N * g.A * g.B * C, 256)), 256, 0, s, (const W*)g.x, (W*)g.y, g.A, g.B, C, g.N);
}

}  // namespace

template <class T>
void swap_leading(const SwapLeadingArgs& g, Stream s) {
    if (g.C % kVec<T> == 0 && aligned16(g.x) && aligned16(g.y)) run<int4>(g, g.C / kVec<T>, s);
    else run<T>(g, g.C, s);
}

CG_CUDA(swap_leading, SwapLeadingArgs)

}  // namespace cg::cuda
