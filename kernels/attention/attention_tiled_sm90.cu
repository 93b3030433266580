// SPDX-License-Identifier: Apache-2.0
// Attention of any length on Hopper's wgmma: bf16, head widths of 40 to 160 (formulas: attention.h). Queries and keys
// may be of different number. attention_sm90.cu keeps patch attention of up to 208 tokens, which it does in one pass.
//
// A warpgroup has 64 rows, whose left operands stay in registers, and walks over tiles of the other tokens. The
// warpgroups of a block share these: 128 at a time lie in shared memory, the next 128 are copied beside the products
// (cp.async). Within a stage no warpgroup waits for another, so that one takes exponentials while another
// multiplies.
// Forward: rows are queries, the softmax is online, and P goes from accumulators to operand.
// Backward: two kernels without atomics, so that equal inputs give equal bits. Rows are queries for dQ (and D_i, to
// scratch), then keys for dK and dV. Both compute S and dP: 7 products instead of the 5 of one kernel, which would add
// dQ by atomics, or write and read a dQ in float for each block of 192 keys (4096 x 40, B 2: 0.46 GB and 107 us, to
// save 54 us of wgmma).
//
// Panels (wgmma.cuh): 40 columns are padded to 48, 3 panels with the swizzle of 32 bytes; 80 are 5 such panels, 160 are
// 5 of 64 bytes, 64 and 128 are 1 and 2 of 128 bytes. No operand has a bank conflict. A panel of 64 and one of 16
// for 80 would need two wgmma where one of 80 columns does.
//
// Cost of a tile of 64 x 64 in clocks of a multiprocessor (wgmma of N columns: N / 2; 16 exp2 a clock; instructions of
// a warp, for the four warps of a warpgroup on as many schedulers), by SASS:
//   D                          48              64              80              128             160
//   forward   registers        113 x 4 groups  127 x 4         126 x 4         167 x 3         202 x 2
//             wgmma, exp2      192, 272        256, 272        320, 272        512, 272        640, 272
//             instructions     264             268             300             339             387
//   dQ        registers        150 x 3         162 x 3         187 x 2         236 x 2         (mma.sync)
//             wgmma, exp2      288, 256        384, 256        480, 256        768, 256
//             instructions     245             238             283             313
//   dK, dV    registers        161 x 3         165 x 3         210 x 2         235 x 2         (mma.sync)
//             wgmma, exp2      384, 256        512, 256        640, 256        1024, 256
//             instructions     350             364             426             598
// K and V of a tile from L2, at 24 bytes a clock, take as long as 2.7 warpgroups multiply: Groups.
// With D 160 dK and dV alone fill 160 registers, and grad_keys_tiled would spill 132 bytes.
//
// Floors and predictions on an H200, not measured:
//                                         floor by           forward           backward
//   4096 x 4096, 8 heads of 40, B 2       exp2, then wgmma   77: 95 to 115 us  190: 260 to 320 us
//   1024 x 1024, 8 heads of 80, B 2       wgmma              6: 12 to 15 us    20: 35 to 45 us
//   257 x 257, 16 heads of 64, B 128      bytes              63: 95 to 120 us  126: 230 to 290 us
// A backward pass of 5 products would have a floor of 136 us in the first row.
// Weak: cross-attention to 77 tokens has B H blocks in grad_keys_tiled, 16 of 132 multiprocessors with B 2. A head of
// 257 tokens is two blocks, and the copies of a block's first 128 tokens overlap nothing.
//
// Version 1. Before, heads of 40, 80 and 160 ran on "any", about 1 % of these rates.
// Tried: without a branch around the comparison with the last key, 49 instructions more a tile of all kernels with
// queries as rows.
#include "attention/attention_head.cuh"
#include "attention/attention_sm90.cuh"
#include "kernels_all.h"
#include "wgmma.cuh"

#if defined(CG_SM90A) || defined(CG_SIM)

