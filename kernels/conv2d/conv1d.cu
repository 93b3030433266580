// SPDX-License-Identifier: Apache-2.0
// Convolutions over vertices (H = KH = 1), ungrouped or grouped, as products of slices
// (native/cuda/sliced.cuh), with k taps, stride s and padding p:
//                    a                                          m        n        k
//   forward          windows of x, k C from (j s - p) C         b, j     o        tap, c
//   gradient by x    windows of dY, T O from (i - T + 1) O      b, i     r, c     t, o
//   gradient by w    windows of x, the number of the window k   tap, c   o        b, j
// The gradient by x computes the s positions i s - p + r of x (r < s) in one row. They read the same T = ceil(k / s)
// outputs, and the weight has a column for each r and c. Only the first k - s (T - 1) of the s positions have all T
// taps. The weight is packed into scratch, with its taps outside of the channels.
// Layers of one channel read windows that do not begin at multiples of 16 bytes, element by element.
//
// Floors on an H200 (790 TFLOP/s, 4.3 TB/s) for the discriminator with 64, 128 and 256 channels, k 9, s 4 over 39,552
// vertices, in us, for D on 256 rows; the generator's pass takes half of it, without gradients by w:
//                    1 to 64      64 to 128        128 to 256
//   forward          80 (bytes)   118 (93 GFLOP)   118 (93 GFLOP)
//   gradient by x    80 (bytes)   118              118
//   gradient by w    80 (bytes)   118              118
// Both passes of a step: 1.2 ms. Prediction, not measured: 2.4 ms, with products at 350 TFLOP/s (mma.sync reaches about
// 0.62 of the tensor cores' rate, and the loop keeps them busy three quarters of the time) and the first layer at 0.7
// of the bandwidth. SASS on sm_90a, tile 128 x 128, 32 of k: 206 instructions a warp with 64 HMMA, 16 LDSM and 8 LDGSTS
// (by w 288), no division, at most 248 registers, so two blocks a multiprocessor.
//
// Versions:
//   1. native/cuda/gemm.cuh: a division for every element, 2-byte loads, all taps by x (150 to 230 ms predicted).
//   2. Products of slices.
#include "conv1d.cuh"

#include "sliced.cuh"

namespace cg::cuda::conv1d {

namespace {

using sliced::Extent;
using sliced::Job;
using sliced::Slices;
using sliced::SlicesOut;
using sliced::Tiles;

/// A convolution of B rows of n vertices with C channels to m with O.
struct Shape {
    i64 B, n, m, C, O, k, s, p;

    template <class Args>
    explicit Shape(const Args& g) : B(g.B), n(g.W), m(0), C(g.C), O(g.O), k(g.KW), s(g.sw), p(g.pw) {
        m = (n + 2 * p - k) / s + 1;
    }
    explicit Shape(const ScaledConv2dGradXArgs& g) : Shape(g.conv) {}

    /// Most taps that reach a position of x.
    i64 taps() const { return ceil_div(k, s); }
    /// Rows of the gradient by x. All their positions but some of the first and last row lie in x.
    i64 rows_by_x() const { return (n - 1 + p) / s + 1; }
    /// The windows of x.
    template <class T>
    Slices<T> windows(const void* x) const {
        return {(const T*)x, (int)(n * C), (int)m, (int)(s * C), (int)(-p * C), (int)(k * C)};
    }

