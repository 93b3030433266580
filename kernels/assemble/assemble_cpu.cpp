// SPDX-License-Identifier: Apache-2.0
// Rows are split over the threads; if there are few rows, each piece of a row is split. Copies only.
// Versions: only this one; joining two halves of [64, 20544] takes 0.11 ms in f32 on 2 Zen 5 cores.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {
constexpr i64 kGrain = 65536;

template <class T>
inline void copy(T* y, const AssembleRow& r, i64 o, i64 from, i64 to) {
    if (r.src) std::memcpy(y + from, (const T*)r.src + r.offset + o * r.stride + from, (size_t)(to - from) * sizeof(T));
    else std::memset(y + from, 0, (size_t)(to - from) * sizeof(T));
}
}  // namespace

template <class T>
void assemble(const AssembleArgs& g) {
    T* y = (T*)g.y;
    if (g.outer >= 8) {
        parallel(g.outer, kGrain / g.width + 1, [&](i64 b, i64 e, int) {
            for (i64 o = b; o < e; o++) {
                T* at = y + o * g.width;
                for (i64 k = 0; k < g.n; at += g.rows[k++].len) copy(at, g.rows[k], o, 0, g.rows[k].len);
            }
        });
        return;
    }
    for (i64 o = 0; o < g.outer; o++)
        for (i64 k = 0; k < g.n; k++) {
            const AssembleRow& r = g.rows[k];
            parallel(r.len, kGrain, [&](i64 b, i64 e, int) { copy(y, r, o, b, e); });
            y += r.len;
        }
}

CG_INSTANTIATE(assemble, AssembleArgs)

}  // namespace CG_NS
}  // namespace cg
