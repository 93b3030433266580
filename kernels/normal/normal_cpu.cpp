// SPDX-License-Identifier: Apache-2.0
// A vector of counters gives four vectors of numbers, which are written through a buffer in the order of the elements.
// Versions: only this one.
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr i64 kGrain = 1024;

struct NormalVector {
    using U = vu;
    using F = vf;
    /// The 64-bit products of the even and of the odd lanes.
    static void multiply(uint32_t m, vu x, vu& high, vu& low) {
        typedef uint64_t vw __attribute__((vector_size(W * 4)));
        const vw factor = (uint64_t)m - vw{}, odd = (vw)x >> 32;
#if defined(__AVX512F__)
        const vw a = (vw)_mm512_mul_epu32((__m512i)x, (__m512i)factor);
        const vw b = (vw)_mm512_mul_epu32((__m512i)odd, (__m512i)factor);
#elif defined(__AVX2__)
        const vw a = (vw)_mm256_mul_epu32((__m256i)x, (__m256i)factor);
        const vw b = (vw)_mm256_mul_epu32((__m256i)odd, (__m256i)factor);
#else
        const vw a = (vw)_mm_mul_epu32((__m128i)x, (__m128i)factor);
        const vw b = (vw)_mm_mul_epu32((__m128i)odd, (__m128i)factor);
#endif
        const vw half = 0xffffffffu - vw{};
        low = (vu)((a & half) | b << 32);
        high = (vu)(a >> 32 | (b & ~half));
    }
    static vf splat(float x) { return CG_NS::splat(x); }
    static vf real(vu x) { return __builtin_convertvector((vi)x, vf); }
    static vf fused(vf a, vf b, vf c) {
#if defined(__AVX2__)
        return fma(a, b, c);
#else
        // vec.h rounds twice without the instruction; libm rounds once.
        for (int i = 0; i < W; i++) c[i] = std::fma(a[i], b[i], c[i]);
        return c;
#endif
    }
    static vf root(vf x) { return vsqrt(x); }
    static vf select(vi which, vf a, vf b) { return CG_NS::select(which, a, b); }
    static vu bits(vf x) { return (vu)x; }
    static vf of_bits(vu x) { return (vf)x; }
};

}  // namespace

template <class T>
void normal(const NormalArgs& g) {
    const uint32_t *key = (const uint32_t*)g.key, *rows = (const uint32_t*)g.counters;
    const uint32_t key0 = key[0], key1 = key[1];
    vu lanes;
    for (int i = 0; i < W; i++) lanes[i] = (uint32_t)i;
    const i64 row = (g.V + 4 * W - 1) / (4 * W);  // blocks of 4 W elements
    parallel(g.B * row, kGrain / W, [&](i64 from, i64 to, int) {
        for (i64 i = from; i < to; i++) {
            const i64 b = i / row, at = i % row * 4 * W;
            vf n[4];
            four_normals<NormalVector>(lanes + (uint32_t)(at / 4), g, rows[2 * b], rows[2 * b + 1], key0, key1, n);
            float block[4 * W];
            for (int l = 0; l < W; l++)
                for (int j = 0; j < 4; j++) block[4 * l + j] = n[j][l];
            std::memcpy((float*)g.y + b * g.V + at, block, (size_t)(g.V - at < 4 * W ? g.V - at : 4 * W) * 4);
        }
    });
}

CG_INSTANTIATE_F32(normal, NormalArgs)

}  // namespace CG_NS
}  // namespace cg
