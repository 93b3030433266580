// SPDX-License-Identifier: Apache-2.0
// The product of native/cuda/gemm.cuh with a and b as stored. cuBLASLt runs this op on a GPU
// (org.cortigan.cuda.CublasLt); this kernel serves the simulation and comparison.
// linear_grad, on a GPU also cuBLASLt's, is here a product and sum_leading.
// The grouped product always runs here: the tiles of all groups form one grid, up to 128 groups at once, so no group's
// product waits for another's. Regions seldom have a multiple of 8 vertices, so their first layers are read element by
// element: 64 loads of 2 bytes a thread for 128 x 64 x 32, which L1 serves at about 110 TFLOP/s (predicted, not
// measured).
//
// Floor: the larger of FLOPs over the peak rate and bytes over bandwidth.
// Versions of the grouped product:
//   1. Tiles of 64 x 64, loads of 2 bytes, no pipeline (25 to 45 TFLOP/s in bf16 predicted).
//   2. Implementation "slices", native/cuda/sliced.cuh.
#include "gemm.cuh"
#include "kernels_all.h"
#include "sliced.cuh"

namespace cg::cuda {

namespace {

/// Reads an element of a stored matrix.
template <class T>
struct A {
    const T* p;
    i64 stride;    // elements of a stored row
    bool along_k;  // rows hold neighbours in k, not in m
    __device__ T operator()(i64 m, i64 k) const { return along_k ? p[m * stride + k] : p[k * stride + m]; }
};
template <class T>
struct B {
    const T* p;
    i64 stride;
    bool along_k;
    __device__ T operator()(i64 k, i64 n) const { return along_k ? p[n * stride + k] : p[k * stride + n]; }
};

/// Elements of a stored row.
i64 row_of_a(const MatmulArgs& g) { return g.trans_a ? g.M : g.K; }
i64 row_of_b(const MatmulArgs& g) { return g.trans_b ? g.K : g.N; }

auto extents(const GroupedMatmulArgs& g) {
    return [&g](i64 i) { return gemm::Extent{g.rows[i].M, g.rows[i].N, g.rows[i].K}; };
}

template <class T, class Y>
void run(const GroupedMatmulArgs& g, Stream s) {
    gemm::run_groups<T>(
        g.n, extents(g),
        [&](i64 i) {
            const MatmulArgs& r = g.rows[i];
            return gemm::Job<Y, A<T>, B<T>>{{(const T*)r.a, row_of_a(r), !r.trans_a},
                                            {(const T*)r.b, row_of_b(r), !!r.trans_b},
                                            (Y*)r.y,
                                            {0, 0, 0, (const float*)r.bias, (const float*)r.scale, 0, nullptr}};
        },
        g.scratch, s);
}

}  // namespace

i64 matmul_scratch(const MatmulArgs& g) { return gemm::scratch(g.M, g.N, g.K); }

template <class T>
void grouped_matmul_any(const GroupedMatmulArgs& g, Stream s) {
    if (g.rows[0].type_y == Variant::BF16) run<T, bf16>(g, s);
    else run<T, float>(g, s);
}

template <class T>
void matmul(const MatmulArgs& g, Stream s) {
    grouped_matmul_any<T>({nullptr, g.scratch, &g, 1}, s);
}

template <class T>
void sum_leading(const SumLeadingArgs&, Stream);
i64 sum_leading_scratch(const SumLeadingArgs&);

namespace {

SumLeadingRow sums_of(const LinearGradArgs& g) { return {g.dY, g.db, g.K, g.M, 1}; }

MatmulArgs product_of(const LinearGradArgs& g) {
    MatmulArgs p = {};
    p.a = g.dY, p.b = g.x, p.y = g.dW, p.scratch = g.scratch;
    p.M = g.M, p.N = g.N, p.K = g.K, p.trans_a = 1;
    p.type_a = p.type_b = g.type, p.type_y = Variant::F32;
    return p;
}

}  // namespace

i64 linear_grad_scratch(const LinearGradArgs& g) {
    const SumLeadingRow r = sums_of(g);
    const i64 a = gemm::scratch(g.M, g.N, g.K), b = sum_leading_scratch({nullptr, &r, 1});
    return a > b ? a : b;  // the two kernels share it, one after the other
}

template <class T>
void linear_grad(const LinearGradArgs& g, Stream s) {
    const SumLeadingRow r = sums_of(g);
    sum_leading<T>({g.scratch, &r, 1}, s);
    matmul<T>(product_of(g), s);
}

// Grouped products by native/cuda/sliced.cuh.
namespace {

namespace slices {

using sliced::Extent;
using sliced::Job;
using sliced::SlicesOut;
using sliced::Tiles;

Extent extent(const MatmulArgs& g) { return {g.M, g.N, g.K}; }

/// Whether copies of 16 bytes can read all rows. Regions seldom have a multiple of 8 vertices.
template <class T>
bool chunks(const GroupedMatmulArgs& g) {
    return std::all_of(g.rows, g.rows + g.n,
                       [](const MatmulArgs& r) { return (row_of_a(r) | row_of_b(r)) % kVec<T> == 0; });
}
/// What a discriminator's forward and backward pass need, with offsets that fit 32 bits.
template <class T>
bool takes_shapes(const GroupedMatmulArgs& g) {
    const MatmulArgs& r = g.rows[0];
    const bool half = r.type_y == Variant::BF16, like = half == std::is_same_v<T, bf16>;
    const bool form = r.trans_a ? !r.trans_b && !half : !r.trans_b || like;
    return form && std::all_of(g.rows, g.rows + g.n, [](const MatmulArgs& r) {
               return std::max({r.M * r.K, r.K * r.N, r.M * r.N}) < sliced::kMost;
           });
}
template <class T>
bool takes(const GroupedMatmulArgs& g) {
    return takes_shapes<T>(g) && (!chunks<T>(g) || std::all_of(g.rows, g.rows + g.n, [](const MatmulArgs& r) {
               return aligned16(r.a, r.b);
           }));
}

/// Calls f(configuration) with the tile for the widest of the problems.
template <class T, class F>
auto with_config(const GroupedMatmulArgs& g, F&& f) {
    using Half = typename Tiles<T>::Half;
    const bool wide = std::any_of(g.rows, g.rows + g.n, [](const MatmulArgs& r) { return r.N > Half::BN; });
    return wide && chunks<T>(g) ? f(typename Tiles<T>::Wide{}) : f(Half{});
}

template <class T>
i64 scratch(const GroupedMatmulArgs& g) {
    if (!takes_shapes<T>(g)) return 0;
    return with_config<T>(
        g, [&](auto c) { return sliced::scratch<decltype(c)>(g.n, [&](i64 i) { return extent(g.rows[i]); }); });
}

template <class T, class Y, bool A_ALONG_K, bool B_ALONG_K>
void run(const GroupedMatmulArgs& g, Stream s) {
    std::vector<Job<T, SlicesOut<Y>>> jobs;
    for (i64 i = 0; i < g.n; i++) {
        const MatmulArgs& r = g.rows[i];
        jobs.push_back(sliced::job(sliced::matrix<T>(r.a, r.M * r.K / row_of_a(r), row_of_a(r)),
                                   sliced::matrix<T>(r.b, r.K * r.N / row_of_b(r), row_of_b(r)),
                                   sliced::matrix_out<Y>(r.y, r.M, r.N), extent(r), r.bias, r.scale));
    }
    with_config<T>(g, [&](auto c) {
        using C = decltype(c);
        if (chunks<T>(g)) return sliced::run<C, sliced::Form<A_ALONG_K, B_ALONG_K, true, true>>(jobs, g.scratch, s);
        if constexpr (std::is_same_v<C, typename Tiles<T>::Half>)
            sliced::run<C, sliced::Form<A_ALONG_K, B_ALONG_K, false, false>>(jobs, g.scratch, s);
    });
}

template <class T>
void run(const GroupedMatmulArgs& g, Stream s) {
    const MatmulArgs& r = g.rows[0];
    if (r.trans_a) run<T, float, false, false>(g, s);
    else if (r.trans_b) run<T, T, true, true>(g, s);
    else if (r.type_y == Variant::F32) run<T, float, true, false>(g, s);
    else run<T, T, true, false>(g, s);
}

}  // namespace slices

}  // namespace

i64 grouped_matmul_scratch(const GroupedMatmulArgs& g) {
    const i64 slices = g.rows[0].type_a == Variant::BF16 ? slices::scratch<bf16>(g) : slices::scratch<float>(g);
    return std::max(slices, gemm::group_scratch(g.n, extents(g)));
}

CG_SHARED_PRODUCTS(template)

CG_CUDA(matmul, MatmulArgs)
CG_CUDA(linear_grad, LinearGradArgs)
#define CG_LIST(T)                                                                                    \
    CG_IMPLEMENTATIONS(grouped_matmul, T,                                                             \
                       implementation<GroupedMatmulArgs, slices::run<T>, slices::takes<T>>("slices"), \
                       implementation<GroupedMatmulArgs, grouped_matmul_any<T>>("any"))
CG_LIST(float)
CG_LIST(bf16)

}  // namespace cg::cuda
