// SPDX-License-Identifier: Apache-2.0
// Convolution on oneDNN. Activations stay NHWC. oneDNN chooses the weight's layout; a reorder into scratch converts it
// (weights are small beside activations).
// Versions: only this one; 3x3, 64 to 64 channels, 112 x 112, batch 8, with gradients 49 ms f32 and 23 ms bf16 on 2
// Zen 5 cores, 1.3 and 1.0 times as fast as PyTorch (bench/results/2026-11-24-cpu-kernels-jmh.md).
#include <cstring>

#include "cg/grouped.h"
#include "kernels_all.h"

namespace cg::onednn {

using dnnl::memory;

namespace {

/// A convolution and, if the layouts differ, a reorder of its weight before or after it.
struct Conv {
    Fixed main;
    dnnl::primitive reorder;
    memory plain, blocked, reorder_scratch;
    i64 blocked_bytes = 0, reorder_bytes = 0;
    bool reorders = false;

    void weights(const memory::desc& user, const memory::desc& own, bool out) {
        reorders = user != own;
        if (!reorders) return;
        plain = memory(user, engine(), nullptr);
        blocked = memory(own, engine(), nullptr);
        dnnl::reorder::primitive_desc pd(engine(), out ? own : user, engine(), out ? user : own, attributes());
        reorder = dnnl::reorder(pd);
        reorder_scratch = memory(pd.scratchpad_desc(), engine(), nullptr);
        blocked_bytes = align64((i64)own.get_size());
        reorder_bytes = align64((i64)pd.scratchpad_desc().get_size());
    }
    i64 scratch() const { return main.scratch_bytes + blocked_bytes + reorder_bytes; }
    /// Sets the address of the weight; with a reorder the convolution uses the blocked copy in scratch.
    void bind(int arg, const void* user, void* scratch) {
        char* s = (char*)scratch;
        main.set(DNNL_ARG_SCRATCHPAD, s);
        if (!reorders) return main.set(arg, user);
        plain.set_data_handle(const_cast<void*>(user));
        blocked.set_data_handle(s + main.scratch_bytes);
        reorder_scratch.set_data_handle(s + main.scratch_bytes + blocked_bytes);
        main.set(arg, s + main.scratch_bytes);
    }
    void move(bool out) {
        if (reorders)
            reorder.execute(stream(), {{DNNL_ARG_FROM, out ? blocked : plain},
                                       {DNNL_ARG_TO, out ? plain : blocked},
                                       {DNNL_ARG_SCRATCHPAD, reorder_scratch}});
    }
};

template <class Args>
struct Descs {
    memory::dims x, w, y, stride, pad;
    explicit Descs(const Args& g)
        : x{g.B, g.C, g.H, g.W},
          w{g.O, g.C, g.KH, g.KW},
          y{g.B, g.O, (g.H + 2 * g.ph - g.KH) / g.sh + 1, (g.W + 2 * g.pw - g.KW) / g.sw + 1},
          stride{g.sh, g.sw},
          pad{g.ph, g.pw} {}
};
memory::desc nhwc(const memory::dims& d, memory::data_type t) { return {d, t, memory::format_tag::nhwc}; }
memory::desc any(const memory::dims& d, memory::data_type t) { return {d, t, memory::format_tag::any}; }
memory::desc oihw(const memory::dims& d, memory::data_type t) { return {d, t, memory::format_tag::oihw}; }

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

template <class F>
void* made(F&& f) {
    Conv* c = new Conv;
    try {
        f(*c);
    } catch (...) {
        delete c;
        throw;
    }
    return c;
}

/// Post-ops on the result: multiply by the scale, which is [1, 1, 1, 1], then add the bias.
dnnl::primitive_attr scaled(bool scale, const memory::desc* bias) {
    auto attr = attributes();
    dnnl::post_ops ops;
    if (scale)
        ops.append_binary(dnnl::algorithm::binary_mul,
                          memory::desc({1, 1, 1, 1}, memory::data_type::f32, memory::format_tag::nchw));
    if (bias) ops.append_binary(dnnl::algorithm::binary_add, *bias);
    attr.set_post_ops(ops);
    return attr;
}

dnnl::convolution_forward::primitive_desc forward(const Descs<Conv2dGradXArgs>& d, memory::data_type t) {
    return {engine(),    dnnl::prop_kind::forward_training,
            kAlgorithm,  nhwc(d.x, t),
            any(d.w, t), nhwc(d.y, t),
            d.stride,    d.pad,
            d.pad};
}

}  // namespace

void* conv2d_prepare(Conv2dArgs& g) {
    return made([&](Conv& c) {
        Descs<Conv2dArgs> d(g);
        const auto t = type(g.type);
        const memory::desc bias({1, g.O, 1, 1}, memory::data_type::f32, memory::format_tag::nchw);
        const memory::desc one({1, 1, 1, 1}, memory::data_type::f32, memory::format_tag::nchw);
        const bool has_bias = g.bias, has_scale = g.scale;
        dnnl::convolution_forward::primitive_desc pd(engine(), dnnl::prop_kind::forward_training, kAlgorithm,
                                                     nhwc(d.x, t), any(d.w, t), nhwc(d.y, t), d.stride, d.pad, d.pad,
                                                     scaled(has_scale, has_bias ? &bias : nullptr));
        c.main.init(pd);
        c.main.add(DNNL_ARG_SRC, pd.src_desc());
        c.main.add(DNNL_ARG_WEIGHTS, pd.weights_desc());
        c.main.add(DNNL_ARG_DST, pd.dst_desc());
        int post = 0;
        if (has_scale) c.main.add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post++) | DNNL_ARG_SRC_1, one);
        if (has_bias) c.main.add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post) | DNNL_ARG_SRC_1, bias);
        c.weights(oihw(d.w, t), pd.weights_desc(), false);
    });
}
i64 conv2d_scratch(const Conv2dArgs& g) { return ((Conv*)g.state)->scratch(); }
void conv2d_run(const Conv2dArgs& g) {
    Conv& c = *(Conv*)g.state;
    c.bind(DNNL_ARG_WEIGHTS, g.w, g.scratch);
    c.main.set(DNNL_ARG_SRC, g.x);
    c.main.set(DNNL_ARG_DST, g.y);
    int post = 0;
    if (g.scale) c.main.set(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post++) | DNNL_ARG_SRC_1, g.scale);
    if (g.bias) c.main.set(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post) | DNNL_ARG_SRC_1, g.bias);
    c.move(false);
    c.main.run();
}
void conv2d_release(void* state) { delete (Conv*)state; }

