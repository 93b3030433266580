// SPDX-License-Identifier: Apache-2.0
// Kernels with memory errors for tools/sanitize, which checks that AddressSanitizer names each kernel and its line:
//   overrun 0  writes past the end of device memory      1  reads past it      2  writes past its dynamic shared memory
#include "device.cuh"

namespace {

using namespace cg::cuda;

__global__ void writes_past(float* x, int n) {
    await_inputs();
    x[threadIdx.x + (threadIdx.x == 31 ? n - 31 : 0)] = 1;
}
__global__ void reads_past(const float* x, float* y, int n) {
    await_inputs();
    const float v = x[threadIdx.x + (threadIdx.x == 31 ? n - 31 : 0)];
    y[threadIdx.x] = warp_sum(v);
}
__global__ void leaves_shared(float* y) {
    await_inputs();
    CG_SHARED(float, smem);
    smem[threadIdx.x + 1] = 1;
    __syncthreads();
    y[threadIdx.x] = smem[threadIdx.x];
}

}  // namespace

int main(int, char** args) {
    const int n = 64;
    float *x = new float[n](), *y = new float[n]();
    cg::cuda::Queue queue(nullptr);
    const cg::cuda::Stream s = &queue;
    switch (args[1][0]) {
        case '0': CG_LAUNCH((writes_past), grid(1), 32, 0, s, x, n); break;
        case '1': CG_LAUNCH((reads_past), grid(1), 32, 0, s, (const float*)x, y, n); break;
        default: CG_LAUNCH((leaves_shared), grid(1), 32, 128, s, y); break;
    }
    return 0;
}

namespace cg {
void fail(const char*, int, const char*, const std::string& what) { throw std::runtime_error(what); }
}  // namespace cg
