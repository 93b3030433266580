// SPDX-License-Identifier: Apache-2.0
// Convolutions as implicit matrix products (native/cuda/gemm.cuh), including 1-D ones over vertices (H = 1) with any
// stride:
//                    m            n          k
//   forward          b, i, j      o          p, q, c
//   gradient by x    b, r, s      c          p, q, o
//   gradient by w    o            c, p, q    b, i, j
// Implementation "any". cuDNN runs plain 2-D convolutions where it is installed (org.cortigan.cuda.Cudnn), and
// conv1d.cu, implementation "slices", convolutions over vertices. Grouped convolutions put the tiles of all
// groups into one grid. Versions: see gemm.cuh. Floor: the larger of FLOPs over the peak rate and bytes over bandwidth.
#include "conv1d.cuh"
#include "gemm.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

struct Shape {
    int B, H, W, C, O, KH, KW, sh, sw, ph, pw, OH, OW;
    // Every element asks for its place. A division costs about 20 instructions, and conversions among them.
    gemm::Divisor by_C, by_O, by_KW, by_taps, by_W, by_H, by_OW, by_OH, by_sh, by_sw;
};

template <class Args>
Shape shape(const Args& g) {
    const auto by = &gemm::Divisor::by;
    const i64 OH = (g.H + 2 * g.ph - g.KH) / g.sh + 1, OW = (g.W + 2 * g.pw - g.KW) / g.sw + 1;
    return {(int)g.B,        (int)g.H,  (int)g.W,  (int)g.C, (int)g.O, (int)g.KH, (int)g.KW, (int)g.sh,
            (int)g.sw,       (int)g.ph, (int)g.pw, (int)OH,  (int)OW,  by(g.C),   by(g.O),   by(g.KW),
            by(g.KH * g.KW), by(g.W),   by(g.H),   by(OW),   by(OH),   by(g.sh),  by(g.sw)};
}

/// x at output position `at` (b, i, j) and tap (p, q), channel c.
template <class T>
__device__ inline T input(const T* x, const Shape& s, int at, int p, int q, int c) {
    int j = at, i = s.by_OW.split(j);
    const int b = s.by_OH.split(i), r = i * s.sh + p - s.ph, col = j * s.sw + q - s.pw;
    if (r < 0 || r >= s.H || col < 0 || col >= s.W) return T{};
    return x[(((i64)b * s.H + r) * s.W + col) * s.C + c];
}

template <class T>
struct ForwardA {
    static constexpr bool along_k = true;
    const T* x;
    Shape s;
    __device__ T operator()(i64 m, i64 k) const {
        int c = (int)k, q = s.by_C.split(c);
        const int p = s.by_KW.split(q);
        return input(x, s, (int)m, p, q, c);
    }
};
template <class T>
struct ForwardB {
    static constexpr bool along_k = true;
    const T* w;
    Shape s;
    __device__ T operator()(i64 k, i64 n) const {
        int c = (int)k;
        const int tap = s.by_C.split(c);
        return w[(n * s.C + c) * s.KH * s.KW + tap];
    }
};
template <class T>
struct ByXA {
    static constexpr bool along_k = true;
    const T* dY;
    Shape s;
    __device__ T operator()(i64 m, i64 k) const {
        int o = (int)k, q = s.by_O.split(o), col = (int)m, row = s.by_W.split(col);
        const int p = s.by_KW.split(q), b = s.by_H.split(row);
        col += s.pw - q;
        row += s.ph - p;
        if (row < 0 || col < 0) return T{};
        const int i = s.by_sh.split(row), j = s.by_sw.split(col);
        if (row || col || i >= s.OH || j >= s.OW) return T{};
        return dY[(((i64)b * s.OH + i) * s.OW + j) * s.O + o];
    }
};
template <class T>
struct ByXB {
    static constexpr bool along_k = false;
    const T* w;
    Shape s;
    __device__ T operator()(i64 k, i64 n) const {
        int o = (int)k;
        const int tap = s.by_O.split(o);
        return w[((i64)o * s.C + n) * s.KH * s.KW + tap];
    }
};
template <class T>
struct ByWA {
    static constexpr bool along_k = false;
    const T* dY;
    Shape s;
    __device__ T operator()(i64 m, i64 k) const { return dY[k * s.O + m]; }
};
template <class T>
struct ByWB {
    static constexpr bool along_k = false;
    const T* x;
    Shape s;
    __device__ T operator()(i64 k, i64 n) const {
        int q = (int)n;
        const int c = s.by_taps.split(q), p = s.by_KW.split(q);
        return input(x, s, (int)k, p, q, c);
    }
};

i64 taps(const Shape& s, i64 channels) { return channels * s.KH * s.KW; }
i64 outputs(const Shape& s) { return (i64)s.B * s.OH * s.OW; }
i64 inputs(const Shape& s) { return (i64)s.B * s.H * s.W; }

}  // namespace

i64 conv2d_scratch(const Conv2dArgs& g) {
    const Shape s = shape(g);
    return std::max(conv1d::scratch(g), gemm::scratch(outputs(s), s.O, taps(s, s.C)));
}

template <class T>
void conv2d_any(const Conv2dArgs& g, Stream st) {
    const Shape s = shape(g);
    gemm::run<T>(ForwardA<T>{(const T*)g.x, s}, ForwardB<T>{(const T*)g.w, s}, (T*)g.y, outputs(s), s.O, taps(s, s.C),
                 g.bias, g.scale, g.scratch, st);
}

