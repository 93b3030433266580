// SPDX-License-Identifier: Apache-2.0
// Versions: only this one.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

template <class T>
void blend(const BlendArgs& g) {
    float* x = (float*)g.x;
    const float *y = (const float*)g.y, *c = (const float*)g.c;
    const vf keep = splat(c[0]), add = splat(c[1]);
    const bool fresh = c[0] == 0;
    parallel(g.n, 32768, [&](i64 i, i64 to, int) {
        for (; i < to; i += W) {
            const i64 n = to - i < W ? to - i : W;
            const vf v = add * (n == W ? load(y + i) : load_n(y + i, n));
            const vf sum = fresh ? v : fma(keep, n == W ? load(x + i) : load_n(x + i, n), v);
            n == W ? store(x + i, sum) : store_n(x + i, sum, n);
        }
    });
}

CG_INSTANTIATE_F32(blend, BlendArgs)

}  // namespace CG_NS
}  // namespace cg
