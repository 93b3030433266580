// SPDX-License-Identifier: Apache-2.0
// One launch for all tensors (up to 256; further tensors take another launch). The table of rows is a kernel parameter;
// a block takes 8192 elements of one row.
// Each block computes the bias corrections once, in double, with expm1 of a logarithm from the host: pow would stall
// the block for thousands of cycles.
// A spectrally normalised weight's correction adds three operations an element. It reads v from cache and, where 4
// divides N, one number of u for four elements; otherwise each element reads its own.
// Floor: 28 bytes an element (30 with the bf16 copy) over bandwidth.
// grad_norm: each block leaves a double, and one block adds them in order.
// Versions: only this one.
#include "gradient.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kThreads = 256, kChunk = 8192, kRows = 256;

struct Constants {
    const float *lr, *t, *norm;
    double beta1, beta2, log_beta1, log_beta2, eps, clip, ema_decay;
    int decoupled;
};

__global__ void __launch_bounds__(kThreads)
    adam_step(const Constants a, const Rows<AdamRow, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ float k[6];
    int part;
    const AdamRow& r = rows.row[rows.find((int)blockIdx.x, part)];
    const float norm = *a.norm;
    if (!(norm <= 3.4e38f)) return;
    if (threadIdx.x == 0) {
        const double t = *a.t, lr = *a.lr * r.rate;
        double c = 1, d = (1 + t) / (10 + t);
        if (a.clip > 0 && a.clip < norm + 1e-6) c = a.clip / (norm + 1e-6);
        if (a.ema_decay < d) d = a.ema_decay;
        k[0] = (float)c;
        k[1] = (float)(lr / -expm1(t * a.log_beta1));
        k[2] = (float)(1 / sqrt(-expm1(t * a.log_beta2)));
        k[3] = (float)d;
        k[4] = (float)(1 - d);
        k[5] = a.decoupled ? (float)(1 - lr * r.decay) : 1.f;
    }
    __syncthreads();
    const float c = k[0], rate = k[1], root = k[2], ema_keep = k[3], ema_add = k[4], shrink = k[5];
    const float l2 = a.decoupled ? 0.f : (float)r.decay, eps = (float)a.eps;
    const float b1 = (float)a.beta1, b2 = (float)a.beta2, c1 = (float)(1 - a.beta1), c2 = (float)(1 - a.beta2);
    float *p = (float*)r.p, *m = (float*)r.m, *v = (float*)r.v, *ema = (float*)r.ema;
    bf16* p16 = (bf16*)r.p16;
    const i64 begin = (i64)part * kChunk, end = begin + kChunk < r.gradient.n ? begin + kChunk : r.gradient.n;
    auto one = [&](float& q, float x, float& mi, float& vi) {
        q *= shrink;
        x = c * x + l2 * q;
        mi = b1 * mi + c1 * x;
        vi = b2 * vi + c2 * x * x;
        q -= rate * mi / (sqrtf(vi) * root + eps);
    };
    i64 i = begin + (i64)threadIdx.x * 4;
    GradientWalk g(r.gradient, i, kThreads * 4);
    for (; i + 4 <= end; i += kThreads * 4, g.next()) {
        float q[4], x[4], mi[4], vi[4];
        load_vec(p + i, q);
        g.four(x);
        load_vec(m + i, mi);
        load_vec(v + i, vi);
#pragma unroll
        for (int j = 0; j < 4; j++) one(q[j], x[j], mi[j], vi[j]);
        store_vec(p + i, q);
        store_vec(m + i, mi);
        store_vec(v + i, vi);
        if (p16) {
            int2 h;
            h.x = (int)pack_bf16(q[0], q[1]), h.y = (int)pack_bf16(q[2], q[3]);
            *(int2*)(p16 + i) = h;
        }
        if (ema) {
            float e[4];
            load_vec(ema + i, e);
#pragma unroll
            for (int j = 0; j < 4; j++) e[j] = ema_keep * e[j] + ema_add * q[j];
            store_vec(ema + i, e);
        }
    }
    for (; i < end; i++) {  // fewer than four elements are left of the tensor
        one(p[i], g.one(), m[i], v[i]);
        if (p16) p16[i] = from_float<bf16>(p[i]);
        if (ema) ema[i] = ema_keep * ema[i] + ema_add * p[i];
    }
}

__global__ void __launch_bounds__(kThreads)
    square_sums(double* part, const Rows<Gradient, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ double smem[33];
    int k;
    const Gradient& r = rows.row[rows.find((int)blockIdx.x, k)];
    const i64 begin = (i64)k * kChunk, end = begin + kChunk < r.n ? begin + kChunk : r.n;
    float s = 0;  // sum of at most 32 squares
    i64 i = begin + (i64)threadIdx.x * 4;
    GradientWalk g(r, i, kThreads * 4);
    for (; i + 4 <= end; i += kThreads * 4, g.next()) {
        float x[4];
        g.four(x);
#pragma unroll
        for (int j = 0; j < 4; j++) s += x[j] * x[j];
    }
    for (; i < end; i++) {
        const float x = g.one();
        s += x * x;
    }
    const double sum = block_sum((double)s, smem);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(1024) root_of_sum(const double* part, i64 n, float* norm) {
    await_inputs();
    __shared__ double smem[33];
    double s = 0;
    for (i64 i = threadIdx.x; i < n; i += 1024) s += part[i];
    s = block_sum(s, smem);
    if (threadIdx.x == 0) *norm = (float)sqrt(s);
}

}  // namespace

template <class T>
void adam(const AdamArgs& a, Stream s) {
    const Constants c = {(const float*)a.lr,
                         (const float*)a.t,
                         (const float*)a.norm,
                         a.beta1,
                         a.beta2,
                         log(a.beta1),
                         log(a.beta2),
                         a.eps,
                         a.clip,
                         a.ema_decay,
                         (int)a.decoupled};
    for (i64 k = 0; k < a.n; k++) {
        const AdamRow& r = a.rows[k];
        check(r.gradient);
        CG_CHECK(aligned16(r.p, r.m, r.v, r.p16, r.ema), "tensor addresses must be multiples of 16 bytes");
    }
    using Table = Rows<AdamRow, kRows>;
    for_rows<kRows>(
        a.rows, a.n, [](const AdamRow& r) { return ceil_div(r.gradient.n, kChunk); },
        [&](const Table& t, i64 blocks, i64) { CG_LAUNCH((adam_step), grid(blocks), kThreads, 0, s, c, t); });
}

static i64 norm_blocks(const GradNormArgs& a) {
    i64 n = 0;
    for (i64 k = 0; k < a.n; k++) n += ceil_div(a.rows[k].n, kChunk);
    return n;
}

i64 grad_norm_scratch(const GradNormArgs& a) { return align_up(norm_blocks(a) * 8, 256); }

template <class T>
void grad_norm(const GradNormArgs& a, Stream s) {
    double* part = (double*)a.scratch;
    i64 at = 0;
    for (i64 k = 0; k < a.n; k++) check(a.rows[k]);
    using Table = Rows<Gradient, kRows>;
    for_rows<kRows>(
        a.rows, a.n, [](const Gradient& r) { return ceil_div(r.n, kChunk); },
        [&](const Table& t, i64 blocks, i64) {
            CG_LAUNCH((square_sums), grid(blocks), kThreads, 0, s, part + at, t);
            at += blocks;
        });
    CG_LAUNCH((root_of_sum), grid(1), 1024, 0, s, (const double*)part, at, (float*)a.norm);
}

CG_CUDA_F32(adam, AdamArgs)
CG_CUDA_F32(grad_norm, GradNormArgs)

}  // namespace cg::cuda
