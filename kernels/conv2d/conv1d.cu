// SPDX-License-Identifier: Apache-2.0
// Convolutions over vertices (H = KH = 1) in bf16, ungrouped or grouped, as products of slices
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
// (by w 297), no division, at most 242 registers, so two blocks a multiprocessor.
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
    Slices windows(const void* x) const {
        return {(const bf16*)x, (int)(n * C), (int)m, (int)(s * C), (int)(-p * C), (int)(k * C)};
    }

    Extent forward() const { return {B * m, O, k * C}; }
    Extent grad_x() const { return {B * rows_by_x(), s * C, taps() * O}; }
    Extent grad_w() const { return {k * C, O, B * m}; }
};

template <class Args>
bool takes_shape(const Args& g) {
    if (g.type != Variant::BF16 || g.H != 1 || g.KH != 1 || g.ph != 0) return false;
    const Shape s(g);
    const i64 most = sliced::kMost;
    return s.B * (s.n + s.p + s.s) < most && s.B * s.m < most && s.n * s.C < most && s.m * s.O < most &&
           (s.k + s.s + s.p) * std::max(s.C, s.O) < most;
}

bool takes_shape(const ScaledConv2dGradXArgs& g) { return takes_shape(g.conv); }

// The packed weight.
i64 pitch(const Extent& e) { return align_up(e.K, 8); }
i64 packed_bytes(const Extent& e) { return align_up(e.N * pitch(e) * 2, 256); }

struct Pack {
    const bf16* w;  // [O][C][k]
    bf16* to;       // [N][pitch]
    int C, O, k, s, N, pitch;
    __host__ __device__ i64 size() const { return (i64)N * pitch; }
};
constexpr int kPacks = 128;

/// Row o, column (tap, c). BY_X: row (r, c), column (t, o), with tap r + s (T - 1 - t).
template <bool BY_X>
__global__ void __launch_bounds__(256) pack_weights(const Rows<Pack, kPacks> __grid_constant__ packs) {
    int block;
    const Pack& g = packs.row[packs.find((int)blockIdx.x, block)];
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
    g.to[i] = tap >= 0 && tap < g.k ? g.w[((i64)o * g.C + c) * g.k + tap] : bf16{0};
}

const void* weight(const Conv2dArgs& g) { return g.w; }
const void* weight(const ScaledConv2dGradXArgs& g) { return g.conv.w; }

/// Packs the weights of all problems into scratch and moves `scratch` behind them. Returns where they are.
template <bool BY_X, class G>
std::vector<bf16*> pack(const G* rows, i64 n, Extent (Shape::*extent)() const, char*& scratch, Stream st) {
    std::vector<Pack> packs;
    std::vector<bf16*> at;
    for (i64 i = 0; i < n; i++) {
        const Shape s(rows[i]);
        const Extent e = (s.*extent)();
        at.push_back((bf16*)scratch);
        packs.push_back(
            {(const bf16*)weight(rows[i]), at.back(), (int)s.C, (int)s.O, (int)s.k, (int)s.s, (int)e.N, (int)pitch(e)});
        scratch += packed_bytes(e);
    }
    for_rows<kPacks>(
        packs.data(), n, [](const Pack& g) { return ceil_div(g.size(), 256); },
        [&](const Rows<Pack, kPacks>& t, i64 blocks, i64) {
            CG_LAUNCH((pack_weights<BY_X>), grid(blocks), 256, 0, st, t);
        });
    return at;
}

/// dW [O, C, k] from the product's [tap, c] [o].
struct WeightOut {
    static constexpr bool kWide = false;
    float* p;
    int C, k;

    __device__ float* row(int m) const {
        const int tap = m / C;
        return p + (i64)(m - tap * C) * k + tap;
    }
    __device__ void store(float* row, int n, float v) const { row[(i64)n * C * k] = v; }
    bool wide(i64) const { return false; }
};