    Extent forward() const { return {B * m, O, k * C}; }
    Extent grad_x() const { return {B * rows_by_x(), s * C, taps() * O}; }
    Extent grad_w() const { return {k * C, O, B * m}; }
};

template <class Args>
bool takes_shape(const Args& g) {
    if (g.H != 1 || g.KH != 1 || g.ph != 0) return false;
    const Shape s(g);
    const i64 most = sliced::kMost;
    return s.B * (s.n + s.p + s.s) < most && s.B * s.m < most && s.n * s.C < most && s.m * s.O < most &&
           (s.k + s.s + s.p) * std::max(s.C, s.O) < most;
}

bool takes_shape(const ScaledConv2dGradXArgs& g) { return takes_shape(g.conv); }

// The packed weight.
template <class T>
i64 pitch(const Extent& e) {
    return align_up(e.K, kVec<T>);
}
template <class T>
i64 packed_bytes(const Extent& e) {
    return align_up(e.N * pitch<T>(e) * (i64)sizeof(T), 256);
}

template <class T>
struct Pack {
    const T* w;  // [O][C][k]
    T* to;       // [N][pitch]
    int C, O, k, s, N, pitch;
    __host__ __device__ i64 size() const { return (i64)N * pitch; }
};
constexpr int kPacks = 128;

/// Row o, column (tap, c). BY_X: row (r, c), column (t, o), with tap r + s (T - 1 - t).
template <class T, bool BY_X>
__global__ void __launch_bounds__(256) pack_weights(const Rows<Pack<T>, kPacks> __grid_constant__ packs) {
    await_inputs();
    int block;
    const Pack<T>& g = packs.row[packs.find((int)blockIdx.x, block)];
    const i64 i = (i64)block * 256 + threadIdx.x;
    if (i >= g.size()) return;
    const int row = (int)quotient(i, g.pitch), column = (int)(i - (i64)row * g.pitch);
    const int inner = BY_X ? g.O : g.C, outer = column / inner, in = column - outer * inner;
    int tap = outer, o = row, c = in;
    if (BY_X) {
        const int r = row / g.C;
        tap = r + g.s * ((g.k + g.s - 1) / g.s - 1 - outer);
        o = in;
        c = row - r * g.C;
    }
    // The last columns fill a row to its pitch.
    g.to[i] = tap >= 0 && tap < g.k ? g.w[((i64)o * g.C + c) * g.k + tap] : T{};
}

const void* weight(const Conv2dArgs& g) { return g.w; }
const void* weight(const ScaledConv2dGradXArgs& g) { return g.conv.w; }

/// Packs the weights of all problems into scratch and moves `scratch` behind them. Returns where they are.
template <class T, bool BY_X, class G>
std::vector<T*> pack(const G* rows, i64 n, Extent (Shape::*extent)() const, char*& scratch, Stream st) {
    std::vector<Pack<T>> packs;
    std::vector<T*> at;
    for (i64 i = 0; i < n; i++) {
        const Shape s(rows[i]);
        const Extent e = (s.*extent)();
        at.push_back((T*)scratch);
        packs.push_back(
            {(const T*)weight(rows[i]), at.back(), (int)s.C, (int)s.O, (int)s.k, (int)s.s, (int)e.N, (int)pitch<T>(e)});
        scratch += packed_bytes<T>(e);
    }
    for_rows<kPacks>(
        packs.data(), n, [](const Pack<T>& g) { return ceil_div(g.size(), 256); },
        [&](const Rows<Pack<T>, kPacks>& t, i64 blocks, i64) {
            CG_LAUNCH((pack_weights<T, BY_X>), grid(blocks), 256, 0, st, t);
        });
    return at;
}

/// dW [O, C, k] from the product's [tap, c] [o].
struct WeightOut {
    using Type = float;
    static constexpr bool kWide = false;
    float* p;
    int C, k;

