// SPDX-License-Identifier: Apache-2.0
// Each half of a group (real, fake) is split into pieces, which are distributed over the threads by position. The
// pieces' sums are added in order.
// BCE: e^-|x| serves loss and slope; log(1 + y), 0 < y <= 1, is 2 artanh(y / (2 + y)) by its series to the 13th power
// (next term 9e-9).
// Versions: only this one; LSGAN of 25 groups, [128, 40992] in all, 1.5 ms f32 and 0.6 bf16 in processor time of one
// Zen 4 core (PyTorch 2.13 with its gradient 30 and 12); BCE of 128 x 39548 logits, before there were groups, 1.0 ms
// f32 and 1.1 bf16 on 2 cores (bench/results/2026-11-24-cpu-kernels-jmh.md).
#include "cg/threads.h"
#include "kernels_all.h"
#include "vec.h"

namespace cg {
namespace CG_NS {

namespace {

constexpr i64 kGrain = 8192;

inline vf log1p_of(vf y) {
    vf s = y / (y + splat(2.f)), q = s * s, p = splat(2.f / 13);
    p = fma(p, q, splat(2.f / 11));
    p = fma(p, q, splat(2.f / 9));
    p = fma(p, q, splat(2.f / 7));
    p = fma(p, q, splat(2.f / 5));
    p = fma(p, q, splat(2.f / 3));
    p = fma(p, q, splat(2.f));
    return p * s;
}

struct Term {
    vf loss, slope;
};
/// up: the target is 1 (real). plain: the generator's hinge loss, -x, which has no margin.
template <GanKind K>
inline Term term(vf x, bool up, bool plain) {
    const vf zero{}, one = splat(1.f);
    vf s = up ? -x : x, sign = splat(up ? -1.f : 1.f);
    if constexpr (K == GanKind::LSGAN) {
        vf d = up ? x - one : x;
        return {d * d, d + d};
    }
    if constexpr (K == GanKind::BCE) {
        vf e = vexp(-vabs(s));
        vf sigmoid = select(s > zero, one, e) / (one + e);
        return {vmax(s, zero) + log1p_of(e), sign * sigmoid};
    }
    if constexpr (K == GanKind::HINGE) {
        if (plain) return {s, sign};
        vf m = one + s;
        return {vmax(m, zero), select(m > zero, sign, zero)};
    }
}

i64 halves(const GanLossArgs& a) { return a.side == GanSide::DISCRIMINATOR ? 2 : 1; }
i64 pieces(const GanGroup& g) { return (g.n + kGrain - 1) / kGrain; }

/// Sums the losses of n logits to part[0] and the logits to part[1]; writes f times the slopes to d.
template <class T, GanKind K>
void piece(const T* x, T* d, i64 n, vf f, bool up, bool plain, double* part) {
    vf sl{}, sm{};
    i64 i = 0;
    for (; i + W <= n; i += W) {
        vf v = load(x + i);
        Term t = term<K>(v, up, plain);
        sl += t.loss;
        sm += v;
        store(d + i, f * t.slope);
    }
    part[0] = hsum(sl);
    part[1] = hsum(sm);
    if (i == n) return;
    vf v = load_n(x + i, n - i);
    Term t = term<K>(v, up, plain);
    store_n(d + i, f * t.slope, n - i);
    float l[W], m[W];
    store(l, t.loss);
    store(m, v);
    for (i64 j = 0; j < n - i; j++) part[0] += l[j], part[1] += m[j];
}

template <class T, GanKind K>
void run(const GanLossArgs& a) {
    const bool gen = a.side == GanSide::GENERATOR;
    const double weight = *(const float*)a.weight, half = gen ? 1 : 0.5;
    double* part = (double*)a.scratch;
    i64 all = 0, logits = 0;
    for (i64 g = 0; g < a.n; g++) all += halves(a) * pieces(a.rows[g]), logits += halves(a) * a.rows[g].n;
    parallel(all, logits > kGrain ? 1 : all, [&](i64 b, i64 e, int) {
        i64 g = 0, before = 0;
        for (i64 i = b; i < e; i++) {
            while (before + halves(a) * pieces(a.rows[g]) <= i) before += halves(a) * pieces(a.rows[g++]);
            const GanGroup& p = a.rows[g];
            const i64 h = (i - before) / pieces(p), k = (i - before) % pieces(p) * kGrain, at = p.off + h * p.n + k;
            const vf f = splat((float)(weight * p.w * half / (double)p.n));
            piece<T, K>((const T*)a.x + at, (T*)a.dX + at, std::min(kGrain, p.n - k), f, gen || h == 0, gen,
                        part + 2 * i);
        }
    });
    double total = 0;
    for (i64 g = 0; g < a.n; g++) {
        const GanGroup& p = a.rows[g];
        double loss = 0, mean[2] = {0, 0};
        for (i64 h = 0; h < halves(a); h++)
            for (i64 i = 0; i < pieces(p); i++, part += 2) {
                loss += part[0];
                mean[gen || h == 1] += part[1];
            }
        loss *= half / (double)p.n;
        ((float*)a.loss)[g] = (float)loss;
        ((float*)a.real)[g] = (float)(mean[0] / (double)p.n);
        ((float*)a.fake)[g] = (float)(mean[1] / (double)p.n);
        total += p.w * loss;
    }
    *(float*)a.total = (float)(weight * total);
}

}  // namespace

i64 gan_loss_scratch(const GanLossArgs& a) {
    i64 all = 0;
    for (i64 g = 0; g < a.n; g++) all += halves(a) * pieces(a.rows[g]);
    return (all * 16 + 63) / 64 * 64;
}

template <class T>
void gan_loss(const GanLossArgs& g) {
    switch (g.kind) {
        case GanKind::LSGAN: return run<T, GanKind::LSGAN>(g);
        case GanKind::BCE: return run<T, GanKind::BCE>(g);
        case GanKind::HINGE: return run<T, GanKind::HINGE>(g);
    }
    CG_CHECK(false, "unknown adversarial loss");
}

CG_INSTANTIATE(gan_loss, GanLossArgs)

}  // namespace CG_NS
}  // namespace cg
