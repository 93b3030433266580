// SPDX-License-Identifier: Apache-2.0
// Matrix product on oneDNN, with plain layouts on both sides: the weights change every step, and at the row counts of
// training oneDNN's packing inside the primitive costs less than a reorder of our own.
// linear_grad is oneDNN's inner product by weights, whose bias sums cost nothing beside the product.
// Versions: only this one.
#include "cg/grouped.h"
#include "kernels_all.h"

namespace cg::onednn {

using dnnl::memory;

void* matmul_prepare(MatmulArgs& g) {
    auto* f = new Fixed;
    try {
        auto md = [](i64 r, i64 c, bool trans, Variant t) {
            return memory::desc({r, c}, type(t), trans ? memory::dims{1, r} : memory::dims{c, 1});
        };
        memory::desc a = md(g.M, g.K, g.trans_a, g.type_a), b = md(g.K, g.N, g.trans_b, g.type_b),
                     y = md(g.M, g.N, false, g.type_y);
        memory::desc bias({1, g.N}, memory::data_type::f32, memory::dims{g.N, 1});
        memory::desc one({1, 1}, memory::data_type::f32, memory::dims{1, 1});
        // At this point bias and scale are null or the placeholder 1, which means "bound later".
        bool has_bias = g.bias != nullptr, has_scale = g.scale != nullptr;
        auto attr = attributes();
        dnnl::post_ops ops;
        if (has_scale) {
            ops.append_binary(dnnl::algorithm::binary_mul, one);
            if (has_bias) ops.append_binary(dnnl::algorithm::binary_add, bias);
        }
        attr.set_post_ops(ops);
        dnnl::matmul::primitive_desc pd = has_bias && !has_scale
                                              ? dnnl::matmul::primitive_desc(engine(), a, b, bias, y, attr)
                                              : dnnl::matmul::primitive_desc(engine(), a, b, y, attr);
        f->init(pd);
        f->add(DNNL_ARG_SRC, a);
        f->add(DNNL_ARG_WEIGHTS, b);
        f->add(DNNL_ARG_DST, y);
        if (has_scale) {
            f->add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, one);
            if (has_bias) f->add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1, bias);
        } else if (has_bias) {
            f->add(DNNL_ARG_BIAS, bias);
        }
    } catch (...) {
        delete f;
        throw;
    }
    return f;
}

i64 matmul_scratch(const MatmulArgs& g) { return ((Fixed*)g.state)->scratch_bytes; }

void matmul_run(const MatmulArgs& g) {
    Fixed& f = *(Fixed*)g.state;
    f.set(DNNL_ARG_SRC, g.a);
    f.set(DNNL_ARG_WEIGHTS, g.b);
    f.set(DNNL_ARG_DST, g.y);
    f.set(DNNL_ARG_BIAS, g.bias);
    f.set(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, g.scale);
    f.set(DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1, g.bias);
    f.set(DNNL_ARG_SCRATCHPAD, g.scratch);
    f.run();
}

void matmul_release(void* state) { delete (Fixed*)state; }

void* linear_grad_prepare(LinearGradArgs& g) {
    auto* f = new Fixed;
    try {
        auto md = [](i64 r, i64 c, Variant t) { return memory::desc({r, c}, type(t), memory::dims{c, 1}); };
        const memory::desc x = md(g.K, g.N, g.type), dY = md(g.K, g.M, g.type), dW = md(g.M, g.N, Variant::F32);
        const memory::desc db({g.M}, memory::data_type::f32, memory::dims{1});
        const dnnl::inner_product_forward::primitive_desc forward(engine(), dnnl::prop_kind::forward_training, x,
                                                                  md(g.M, g.N, g.type), db, dY, attributes());
        const dnnl::inner_product_backward_weights::primitive_desc pd(engine(), x, dW, db, dY, forward, attributes());
        f->init(pd);
        f->add(DNNL_ARG_SRC, x);
        f->add(DNNL_ARG_DIFF_DST, dY);
        f->add(DNNL_ARG_DIFF_WEIGHTS, dW);
        f->add(DNNL_ARG_DIFF_BIAS, db);
    } catch (...) {
        delete f;
        throw;
    }
    return f;
}

i64 linear_grad_scratch(const LinearGradArgs& g) { return ((Fixed*)g.state)->scratch_bytes; }

void linear_grad_run(const LinearGradArgs& g) {
    Fixed& f = *(Fixed*)g.state;
    f.set(DNNL_ARG_DIFF_DST, g.dY);
    f.set(DNNL_ARG_SRC, g.x);
    f.set(DNNL_ARG_DIFF_WEIGHTS, g.dW);
    f.set(DNNL_ARG_DIFF_BIAS, g.db);
    f.set(DNNL_ARG_SCRATCHPAD, g.scratch);
    f.run();
}

void linear_grad_release(void* state) { delete (Fixed*)state; }

static Kernel<MatmulArgs> kProduct = {
    matmul_prepare, matmul_scratch, matmul_run, matmul_release, [](const MatmulArgs& g) {
        return work(2.0 * (double)g.M * (double)g.N * (double)g.K, (double)(g.M * g.K + g.K * g.N + g.M * g.N));
    }};
CG_GROUPED(grouped_matmul, GroupedMatmulArgs, MatmulArgs, kProduct)

}  // namespace cg::onednn