    __device__ float* row(int m, bool in) const {
        const int tap = m / C;
        return in ? p + (i64)(m - tap * C) * k + tap : nullptr;
    }
    __device__ bool has(float* row, int) const { return row; }
    __device__ float* at(float* row, int n) const { return row + (i64)n * C * k; }
    bool wide(i64) const { return false; }
};

template <class G>
auto extents(const G* rows, Extent (Shape::*extent)() const) {
    return [=](i64 i) { return (Shape(rows[i]).*extent)(); };
}
/// Whether slices of so many channels begin at multiples of 16 bytes.
template <class T, class G>
bool all_chunks(const G* rows, i64 n, i64 Shape::* channels) {
    return std::all_of(rows, rows + n, [&](const G& g) { return Shape(g).*channels % kVec<T> == 0; });
}

/// Calls f(configuration) with the tile for the widest of the problems. Windows read element by element are those of
/// layers with few channels, which need no tile of 128.
template <class T, class E, class F>
auto with_config(i64 n, E&& extent, bool chunks, F&& f) {
    i64 N = 0;
    for (i64 i = 0; i < n; i++) N = std::max(N, extent(i).N);
    if (N <= Tiles<T>::Narrow::BN) return f(typename Tiles<T>::Narrow{});
    if (N <= Tiles<T>::Quarter::BN && chunks) return f(typename Tiles<T>::Quarter{});
    if (N <= Tiles<T>::Half::BN || !chunks) return f(typename Tiles<T>::Half{});
    return f(typename Tiles<T>::Wide{});
}
template <bool A_CHUNKS, bool B_CHUNKS>
using ByW = sliced::Form<false, false, A_CHUNKS, B_CHUNKS>;
/// Calls f(configuration, form) for gradients by w. A layer of one channel has few rows, a logit of each vertex has one
/// column; other widths that are no multiple of 16 bytes are rare.
template <class T, class F>
auto with_config_by_w(const Conv2dGradWArgs* rows, i64 n, F&& f) {
    const auto e = extents(rows, &Shape::grad_w);
    const bool a = all_chunks<T>(rows, n, &Shape::C), b = all_chunks<T>(rows, n, &Shape::O);
    i64 M = 0, N = 0;
    for (i64 i = 0; i < n; i++) M = std::max(M, e(i).M), N = std::max(N, e(i).N);
    if (M <= Tiles<T>::Flat::BM)
        return b ? f(typename Tiles<T>::Flat{}, ByW<false, true>{}) : f(typename Tiles<T>::Flat{}, ByW<false, false>{});
    if (a && b) return with_config<T>(n, e, true, [&](auto c) { return f(c, ByW<true, true>{}); });
    if (a && N <= Tiles<T>::Narrow::BN) return f(typename Tiles<T>::Narrow{}, ByW<true, false>{});
    return f(typename Tiles<T>::Half{}, ByW<false, false>{});
}
template <bool A_CHUNKS>
using ByRows = sliced::Form<true, true, A_CHUNKS, true>;

/// Scratch of products with packed weights.
template <class T, class G>
i64 scratch_by_rows(const G* rows, i64 n, Extent (Shape::*extent)() const, i64 Shape::* channels) {
    const auto e = extents(rows, extent);
    i64 bytes = with_config<T>(n, e, all_chunks<T>(rows, n, channels),
                               [&](auto c) { return sliced::scratch<decltype(c)>(n, e); });
    for (i64 i = 0; i < n; i++) bytes += packed_bytes<T>(e(i));
    return bytes;
}
template <class T>
using RowJobs = std::vector<Job<T, SlicesOut<T>>>;
template <class T>
void run_by_rows(const RowJobs<T>& jobs, bool chunks, void* scratch, Stream st) {
    const auto extent = [&](i64 i) { return Extent{jobs[i].M, jobs[i].N, jobs[i].K}; };
    with_config<T>((i64)jobs.size(), extent, chunks, [&](auto c) {
        if (chunks) sliced::run<decltype(c), ByRows<true>>(jobs, scratch, st);
        else if constexpr (c.BN == 16 || c.BN == 64) sliced::run<decltype(c), ByRows<false>>(jobs, scratch, st);
    });
}

template <class T>
i64 scratch_of(const Conv2dArgs* rows, i64 n) {
    return scratch_by_rows<T>(rows, n, &Shape::forward, &Shape::C);
}
template <class T>
i64 scratch_of(const ScaledConv2dGradXArgs* rows, i64 n) {
    return scratch_by_rows<T>(rows, n, &Shape::grad_x, &Shape::O);
}
template <class T>
i64 scratch_of(const Conv2dGradWArgs* rows, i64 n) {
    return with_config_by_w<T>(
        rows, n, [&](auto c, auto) { return sliced::scratch<decltype(c)>(n, extents(rows, &Shape::grad_w)); });
}

template <class T>
void run_rows(const Conv2dArgs* rows, i64 n, void* scratch, Stream st) {
    char* rest = (char*)scratch;
    const std::vector<T*> w = pack<T, false>(rows, n, &Shape::forward, rest, st);
    RowJobs<T> jobs;
    for (i64 i = 0; i < n; i++) {
        const Conv2dArgs& g = rows[i];
        const Shape s(g);
        const Extent e = s.forward();
        jobs.push_back(sliced::job(s.windows<T>(g.x), sliced::matrix<T>(w[i], e.N, pitch<T>(e)),
                                   sliced::matrix_out<T>(g.y, s.m, s.O), e, g.bias, g.scale));
    }
    run_by_rows<T>(jobs, all_chunks<T>(rows, n, &Shape::C), rest, st);
}

template <class T>
void run_rows(const ScaledConv2dGradXArgs* rows, i64 n, void* scratch, Stream st) {
    char* rest = (char*)scratch;
    const std::vector<T*> w = pack<T, true>(rows, n, &Shape::grad_x, rest, st);
    const bool chunks = all_chunks<T>(rows, n, &Shape::O);
    RowJobs<T> jobs;
    for (i64 i = 0; i < n; i++) {
        const Conv2dGradXArgs& g = rows[i].conv;
        const Shape s(g);
        const Extent e = s.grad_x();
        const int count = (int)s.rows_by_x();
        const Slices<T> dY = {(const T*)g.dY, (int)(s.m * s.O), count, (int)s.O, (int)((1 - s.taps()) * s.O), (int)e.K};
        const SlicesOut<T> dX = {(T*)g.dX, (int)(s.n * s.C), count, (int)e.N, (int)(-s.p * s.C)};
        auto j = sliced::job(dY, sliced::matrix<T>(w[i], e.N, pitch<T>(e)), dX, e, nullptr, rows[i].scale);
        if (chunks) {
            j.late = (int)((s.k - s.s * (s.taps() - 1)) * s.C);
            j.skip = (int)s.O;
        }
        jobs.push_back(j);
    }
    run_by_rows<T>(jobs, chunks, rest, st);
}

template <class T>
void run_rows(const Conv2dGradWArgs* rows, i64 n, void* scratch, Stream st) {
    std::vector<Job<T, WeightOut>> jobs;
    for (i64 i = 0; i < n; i++) {
        const Conv2dGradWArgs& g = rows[i];
        const Shape s(g);
        const Slices<T> dY = {(const T*)g.dY, (int)(s.m * s.O), (int)s.m, (int)s.O, 0, (int)s.O};
        jobs.push_back(sliced::job(s.windows<T>(g.x), dY, WeightOut{(float*)g.dW, (int)s.C, (int)s.k}, s.grad_w(),
                                   nullptr, nullptr));
    }
    with_config_by_w<T>(rows, n,
                        [&](auto c, auto form) { sliced::run<decltype(c), decltype(form)>(jobs, scratch, st); });
}

/// Whether the addresses suit copies of 16 bytes.
bool aligned(const Conv2dArgs& g) { return aligned16(g.x); }
bool aligned(const ScaledConv2dGradXArgs& g) { return aligned16(g.conv.dY); }
bool aligned(const Conv2dGradWArgs& g) { return aligned16(g.x, g.dY); }
template <class T, class G>
bool reads_chunks(const G* rows, i64 n) {
    if constexpr (std::is_same_v<G, Conv2dArgs>) return all_chunks<T>(rows, n, &Shape::C);
    else if constexpr (std::is_same_v<G, ScaledConv2dGradXArgs>) return all_chunks<T>(rows, n, &Shape::O);
    else return all_chunks<T>(rows, n, &Shape::C) || all_chunks<T>(rows, n, &Shape::O);
}

/// Calls f(rows, number of rows) for the arguments of one convolution or of many.
template <class F>
auto with_rows(const Conv2dGradXArgs& g, F&& f) {
    const ScaledConv2dGradXArgs row = {g, nullptr};
    return f(&row, (i64)1);
}
template <class Args, class F>
auto with_rows(const Args& g, F&& f) {
    if constexpr (std::is_same_v<Args, Conv2dArgs> || std::is_same_v<Args, Conv2dGradWArgs>) return f(&g, (i64)1);
    else return f(g.rows, g.n);
}

Variant type_of(const ScaledConv2dGradXArgs& g) { return g.conv.type; }
template <class G>
Variant type_of(const G& g) {
    return g.type;
}
/// Calls f with a value of the rows' type.
template <class G, class F>
auto with_type(const G* rows, F&& f) {
    return type_of(rows[0]) == Variant::BF16 ? f(bf16{}) : f(float{});
}
template <class G>
bool takes_shapes(const G* rows, i64 n) {
    return std::all_of(rows, rows + n, [](const G& g) { return takes_shape(g); });
}

}  // namespace

template <class Args>
bool takes(const Args& g) {
    return with_rows(g, [](auto rows, i64 n) {
        if (!takes_shapes(rows, n)) return false;
        const bool chunks = with_type(rows, [&](auto t) { return reads_chunks<decltype(t)>(rows, n); });
        return !chunks || std::all_of(rows, rows + n, [](auto& r) { return aligned(r); });
    });
}
template <class Args>
i64 scratch(const Args& g) {
    return with_rows(g, [](auto rows, i64 n) -> i64 {
        if (!takes_shapes(rows, n)) return 0;
        return with_type(rows, [&](auto t) { return scratch_of<decltype(t)>(rows, n); });
    });
}
template <class Args>
void run(const Args& g, Stream s) {
    with_rows(
        g, [&](auto rows, i64 n) { with_type(rows, [&](auto t) { run_rows<decltype(t)>(rows, n, g.scratch, s); }); });
}

#define CG_ARGS(A)                     \
    template bool takes<A>(const A&);  \
    template i64 scratch<A>(const A&); \
    template void run<A>(const A&, Stream);
CG_ARGS(Conv2dArgs)
CG_ARGS(Conv2dGradXArgs)
CG_ARGS(Conv2dGradWArgs)
CG_ARGS(GroupedConv2dArgs)
CG_ARGS(GroupedConv2dGradXArgs)
CG_ARGS(GroupedConv2dGradWArgs)
#undef CG_ARGS

}  // namespace cg::cuda::conv1d