template <class G>
auto extents(const G* rows, Extent (Shape::*extent)() const) {
    return [=](i64 i) { return (Shape(rows[i]).*extent)(); };
}
template <class G>
bool all_chunks(const G* rows, i64 n, i64 Shape::* channels) {
    bool all = true;
    for (i64 i = 0; i < n; i++) all = all && Shape(rows[i]).*channels % 8 == 0;
    return all;
}

/// Calls f(configuration) with the tile for the widest of the problems. Windows read element by element are those of
/// layers with few channels, which need no tile of 128.
template <class E, class F>
auto with_config(i64 n, E&& extent, bool chunks, F&& f) {
    i64 N = 0;
    for (i64 i = 0; i < n; i++) N = std::max(N, extent(i).N);
    if (N <= sliced::Narrow::BN) return f(sliced::Narrow{});
    if (N <= sliced::Quarter::BN && chunks) return f(sliced::Quarter{});
    if (N <= sliced::Half::BN || !chunks) return f(sliced::Half{});
    return f(sliced::Wide{});
}
template <bool A_CHUNKS, bool B_CHUNKS>
using ByW = sliced::Form<false, false, A_CHUNKS, B_CHUNKS>;
/// Calls f(configuration, form) for gradients by w. A layer of one channel has few rows, a logit of each vertex has one
/// column; other widths that are no multiple of 8 are rare.
template <class F>
auto with_config_by_w(const Conv2dGradWArgs* rows, i64 n, F&& f) {
    const auto e = extents(rows, &Shape::grad_w);
    const bool a = all_chunks(rows, n, &Shape::C), b = all_chunks(rows, n, &Shape::O);
    i64 M = 0, N = 0;
    for (i64 i = 0; i < n; i++) M = std::max(M, e(i).M), N = std::max(N, e(i).N);
    if (M <= sliced::Flat::BM)
        return b ? f(sliced::Flat{}, ByW<false, true>{}) : f(sliced::Flat{}, ByW<false, false>{});
    if (a && b) return with_config(n, e, true, [&](auto c) { return f(c, ByW<true, true>{}); });
    if (a && N <= sliced::Narrow::BN) return f(sliced::Narrow{}, ByW<true, false>{});
    return f(sliced::Half{}, ByW<false, false>{});
}
template <bool A_CHUNKS>
using ByRows = sliced::Form<true, true, A_CHUNKS, true>;

/// Scratch of products with packed weights.
template <class G>
i64 scratch_by_rows(const G* rows, i64 n, Extent (Shape::*extent)() const, i64 Shape::* channels) {
    const auto e = extents(rows, extent);
    i64 bytes =
        with_config(n, e, all_chunks(rows, n, channels), [&](auto c) { return sliced::scratch<decltype(c)>(n, e); });
    for (i64 i = 0; i < n; i++) bytes += packed_bytes(e(i));
    return bytes;
}
template <class Out>
void run_by_rows(const std::vector<Job<Out>>& jobs, bool chunks, void* scratch, Stream st) {
    with_config((i64)jobs.size(), [&](i64 i) { return Extent{jobs[i].M, jobs[i].N, jobs[i].K}; }, chunks,
                [&](auto c) {
                    if (chunks) sliced::run<decltype(c), ByRows<true>>(jobs, scratch, st);
                    else if constexpr (c.BN == 16 || c.BN == 64)
                        sliced::run<decltype(c), ByRows<false>>(jobs, scratch, st);
                });
}

/// Whether the addresses suit the copies of 16 bytes that the channels allow.
bool aligned(const Conv2dArgs& g) { return g.C % 8 || aligned16(g.x); }
bool aligned(const ScaledConv2dGradXArgs& g) { return g.conv.O % 8 || aligned16(g.conv.dY); }
bool aligned(const Conv2dGradWArgs& g) { return (g.C % 8 || aligned16(g.x)) && (g.O % 8 || aligned16(g.dY)); }

