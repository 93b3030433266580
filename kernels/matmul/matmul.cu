// The product of native/cuda/gemm.cuh with a and b as stored. On a GPU cuBLASLt takes this op instead
// (org.cortigan.cuda.CublasLt); this kernel serves the simulation and comparison.
#include "gemm.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

/// Element (row, column) of a stored matrix; BY_K: whether k runs along its rows, side by side in memory.
template <class T, bool BY_K>
struct A {
    static constexpr bool kByK = BY_K;
    const T* p;
    i64 stride;
    __device__ T operator()(i64 m, i64 k) const { return BY_K ? p[m * stride + k] : p[k * stride + m]; }
};
template <class T, bool BY_K>
struct B {
    static constexpr bool kByK = BY_K;
    const T* p;
    i64 stride;
    __device__ T operator()(i64 k, i64 n) const { return BY_K ? p[n * stride + k] : p[k * stride + n]; }
};

template <class T, class Y, bool AK, bool BK>
void run(const MatmulArgs& g, Stream s) {
    const A<T, AK> a = {(const T*)g.a, AK ? g.K : g.M};
    const B<T, BK> b = {(const T*)g.b, BK ? g.K : g.N};
    gemm::run<T>(a, b, (Y*)g.y, g.M, g.N, g.K, g.bias, g.scale, g.scratch, s);
}

template <class T, class Y>
void run(const MatmulArgs& g, Stream s) {
    if (!g.trans_a && g.trans_b) run<T, Y, true, true>(g, s);
    else if (!g.trans_a) run<T, Y, true, false>(g, s);
    else if (g.trans_b) run<T, Y, false, true>(g, s);
    else run<T, Y, false, false>(g, s);
}

}  // namespace

i64 matmul_scratch(const MatmulArgs& g) { return gemm::scratch(g.M, g.N, g.K); }

template <class T>
void matmul(const MatmulArgs& g, Stream s) {
    if (g.type_y == kBf16) run<T, bf16>(g, s);
    else run<T, float>(g, s);
}

CG_CUDA(matmul, MatmulArgs)

}  // namespace cg::cuda