namespace cg::cuda::sm90 {

namespace {

// Warpgroups of a block at most, and rows of a tile: as many as registers allow.
template <int D>
constexpr int kForwardGroups = D <= 80    ? 4
                               : D <= 128 ? 3
                                          : 2;
template <int D>
constexpr int kGradGroups = D <= 64 ? 3 : 2;
constexpr int kKeysTile = 64, kQueriesTile = 32;

/// Whether grad_keys_tiled reads a block's rows of K and V from shared memory, not from registers.
template <int D>
constexpr bool kKept = D >= 128;

/// Copies rows first .. first + n of two tensors to panels [2][n][D], zero beyond the last row and column.
template <int D>
__device__ inline void stage_panels(bf16* to, const HeadRows<const bf16>& x, const HeadRows<const bf16>& y, int first,
                                    int n) {
    using P = Panels<D>;
#pragma unroll 1
    for (int panel = 0; panel < D / P::kColumns; panel++)
#pragma unroll 1
        for (int i = (int)threadIdx.x; i < n * P::kUnits; i += (int)blockDim.x) {
            const int r = i / P::kUnits, c = i % P::kUnits, column = panel * P::kColumns + c * 8;
            const bool ok = first + r < x.rows && column < x.columns;
            bf16* at = to + panel * n * P::kColumns + P::at(r, c);
            copy_async(at, ok ? x.at(first + r) + column : x.x, ok);
            copy_async(at + n * D, ok ? y.at(first + r) + column : y.x, ok);
        }
}

/// A warpgroup's 64 rows as left operand over D columns: fragments, or panels of `rows` rows.
template <int D>
__device__ inline const uint32_t (&left_of(const uint32_t (&a)[D / 16][4], int, int k))[4] {
    return a[k];
}
template <int D>
__device__ inline uint64_t left_of(uint64_t a, int rows, int k) {
    return a + Panels<D>::column(k, rows);
}

/// c = products of 64 rows with 8 W rows of b, over D columns. The panels of a and b have so many rows.
template <int D, int W, class A>
__device__ inline void dots(float (&c)[W][4], const A& a, int a_rows, uint64_t b, int b_rows) {
    wgmma<W, false, false>(c, left_of<D>(a, a_rows, 0), b);
#pragma unroll
    for (int k = 1; k < D / 16; k++)
        wgmma<W, false, true>(c, left_of<D>(a, a_rows, k), b + Panels<D>::column(k, b_rows));
}

/// c += a times 8 W rows of b.
template <int D, int W>
__device__ inline void add_rows(float (&c)[D / 8][4], const uint32_t (&a)[W / 2][4], uint64_t b) {
#pragma unroll
    for (int k = 0; k < W / 2; k++) wgmma<D / 8, true, true>(c, a[k], b + Panels<D>::row(16 * k));
}

/// Accumulators rounded to bf16, as left operand.
template <int W>
__device__ inline void round_to(uint32_t (&a)[W / 2][4], const float (&p)[W][4]) {
#pragma unroll
    for (int n = 0; n < W; n++) {
        a[n / 2][n % 2 * 2] = pack_bf16(p[n][0], p[n][1]);
        a[n / 2][n % 2 * 2 + 1] = pack_bf16(p[n][2], p[n][3]);
    }
}

/// Whether a warpgroup has no rows; it still takes part in copies and barriers.
__device__ inline bool idle(int row, int rows) { return row / 64 * 64 >= rows; }

/// y and lse.
template <int D>
__global__ void __launch_bounds__(128 * kForwardGroups<D>, 1)
    forward_tiled(AttentionArgs g, int parts, int stage, float scale2) {
    await_inputs();
    using P = Panels<D>;
    CG_SHARED_SWIZZLED(bf16, shared);  // K, V [stage][D] of each buffer
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, row = first_row(parts);
    uint32_t q[D / 16][4];
    left_rows<D>(q, query_rows(g, head, g.q), row);
    float o[D / 8][4];
    OnlineSoftmax softmax;
    zero(o);
    auto copy = [&](int first, int buffer) {
        stage_panels<D>(shared + 2 * buffer * stage * D, key_rows(g, head, g.k), key_rows(g, head, g.v), first, stage);
    };
    auto multiply = [&](int first, int buffer) {
        if (idle(row, Tq)) return;
        const bf16* sk = shared + 2 * buffer * stage * D;
        const uint64_t k = P::descriptor(sk, stage), v = P::descriptor(sk + stage * D, stage);
        tiles<kKeysTile>(Tk - first < stage ? Tk - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value / 8;
            float s[W][4];
            wgmma_begin(q);
            dots<D>(s, q, 0, k + P::row(at), stage);
            wgmma_commit();
            wgmma_wait<0>(s);
            scale_rows(o, softmax.add(s, Tk - first - at, scale2));
            uint32_t p[W / 2][4];
            round_to(p, s);
            wgmma_begin(o, p);
            add_rows<D, W>(o, p, v + P::row(at));
            wgmma_commit();
            wgmma_wait<0>(o, p);
        });
    };
    stages(Tk, stage, copy, multiply, wgmma_fence);
    parts = anew(parts);
    const Head to = head_of(g, (int)blockIdx.x / parts);
    const int to_row = first_row(parts);
    if (to_row >= Tq) return;
    softmax.finish();
    store_rows<D>(result_rows(g, to, g.y), to_row, o, 1 / softmax.l[0], 1 / softmax.l[1]);
    softmax.store((float*)g.lse + to.row, to_row, Tq);
}

/// dQ, and D_i [B H, Tq] to scratch.
template <int D>
__global__ void __launch_bounds__(128 * kGradGroups<D>, 1)
    grad_queries_tiled(AttentionGradArgs g, int parts, int stage, float scale) {
    await_inputs();
    using P = Panels<D>;
    CG_SHARED_SWIZZLED(bf16, shared);  // K, V [stage][D] of each buffer
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, row = first_row(parts);
    uint32_t q[D / 16][4], dy[D / 16][4];
    float2 d, e;
    gradient_rows<D>(g, head, row, q, dy, d, e);
    const float scale2 = scale * kLog2e;
    float dq[D / 8][4];
    zero(dq);
    auto copy = [&](int first, int buffer) {
        stage_panels<D>(shared + 2 * buffer * stage * D, key_rows(g, head, g.k), key_rows(g, head, g.v), first, stage);
    };
    auto multiply = [&](int first, int buffer) {
        if (idle(row, Tq)) return;
        const bf16* sk = shared + 2 * buffer * stage * D;
        const uint64_t k = P::descriptor(sk, stage), v = P::descriptor(sk + stage * D, stage);
        tiles<kKeysTile>(Tk - first < stage ? Tk - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value / 8;
            float s[W][4], dp[W][4];
            wgmma_begin(q, dy);
            dots<D>(s, q, 0, k + P::row(at), stage);
            wgmma_commit();
            dots<D>(dp, dy, 0, v + P::row(at), stage);
            wgmma_commit();
            wgmma_wait<1>(s);
            probabilities(s, e, scale2);
            wgmma_wait<0>(dp);
            score_gradients(dp, s, d, Tk - first - at);
            uint32_t ds[W / 2][4];
            round_to(ds, dp);
            wgmma_begin(dq, ds);
            add_rows<D, W>(dq, ds, k + P::row(at));
            wgmma_commit();
            wgmma_wait<0>(dq, ds);
        });
    };
    stages(Tk, stage, copy, multiply, wgmma_fence);
    if (row < Tq) store_rows<D>(query_rows(g, head, g.dQ), anew(row), dq, scale, scale);
}

