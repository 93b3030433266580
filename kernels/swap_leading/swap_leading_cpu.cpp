// SPDX-License-Identifier: Apache-2.0
// Copies whole rows of C elements in the order of the output, split over the threads. With C = 1 this is a plain
// transposition with strided reads. Versions: only this one.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

template <class T>
void swap_leading(const SwapLeadingArgs& g) {
    const T* x = (const T*)g.x;
    T* y = (T*)g.y;
    parallel(g.N * g.B, 65536 / (g.A * g.C) + 1, [&](i64 first, i64 last, int) {
        for (i64 nb = first; nb < last; nb++)
            for (i64 a = 0; a < g.A; a++) {
                const T* from = x + ((nb / g.B * g.A + a) * g.B + nb % g.B) * g.C;
                T* to = y + (nb * g.A + a) * g.C;
                if (g.C == 1) *to = *from;
                else std::memcpy(to, from, (size_t)g.C * sizeof(T));
            }
    });
}

CG_INSTANTIATE(swap_leading, SwapLeadingArgs)

}  // namespace CG_NS
}  // namespace cg