i64 conv2d_grad_x_scratch(const Conv2dGradXArgs& g) {
    const Shape s = shape(g);
    return std::max(conv1d::scratch(g), gemm::scratch(inputs(s), s.C, taps(s, s.O)));
}

template <class T>
void conv2d_grad_x_any(const Conv2dGradXArgs& g, Stream st) {
    const Shape s = shape(g);
    gemm::run<T>(ByXA<T>{(const T*)g.dY, s}, ByXB<T>{(const T*)g.w, s}, (T*)g.dX, inputs(s), s.C, taps(s, s.O), nullptr,
                 nullptr, g.scratch, st);
}

i64 conv2d_grad_w_scratch(const Conv2dGradWArgs& g) {
    const Shape s = shape(g);
    return std::max(conv1d::scratch(g), gemm::scratch(s.O, taps(s, s.C), outputs(s)));
}

template <class T>
void conv2d_grad_w_any(const Conv2dGradWArgs& g, Stream st) {
    const Shape s = shape(g);
    gemm::run<T>(ByWA<T>{(const T*)g.dY, s}, ByWB<T>{(const T*)g.x, s}, (float*)g.dW, s.O, taps(s, s.C), outputs(s),
                 nullptr, nullptr, g.scratch, st);
}

// Grouped convolutions.
namespace {

auto extents(const GroupedConv2dArgs& g) {
    return [&g](i64 i) {
        const Shape s = shape(g.rows[i]);
        return gemm::Extent{outputs(s), s.O, taps(s, s.C)};
    };
}
auto extents(const GroupedConv2dGradXArgs& g) {
    return [&g](i64 i) {
        const Shape s = shape(g.rows[i].conv);
        return gemm::Extent{inputs(s), s.C, taps(s, s.O)};
    };
}
auto extents(const GroupedConv2dGradWArgs& g) {
    return [&g](i64 i) {
        const Shape s = shape(g.rows[i]);
        return gemm::Extent{s.O, taps(s, s.C), outputs(s)};
    };
}

}  // namespace

i64 grouped_conv2d_scratch(const GroupedConv2dArgs& g) {
    return std::max(conv1d::scratch(g), gemm::group_scratch(g.n, extents(g)));
}
i64 grouped_conv2d_grad_x_scratch(const GroupedConv2dGradXArgs& g) {
    return std::max(conv1d::scratch(g), gemm::group_scratch(g.n, extents(g)));
}
i64 grouped_conv2d_grad_w_scratch(const GroupedConv2dGradWArgs& g) {
    return std::max(conv1d::scratch(g), gemm::group_scratch(g.n, extents(g)));
}

template <class T>
void grouped_conv2d_any(const GroupedConv2dArgs& g, Stream st) {
    gemm::run_groups<T>(
        g.n, extents(g),
        [&](i64 i) {
            const Conv2dArgs& r = g.rows[i];
            const Shape s = shape(r);
            return gemm::Job<T, ForwardA<T>, ForwardB<T>>{
                {(const T*)r.x, s},
                {(const T*)r.w, s},
                (T*)r.y,
                {0, 0, 0, (const float*)r.bias, (const float*)r.scale, 0, nullptr}};
        },
        g.scratch, st);
}

template <class T>
void grouped_conv2d_grad_x_any(const GroupedConv2dGradXArgs& g, Stream st) {
    gemm::run_groups<T>(
        g.n, extents(g),
        [&](i64 i) {
            const Conv2dGradXArgs& r = g.rows[i].conv;
            const Shape s = shape(r);
            return gemm::Job<T, ByXA<T>, ByXB<T>>{{(const T*)r.dY, s},
                                                  {(const T*)r.w, s},
                                                  (T*)r.dX,
                                                  {0, 0, 0, nullptr, (const float*)g.rows[i].scale, 0, nullptr}};
        },
        g.scratch, st);
}

template <class T>
void grouped_conv2d_grad_w_any(const GroupedConv2dGradWArgs& g, Stream st) {
    gemm::run_groups<T>(
        g.n, extents(g),
        [&](i64 i) {
            const Conv2dGradWArgs& r = g.rows[i];
            const Shape s = shape(r);
            return gemm::Job<float, ByWA<T>, ByWB<T>>{
                {(const T*)r.dY, s}, {(const T*)r.x, s}, (float*)r.dW, {0, 0, 0, nullptr, nullptr, 0, nullptr}};
        },
        g.scratch, st);
}

/// Convolutions over vertices first.
#define CG_LIST(k, A, T)                                                                    \
    CG_IMPLEMENTATIONS(k, T, implementation<A, conv1d::run<A>, conv1d::takes<A>>("slices"), \
                       implementation<A, k##_any<T>>("any"))
#define CG_LISTS(k, A)   \
    CG_LIST(k, A, float) \
    CG_LIST(k, A, bf16)
CG_LISTS(conv2d, Conv2dArgs)
CG_LISTS(conv2d_grad_x, Conv2dGradXArgs)
CG_LISTS(conv2d_grad_w, Conv2dGradWArgs)
CG_LISTS(grouped_conv2d, GroupedConv2dArgs)
CG_LISTS(grouped_conv2d_grad_x, GroupedConv2dGradXArgs)
CG_LISTS(grouped_conv2d_grad_w, GroupedConv2dGradWArgs)

}  // namespace cg::cuda