/// Adds to dK and dV what a tile of 8 W queries gives: q and y are their panels, k and v the rows of keys.
template <int D, int W, class A>
__device__ inline void add_queries(float (&dk)[D / 8][4], float (&dv)[D / 8][4], A& k, A& v, int key_rows, uint64_t q,
                                   uint64_t y, int rows, const float* se, const float* sd, float scale2) {
    float s[W][4], dp[W][4];
    if constexpr (sizeof(A) == 8) wgmma_begin();
    else wgmma_begin(k, v);
    dots<D>(s, k, key_rows, q, rows);
    wgmma_commit();
    dots<D>(dp, v, key_rows, y, rows);
    wgmma_commit();
    wgmma_wait<1>(s);
    probabilities(s, se, scale2);
    uint32_t p[W / 2][4], ds[W / 2][4];
    round_to(p, s);
    wgmma_begin(dv, p);
    add_rows<D, W>(dv, p, y);
    wgmma_commit();
    wgmma_wait<1>(dp);  // dV is in flight
    score_gradients(dp, s, sd);
    round_to(ds, dp);
    wgmma_begin(dk, ds);
    add_rows<D, W>(dk, ds, q);
    wgmma_commit();
    wgmma_wait<0>(dk, dv, p, ds);
}

/// dK and dV.
template <int D>
__global__ void __launch_bounds__(128 * kGradGroups<D>, 1)
    grad_keys_tiled(AttentionGradArgs g, int parts, int stage, float scale) {
    await_inputs();
    using P = Panels<D>;
    // Q, dY [stage][D] of each buffer; K, V [rows of the block][D] if kept; lse / ln 2 and D_i [stage] of each buffer
    CG_SHARED_SWIZZLED(bf16, shared);
    const Head head = head_of(g, (int)blockIdx.x / parts);
    const int Tq = (int)g.Tq, Tk = (int)g.Tk, row = first_row(parts), block_rows = (int)blockDim.x / 2;
    bf16* kept = shared + (Tq > stage ? 4 : 2) * stage * D;
    float* rows = (float*)(kept + (kKept<D> ? 2 * block_rows * D : 0));
    auto left = [&] {
        if constexpr (kKept<D>) {
            stage_panels<D>(kept, key_rows(g, head, g.k), key_rows(g, head, g.v), (int)blockIdx.x % parts * block_rows,
                            block_rows);
            return P::descriptor(kept, block_rows) + P::row((int)threadIdx.x / 128 * 64);
        } else {
            return 0;
        }
    }();
    uint32_t k[D / 16][4], v[D / 16][4];
    if (!kKept<D>) {
        left_rows<D>(k, key_rows(g, head, g.k), row);
        left_rows<D>(v, key_rows(g, head, g.v), row);
    }
    const float scale2 = scale * kLog2e;
    float dk[D / 8][4], dv[D / 8][4];
    zero(dk);
    zero(dv);
    auto copy = [&](int first, int buffer) {
        stage_panels<D>(shared + 2 * buffer * stage * D, query_rows(g, head, g.q), result_rows(g, head, g.dY), first,
                        stage);
        float *se = rows + 2 * buffer * stage, *sd = se + stage;
        for (int i = (int)threadIdx.x; i < stage; i += (int)blockDim.x) {
            const bool ok = first + i < Tq;
            se[i] = ok ? ((const float*)g.lse)[head.row + first + i] * kLog2e : INFINITY;
            sd[i] = ok ? ((const float*)g.scratch)[head.row + first + i] : 0;
        }
    };
    auto multiply = [&](int first, int buffer) {
        if (idle(row, Tk)) return;
        const bf16* sq = shared + 2 * buffer * stage * D;
        const uint64_t q = P::descriptor(sq, stage), y = P::descriptor(sq + stage * D, stage);
        const float *se = rows + 2 * buffer * stage, *sd = se + stage;
        tiles<kQueriesTile>(Tq - first < stage ? Tq - first : stage, [&](auto width, int at) {
            constexpr int W = decltype(width)::value / 8;
            if constexpr (kKept<D>) {
                uint64_t own_k = left, own_v = left + (uint64_t)(block_rows * D / 8);
                add_queries<D, W>(dk, dv, own_k, own_v, block_rows, q + P::row(at), y + P::row(at), stage, se + at,
                                  sd + at, scale2);
            } else {
                add_queries<D, W>(dk, dv, k, v, 0, q + P::row(at), y + P::row(at), stage, se + at, sd + at, scale2);
            }
        });
    };
    stages(Tq, stage, copy, multiply, wgmma_fence);
    if (row >= Tk) return;
    store_rows<D>(key_rows(g, head, g.dK), anew(row), dk, scale, scale);
    store_rows<D>(key_rows(g, head, g.dV), anew(row), dv, 1, 1);
}

