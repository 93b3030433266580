// SPDX-License-Identifier: Apache-2.0
// The rows of a large x are split over the threads, each with a row of partial sums. An x with few columns (a full sum
// has one) is summed W rows at a time in C vectors, each of whose lanes belongs to one column. One thread sums a small
// x as a whole.
// Versions: 1 row after row for every C > 1; 1576 x 3072 0.14 ms, 32 x 39548 0.07 ms in f32 on 2 Zen 5 cores.
//           2 few columns by vectors: a profile of vanilla-patch-multi-tiny spent a quarter of its time in sums to 4
//           columns.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr i64 kGrain = 16384, kNarrow = 32;
i64 grain(const SumLeadingRow& g) { return kGrain / g.C + 1; }
bool large(const SumLeadingRow& g) { return g.R > grain(g); }

/// Sums rows [b, e) to s [C].
template <class T>
void sum(const SumLeadingRow& g, i64 b, i64 e, float* s) {
    const T* x = (const T*)g.x;
    const i64 C = g.C;
    if (C <= kNarrow) {
        vf v[kNarrow];
        for (i64 k = 0; k < C; k++) v[k] = vf{};
        i64 r = b;
        for (; r + W <= e; r += W)
            for (i64 k = 0; k < C; k++) v[k] += load(x + r * C + k * W);
        for (i64 c = 0; c < C; c++) s[c] = 0;
        for (i64 k = 0; k < C * W; k++) s[k % C] += v[k / W][k % W];
        for (i64 at = r * C; at < e * C; at++) s[at % C] += to_float(x[at]);
        return;
    }
    for (i64 c = 0; c < C; c++) s[c] = 0;
    for (i64 r = b; r < e; r++) {
        const T* row = x + r * C;
        i64 c = 0;
        for (; c + W <= C; c += W) store(s + c, load(s + c) + load(row + c));
        if (c < C) store_n(s + c, load_n(s + c, C - c) + load_n(row + c, C - c), C - c);
    }
}

}  // namespace

i64 sum_leading_scratch(const SumLeadingArgs& a) {
    i64 most = 0;
    for (i64 i = 0; i < a.n; i++)
        if (large(a.rows[i])) most = std::max(most, a.rows[i].C);
    return (threads() * most * 4 + 63) / 64 * 64;
}

template <class T>
void sum_leading(const SumLeadingArgs& a) {
    float* part = (float*)a.scratch;
    i64 small = 0;
    for (i64 i = 0; i < a.n; i++) {
        const SumLeadingRow& g = a.rows[i];
        if (!large(g)) {
            small += g.R * g.C;
            continue;
        }
        parallel(g.R, grain(g), [&](i64 b, i64 e, int p) { sum<T>(g, b, e, part + p * g.C); });
        const i64 parts = parts_of(g.R, grain(g));
        for (i64 c = 0; c < g.C; c++) {
            float s = 0;
            for (i64 p = 0; p < parts; p++) s += part[p * g.C + c];
            ((float*)g.y)[c] = (float)g.scale * s;
        }
    }
    parallel(a.n, small > kGrain ? 1 : a.n, [&](i64 b, i64 e, int) {
        for (i64 i = b; i < e; i++) {
            const SumLeadingRow& g = a.rows[i];
            if (large(g)) continue;
            float* y = (float*)g.y;
            sum<T>(g, 0, g.R, y);
            for (i64 c = 0; c < g.C; c++) y[c] *= (float)g.scale;
        }
    });
}

CG_INSTANTIATE(sum_leading, SumLeadingArgs)

}  // namespace CG_NS
}  // namespace cg