i64 scratch_of(const Conv2dArgs* rows, i64 n) { return scratch_by_rows(rows, n, &Shape::forward, &Shape::C); }
i64 scratch_of(const ScaledConv2dGradXArgs* rows, i64 n) { return scratch_by_rows(rows, n, &Shape::grad_x, &Shape::O); }
i64 scratch_of(const Conv2dGradWArgs* rows, i64 n) {
    return with_config_by_w(
        rows, n, [&](auto c, auto) { return sliced::scratch<decltype(c)>(n, extents(rows, &Shape::grad_w)); });
}

void run_rows(const Conv2dArgs* rows, i64 n, void* scratch, Stream st) {
    char* rest = (char*)scratch;
    const std::vector<bf16*> w = pack<false>(rows, n, &Shape::forward, rest, st);
    std::vector<Job<SlicesOut<bf16>>> jobs;
    for (i64 i = 0; i < n; i++) {
        const Conv2dArgs& g = rows[i];
        const Shape s(g);
        const Extent e = s.forward();
        const auto y = sliced::matrix_out<bf16>(g.y, s.m, s.O);
        jobs.push_back(sliced::job(s.windows(g.x), sliced::matrix(w[i], e.N, pitch(e)), y, e, g.bias, g.scale));
    }
    run_by_rows(jobs, all_chunks(rows, n, &Shape::C), rest, st);
}

void run_rows(const ScaledConv2dGradXArgs* rows, i64 n, void* scratch, Stream st) {
    char* rest = (char*)scratch;
    const std::vector<bf16*> w = pack<true>(rows, n, &Shape::grad_x, rest, st);
    std::vector<Job<SlicesOut<bf16>>> jobs;
    for (i64 i = 0; i < n; i++) {
        const Conv2dGradXArgs& g = rows[i].conv;
        const Shape s(g);
        const Extent e = s.grad_x();
        const int count = (int)s.rows_by_x();
        const Slices dY = {(const bf16*)g.dY, (int)(s.m * s.O), count, (int)s.O, (int)((1 - s.taps()) * s.O), (int)e.K};
        const SlicesOut<bf16> dX = {(bf16*)g.dX, (int)(s.n * s.C), count, (int)e.N, (int)(-s.p * s.C)};
        auto j = sliced::job(dY, sliced::matrix(w[i], e.N, pitch(e)), dX, e, nullptr, rows[i].scale);
        if (s.O % 8 == 0) {
            j.late = (int)((s.k - s.s * (s.taps() - 1)) * s.C);
            j.skip = (int)s.O;
        }
        jobs.push_back(j);
    }
    run_by_rows(jobs, all_chunks(rows, n, &Shape::O), rest, st);
}

void run_rows(const Conv2dGradWArgs* rows, i64 n, void* scratch, Stream st) {
    std::vector<Job<WeightOut>> jobs;
    for (i64 i = 0; i < n; i++) {
        const Conv2dGradWArgs& g = rows[i];
        const Shape s(g);
        const Slices dY = {(const bf16*)g.dY, (int)(s.m * s.O), (int)s.m, (int)s.O, 0, (int)s.O};
        jobs.push_back(
            sliced::job(s.windows(g.x), dY, WeightOut{(float*)g.dW, (int)s.C, (int)s.k}, s.grad_w(), nullptr, nullptr));
    }
    with_config_by_w(rows, n, [&](auto c, auto form) { sliced::run<decltype(c), decltype(form)>(jobs, scratch, st); });
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

}  // namespace

template <class Args>
bool takes(const Args& g) {
    return with_rows(g, [](auto rows, i64 n) {
        return std::all_of(rows, rows + n, [](auto& r) { return takes_shape(r) && aligned(r); });
    });
}
template <class Args>
i64 scratch(const Args& g) {
    return with_rows(g, [](auto rows, i64 n) {
        return std::all_of(rows, rows + n, [](auto& r) { return takes_shape(r); }) ? scratch_of(rows, n) : 0;
    });
}
template <class Args>
void run(const Args& g, Stream s) {
    with_rows(g, [&](auto rows, i64 n) { run_rows(rows, n, g.scratch, s); });
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
