// SPDX-License-Identifier: Apache-2.0
// cuBLASLt runs this op on a GPU (org.cortigan.cuda.CublasLt). This kernel serves the simulation, comparison, and what
// the library refuses: the product of native/cuda/gemm.cuh on operands widened to bf16, which holds FP8 exactly.
// Versions: only this one.
#include "gemm.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr i64 kFactor = 256;  // bytes of scratch memory for the product of the scales

struct Widened {
    const uint8_t* p;
    i64 K;
    Fp8 format;
    __device__ bf16 at(i64 row, i64 k) const {
        return bf16{(uint16_t)(float_to_bits(fp8::decode(format, p[row * K + k])) >> 16)};
    }
};
struct WidenedA : Widened {
    static constexpr bool along_k = true;
    __device__ bf16 operator()(i64 m, i64 k) const { return at(m, k); }
};
struct WidenedB : Widened {
    static constexpr bool along_k = true;
    __device__ bf16 operator()(i64 k, i64 n) const { return at(n, k); }
};

__global__ void __launch_bounds__(32) multiply_scales(const float* a, const float* b, const float* scale, float* y) {
    await_inputs();
    if (threadIdx.x == 0) *y = *a * *b * (scale ? *scale : 1.f);
}

}  // namespace

i64 scaled_matmul_scratch(const ScaledMatmulArgs& g) { return kFactor + gemm::scratch(g.M, g.N, g.K); }

template <class T>
void scaled_matmul(const ScaledMatmulArgs& g, Stream s) {
    CG_LAUNCH((multiply_scales), grid(1), 32, 0, s, (const float*)g.scale_a, (const float*)g.scale_b,
              (const float*)g.scale, (float*)g.scratch);
    const WidenedA a = {{(const uint8_t*)g.a, g.K, g.format_a}};
    const WidenedB b = {{(const uint8_t*)g.b, g.K, g.format_b}};
    gemm::run<bf16>(a, b, (T*)g.y, g.M, g.N, g.K, g.bias, g.scratch, (char*)g.scratch + kFactor, s);
}

CG_CUDA(scaled_matmul, ScaledMatmulArgs)

}  // namespace cg::cuda