// ---- host

constexpr int kMultiprocessors = 132;
constexpr int kStage = 128;

/// The blocks (parts) of each head and the warpgroups of a block, of which each computes 64 of n rows. A block takes as
/// long as its warpgroups multiply, but not less than three do: the stages that they share come from L2, whose 24
/// bytes a clock and multiprocessor feed 2.7 warpgroups.
struct Groups {
    i64 parts = 0;
    int groups = 0;
    Groups(i64 heads, i64 n, int most) {
        i64 least = 0;
        for (int w = most; w > 0; w--) {
            const i64 p = ceil_div(n, 64 * w), cost = ceil_div(heads * p, kMultiprocessors) * (w < 3 ? 3 : w);
            if (groups == 0 || cost < least) parts = p, groups = w, least = cost;
        }
    }
    int threads() const { return 128 * groups; }
};

/// Rows of a stage of n rows, and buffers: one stage if that is enough.
struct Buffers {
    int rows, buffers;
    explicit Buffers(i64 n) : rows(n <= kStage ? (int)align_up(n, 16) : kStage), buffers(n <= kStage ? 1 : 2) {}
    /// Elements of two tensors, D wide.
    size_t elements(int D) const { return (size_t)buffers * 2 * rows * D; }
};

template <int D>
void forward(const AttentionArgs& g, Stream st) {
    const Groups s(g.B * g.H, g.Tq, kForwardGroups<D>);
    const Buffers keys(g.Tk);
    CG_LAUNCH((forward_tiled<D>), grid(g.B * g.H * s.parts), s.threads(), keys.elements(D) * 2, st, g, (int)s.parts,
              keys.rows, kLog2e / sqrtf((float)g.D));
}

