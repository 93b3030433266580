// SPDX-License-Identifier: Apache-2.0
// For tests: processors have no FP8 products, so training does not offer the precision there. Versions: only this one.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {
/// One row of tiles.
template <class T>
void quantize_rows(const QuantizeArgs& g, i64 tile) {
    const T* x = (const T*)g.x;
    const float scale = ((const float*)g.state)[1];
    uint8_t *y = (uint8_t*)g.y, *t = (uint8_t*)g.t;
    const i64 columns = (g.C + fp8::kTile - 1) / fp8::kTile;
    const i64 begin = tile * fp8::kTile, end = std::min(begin + fp8::kTile, g.R);
    for (i64 j = 0; j < columns; j++) {
        const i64 left = j * fp8::kTile, right = std::min(left + fp8::kTile, g.C);
        uint32_t largest = 0;
        float sums[fp8::kTile] = {};
        for (i64 r = begin; r < end; r++)
            for (i64 c = left; c < right; c++) {
                const float v = to_float(x[r * g.C + c]);
                largest = std::max(largest, fp8::magnitude(v));
                sums[c - left] += v;
                y[r * g.C + c] = t[c * g.R + r] = fp8::encode(g.format, v * scale);
            }
        ((float*)g.maxima)[tile * columns + j] = fp8::number(largest);
        if (g.sums) std::copy(sums, sums + (right - left), (float*)g.sums + tile * g.C + left);
    }
}
}  // namespace

template <class T>
void quantize(const QuantizeArgs& g) {
    parallel((g.R + fp8::kTile - 1) / fp8::kTile, 1, [&](i64 b, i64 e, int) {
        for (i64 i = b; i < e; i++) quantize_rows<T>(g, i);
    });
}

template <class T>
void fp8_scales(const Fp8ScalesArgs& g) {
    for (const Fp8ScalesRow* r = g.rows; r < g.rows + g.n; r++) {
        uint32_t largest = 0;
        for (i64 i = 0; i < r->n; i++) largest = std::max(largest, fp8::magnitude(((const float*)r->maxima)[i]));
        fp8::advance((float*)r->state, r->format, largest);
    }
}

CG_INSTANTIATE(quantize, QuantizeArgs)
CG_INSTANTIATE_F32(fp8_scales, Fp8ScalesArgs)

}  // namespace CG_NS
}  // namespace cg
