// SPDX-License-Identifier: Apache-2.0
// All timesteps are checked before the first element is written. Versions: only this one.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

template <class T>
void diffuse(const DiffuseArgs& g) {
    const int32_t* t = (const int32_t*)g.t;
    for (i64 b = 0; b < g.B; b++) CG_CHECK(t[b] >= 0 && t[b] < g.T, "the timestep is outside the table");
    const float *x0 = (const float*)g.x0, *noise = (const float*)g.noise, *table = (const float*)g.table;
    float *x = (float*)g.x, *target = (float*)g.target;
    parallel(g.B * g.V, 16384, [&](i64 from, i64 to, int) {
        for (i64 i = from; i < to;) {
            const i64 b = i / g.V, end = (b + 1) * g.V < to ? (b + 1) * g.V : to;
            vf k[4];
            for (int j = 0; j < 4; j++) k[j] = splat(table[4 * t[b] + j]);
            auto both = [&](vf r, vf n, vf& y, vf& z) { y = fma(k[0], r, k[1] * n), z = fma(k[2], r, k[3] * n); };
            vf y, z;
            for (; i + W <= end; i += W) {
                both(load(x0 + i), load(noise + i), y, z);
                store(x + i, y);
                store(target + i, z);
            }
            if (i == end) continue;
            both(load_n(x0 + i, end - i), load_n(noise + i, end - i), y, z);
            store_n(x + i, y, end - i);
            store_n(target + i, z, end - i);
            i = end;
        }
    });
}

CG_INSTANTIATE_F32(diffuse, DiffuseArgs)

}  // namespace CG_NS
}  // namespace cg