template <int D>
void grad(const AttentionGradArgs& g, Stream st) {
    const float scale = 1 / sqrtf((float)g.D);
    const Groups q(g.B * g.H, g.Tq, kGradGroups<D>), k(g.B * g.H, g.Tk, kGradGroups<D>);
    const Buffers keys(g.Tk), queries(g.Tq);
    CG_LAUNCH((grad_queries_tiled<D>), grid(g.B * g.H * q.parts), q.threads(), keys.elements(D) * 2, st, g,
              (int)q.parts, keys.rows, scale);
    const size_t kept = kKept<D> ? (size_t)k.groups * 2 * 64 * D * 2 : 0;
    CG_LAUNCH((grad_keys_tiled<D>), grid(g.B * g.H * k.parts), k.threads(),
              queries.elements(D) * 2 + kept + (size_t)queries.buffers * 2 * queries.rows * 4, st, g, (int)k.parts,
              queries.rows, scale);
}

constexpr i64 kMostD = 160, kMostGradD = 128;

/// Calls f(width) for the narrowest width of panels that holds D columns, 128 at most.
template <class F>
void padded(i64 D, F&& f) {
    if (D <= 48) f(std::integral_constant<int, 48>());
    else if (D <= 64) f(std::integral_constant<int, 64>());
    else if (D <= 80) f(std::integral_constant<int, 80>());
    else f(std::integral_constant<int, 128>());
}

}  // namespace

bool tiled_fits(i64 D) { return D % 8 == 0 && D >= 40 && D <= kMostD; }
bool tiled_fits_grad(i64 D) { return D % 8 == 0 && D >= 40 && D <= kMostGradD; }

void attention_tiled(const AttentionArgs& g, Stream st) {
    if (g.D > kMostGradD) forward<160>(g, st);
    else padded(g.D, [&](auto width) { forward<decltype(width)::value>(g, st); });
}

void attention_tiled_grad(const AttentionGradArgs& g, Stream st) {
    padded(g.D, [&](auto width) { grad<decltype(width)::value>(g, st); });
}

}  // namespace cg::cuda::sm90

#endif