void* conv2d_grad_x_prepare(Conv2dGradXArgs& g) {
    return made([&](Conv& c) {
        Descs<Conv2dGradXArgs> d(g);
        const auto t = type(g.type);
        dnnl::convolution_backward_data::primitive_desc pd(engine(), kAlgorithm, nhwc(d.x, t), any(d.w, t),
                                                           nhwc(d.y, t), d.stride, d.pad, d.pad, forward(d, t),
                                                           attributes());
        c.main.init(pd);
        c.main.add(DNNL_ARG_DIFF_DST, pd.diff_dst_desc());
        c.main.add(DNNL_ARG_WEIGHTS, pd.weights_desc());
        c.main.add(DNNL_ARG_DIFF_SRC, pd.diff_src_desc());
        c.weights(oihw(d.w, t), pd.weights_desc(), false);
    });
}
i64 conv2d_grad_x_scratch(const Conv2dGradXArgs& g) { return ((Conv*)g.state)->scratch(); }
void conv2d_grad_x_run(const Conv2dGradXArgs& g) {
    Conv& c = *(Conv*)g.state;
    c.bind(DNNL_ARG_WEIGHTS, g.w, g.scratch);
    c.main.set(DNNL_ARG_DIFF_DST, g.dY);
    c.main.set(DNNL_ARG_DIFF_SRC, g.dX);
    c.move(false);
    c.main.run();
}
void conv2d_grad_x_release(void* state) { delete (Conv*)state; }

void* conv2d_grad_w_prepare(Conv2dGradWArgs& g) {
    return made([&](Conv& c) {
        Descs<Conv2dGradWArgs> d(g);
        const auto t = type(g.type), f = memory::data_type::f32;
        dnnl::convolution_forward::primitive_desc hint(engine(), dnnl::prop_kind::forward_training, kAlgorithm,
                                                       nhwc(d.x, t), any(d.w, t), nhwc(d.y, t), d.stride, d.pad, d.pad);
        dnnl::convolution_backward_weights::primitive_desc pd(engine(), kAlgorithm, nhwc(d.x, t), any(d.w, f),
                                                              nhwc(d.y, t), d.stride, d.pad, d.pad, hint, attributes());
        c.main.init(pd);
        c.main.add(DNNL_ARG_SRC, pd.src_desc());
        c.main.add(DNNL_ARG_DIFF_DST, pd.diff_dst_desc());
        c.main.add(DNNL_ARG_DIFF_WEIGHTS, pd.diff_weights_desc());
        c.weights(oihw(d.w, f), pd.diff_weights_desc(), true);
    });
}
i64 conv2d_grad_w_scratch(const Conv2dGradWArgs& g) { return ((Conv*)g.state)->scratch(); }
void conv2d_grad_w_run(const Conv2dGradWArgs& g) {
    Conv& c = *(Conv*)g.state;
    c.bind(DNNL_ARG_DIFF_WEIGHTS, g.dW, g.scratch);
    c.main.set(DNNL_ARG_SRC, g.x);
    c.main.set(DNNL_ARG_DIFF_DST, g.dY);
    // In bf16 oneDNN accumulates into scratch without clearing those kernel taps that only ever see padding.
    if (g.type == Variant::BF16) std::memset(g.scratch, 0, (size_t)c.scratch());
    c.main.run();
    c.move(true);
}
void conv2d_grad_w_release(void* state) { delete (Conv*)state; }

