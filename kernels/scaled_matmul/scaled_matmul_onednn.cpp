// SPDX-License-Identifier: Apache-2.0
// For tests: processors have no FP8 products. FP8 operands are widened to float, which is exact, and multiplied by the
// float product of kernels/matmul. Versions: only this one.
#include "cg/onednn.h"
#include "cg/threads.h"
#include "kernels_all.h"

namespace cg::onednn {

void* matmul_prepare(MatmulArgs&);
i64 matmul_scratch(const MatmulArgs&);
void matmul_run(const MatmulArgs&);
void matmul_release(void*);

namespace {

/// Where the parts of scratch memory begin, in bytes.
struct Layout {
    i64 scale, a, b, y, rest;
};
Layout layout(const ScaledMatmulArgs& g) {
    Layout l = {};
    l.a = 64;
    l.b = l.a + align64(4 * g.M * g.K);
    l.y = l.b + align64(4 * g.N * g.K);
    l.rest = l.y + (g.type_y == Variant::BF16 ? align64(4 * g.M * g.N) : 0);
    return l;
}

MatmulArgs product(const ScaledMatmulArgs& g) {
    const Layout l = layout(g);
    char* at = (char*)g.scratch;
    MatmulArgs p = {};
    p.state = g.state, p.a = at + l.a, p.b = at + l.b, p.bias = g.bias, p.scale = at + l.scale;
    p.y = g.type_y == Variant::BF16 ? at + l.y : g.y, p.scratch = at + l.rest;
    p.M = g.M, p.N = g.N, p.K = g.K, p.trans_b = 1;
    p.type_a = p.type_b = p.type_y = Variant::F32;
    return p;
}

void widen(Fp8 f, const void* x, const void* y, i64 n) {
    parallel(n, 32768, [&](i64 b, i64 e, int) {
        for (i64 i = b; i < e; i++) ((float*)y)[i] = fp8::decode(f, ((const uint8_t*)x)[i]);
    });
}
void narrow(const float* x, bf16* y, i64 n) {
    parallel(n, 32768, [&](i64 b, i64 e, int) {
        for (i64 i = b; i < e; i++) {
            const uint32_t u = fp8::bits(x[i]);
            y[i].bits =
                (uint16_t)(fp8::magnitude(x[i]) > fp8::kInfinity ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
        }
    });
}

}  // namespace

void* scaled_matmul_prepare(ScaledMatmulArgs& g) {
    MatmulArgs p = product(g);
    p.scale = &g;  // any address but null: every product has a scale
    return matmul_prepare(p);
}

i64 scaled_matmul_scratch(const ScaledMatmulArgs& g) { return layout(g).rest + matmul_scratch(product(g)); }

void scaled_matmul_run(const ScaledMatmulArgs& g) {
    const MatmulArgs p = product(g);
    *(float*)p.scale = *(const float*)g.scale_a * *(const float*)g.scale_b * (g.scale ? *(const float*)g.scale : 1);
    widen(g.format_a, g.a, p.a, g.M * g.K);
    widen(g.format_b, g.b, p.b, g.N * g.K);
    matmul_run(p);
    if (g.type_y == Variant::BF16) narrow((const float*)p.y, (bf16*)g.y, g.M * g.N);
}

void scaled_matmul_release(void* state) { matmul_release(state); }

}  // namespace cg::onednn
