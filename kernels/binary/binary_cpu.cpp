// SPDX-License-Identifier: Apache-2.0
// A thread takes a contiguous part of a; an inner run ends where b ends. A b of one element is splatted. Memory-bound.
// Versions: only this one; [8, 197, 768] + [197, 768] 0.07 ms in f32 on 2 Zen 5 cores.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

template <BinaryOp K>
inline vf apply(vf a, vf b, vf alpha, vf beta) {
    if constexpr (K == BinaryOp::ADD) return a + b;
    if constexpr (K == BinaryOp::MUL) return a * b;
    if constexpr (K == BinaryOp::AXPBY) return fma(alpha, a, beta * b);
}

template <class T, class B, BinaryOp K>
void run(const BinaryArgs& g) {
    const T* a = (const T*)g.a;
    const B* b = (const B*)g.b;
    T* y = (T*)g.y;
    vf alpha = splat((float)g.alpha), beta = splat((float)g.beta);
    parallel(g.n, 32768, [&](i64 begin, i64 end, int) {
        if (g.m == 1) {
            vf v = splat(to_float(b[0]));
            i64 i = begin;
            for (; i + W <= end; i += W) store(y + i, apply<K>(load(a + i), v, alpha, beta));
            if (i < end) store_n(y + i, apply<K>(load_n(a + i, end - i), v, alpha, beta), end - i);
            return;
        }
        for (i64 i = begin; i < end;) {
            i64 j = i % g.m, stop = i + (g.m - j) < end ? i + (g.m - j) : end;
            for (; i + W <= stop; i += W, j += W) store(y + i, apply<K>(load(a + i), load(b + j), alpha, beta));
            if (i < stop) {
                i64 n = stop - i;
                store_n(y + i, apply<K>(load_n(a + i, n), load_n(b + j, n), alpha, beta), n);
                i = stop;
            }
        }
    });
}

template <class T, class B>
void choose(const BinaryArgs& g) {
    switch (g.op) {
        case BinaryOp::ADD: return run<T, B, BinaryOp::ADD>(g);
        case BinaryOp::MUL: return run<T, B, BinaryOp::MUL>(g);
        case BinaryOp::AXPBY: return run<T, B, BinaryOp::AXPBY>(g);
    }
    CG_CHECK(false, "unknown operation");
}

}  // namespace

template <class T>
void binary(const BinaryArgs& g) {
    if (g.type_b == Variant::F32) choose<T, float>(g);
    else choose<T, T>(g);
}

CG_INSTANTIATE(binary, BinaryArgs)

}  // namespace CG_NS
}  // namespace cg