namespace {

/// The gradient by x, then its product with the scale, in place.
struct ScaledGradX {
    void* conv;
    Fixed scale;
};

void* scaled_prepare(ScaledConv2dGradXArgs& g) {
    auto* f = new ScaledGradX{conv2d_grad_x_prepare(g.conv), {}};
    if (!g.scale) return f;
    try {
        const Conv2dGradXArgs& c = g.conv;
        const memory::desc x = nhwc({c.B, c.C, c.H, c.W}, type(c.type));
        const memory::desc one({1, 1, 1, 1}, memory::data_type::f32, memory::format_tag::nchw);
        f->scale.init(dnnl::binary::primitive_desc(engine(), dnnl::algorithm::binary_mul, x, one, x, attributes()));
        f->scale.add(DNNL_ARG_SRC_0, x);
        f->scale.add(DNNL_ARG_SRC_1, one);
        f->scale.add(DNNL_ARG_DST, x);
    } catch (...) {
        conv2d_grad_x_release(f->conv);
        delete f;
        throw;
    }
    return f;
}
/// Arguments of the inner gradient kernel, with its state.
Conv2dGradXArgs conv_of(const ScaledConv2dGradXArgs& g) {
    Conv2dGradXArgs c = g.conv;
    c.state = ((ScaledGradX*)g.conv.state)->conv;
    return c;
}
i64 scaled_scratch(const ScaledConv2dGradXArgs& g) {
    return std::max(conv2d_grad_x_scratch(conv_of(g)), ((ScaledGradX*)g.conv.state)->scale.scratch_bytes);
}
void scaled_run(const ScaledConv2dGradXArgs& g) {
    conv2d_grad_x_run(conv_of(g));
    if (!g.scale) return;
    Fixed& f = ((ScaledGradX*)g.conv.state)->scale;
    f.set(DNNL_ARG_SRC_0, g.conv.dX);
    f.set(DNNL_ARG_SRC_1, g.scale);
    f.set(DNNL_ARG_DST, g.conv.dX);
    f.set(DNNL_ARG_SCRATCHPAD, g.conv.scratch);
    f.run();
}
void scaled_release(void* state) {
    conv2d_grad_x_release(((ScaledGradX*)state)->conv);
    delete (ScaledGradX*)state;
}

template <class Args>
double conv_work(const Args& g) {
    const double out =
        (double)(g.B * ((g.H + 2 * g.ph - g.KH) / g.sh + 1) * ((g.W + 2 * g.pw - g.KW) / g.sw + 1) * g.O);
    return work(2 * out * (double)(g.C * g.KH * g.KW), out + (double)(g.B * g.H * g.W * g.C));
}

Kernel<Conv2dArgs> kForward = {conv2d_prepare, conv2d_scratch, conv2d_run, conv2d_release, conv_work<Conv2dArgs>};
Kernel<Conv2dGradWArgs> kGradW = {conv2d_grad_w_prepare, conv2d_grad_w_scratch, conv2d_grad_w_run,
                                  conv2d_grad_w_release, conv_work<Conv2dGradWArgs>};
Kernel<ScaledConv2dGradXArgs> kGradX = {scaled_prepare, scaled_scratch, scaled_run, scaled_release,
                                        [](const ScaledConv2dGradXArgs& g) { return conv_work(g.conv); }};

}  // namespace

template <>
inline void Kernel<ScaledConv2dGradXArgs>::bind(ScaledConv2dGradXArgs& a, void* state, void* scratch) const {
    a.conv.state = state, a.conv.scratch = scratch;
}

CG_GROUPED(grouped_conv2d, GroupedConv2dArgs, Conv2dArgs, kForward)
CG_GROUPED(grouped_conv2d_grad_x, GroupedConv2dGradXArgs, ScaledConv2dGradXArgs, kGradX)
CG_GROUPED(grouped_conv2d_grad_w, GroupedConv2dGradWArgs, Conv2dGradWArgs, kGradW)

}  // namespace cg::onednn
