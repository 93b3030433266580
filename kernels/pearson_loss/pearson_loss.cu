// SPDX-License-Identifier: Apache-2.0
// IMAGES: a block computes 32 vertices. Two passes over their columns give r, a third the gradient; pred and target are
// read from device memory once, dPred is written once. The implementations are named for where the columns stay:
//   registers      V a multiple of 4 (39,548 is; its bf16 rows lie on 8 bytes) and B up to 256: a thread reads four
//                  vertices of every 32nd row (up to 80 registers at B 128: three blocks a multiprocessor, no spills)
//   shared         memory, as float, B up to 640
//   cache          any other shape, and the only one that takes the sums of several ranks
// Floor: B V (4 + 2 sizeof T) bytes over bandwidth.
// VERTICES (implementation "vertices"): an image's row is longer than a block's memory, so means, centred sums and the
// gradient are three kernels over chunks of rows. Between them the tensors (40 MB at B 128) stay in L2. Losses: two
// doubles a block, added in order by one block. Deterministic. Never raw sums of squares. Versions: shared memory
// alone, a vertex a thread (loads of 4 bytes, in bf16 2); this one.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kColumns = 32, kGroups = 8, kThreads = kColumns * kGroups;
constexpr i64 kTile = 640;  // most rows of a tile in shared memory
constexpr i64 kChunk = 4096;

__device__ inline float pixel_term(float d, PixelKind kind, float& slope) {
    const float a = fabsf(d);
    if (kind == PixelKind::L1) {
        slope = d > 0 ? 1.f : d < 0 ? -1.f : 0.f;
        return a;
    }
    if (kind == PixelKind::MSE) {
        slope = 2 * d;
        return d * d;
    }
    slope = a < 1 ? d : d > 0 ? 1.f : -1.f;
    return a < 1 ? 0.5f * d * d : a - 0.5f;
}

/// Sums over the 8 row groups of each column, in every thread of the column.
template <int N>
__device__ inline void column_sums(float (&v)[N], float (*smem)[kGroups][kColumns]) {
    __syncthreads();
    for (int k = 0; k < N; k++) smem[k][threadIdx.y][threadIdx.x] = v[k];
    __syncthreads();
    for (int k = 0; k < N; k++) {
        float s = 0;
        for (int i = 0; i < kGroups; i++) s += smem[k][i][threadIdx.x];
        v[k] = s;
    }
}

template <class T, bool TILE>
__global__ void __launch_bounds__(kThreads)
    over_images(const T* pred, const float* target, const float* w, const double* given, T* dPred, double* part, i64 B,
                i64 V, i64 images, PixelKind kind, float eps, float dust) {
    await_inputs();
    CG_SHARED(float, tile);  // [2][B][32]
    __shared__ float smem[3][kGroups][kColumns];
    __shared__ double sums[2][kThreads];
    const i64 c = (i64)blockIdx.x * kColumns + threadIdx.x;
    const bool in = c < V;
    float *tp = tile + threadIdx.x, *tt = tile + B * kColumns + threadIdx.x;
    auto p_at = [&](i64 b) { return TILE ? tp[b * kColumns] : to_float(pred[b * V + c]); };
    auto t_at = [&](i64 b) { return TILE ? tt[b * kColumns] : target[b * V + c]; };
    float m[2] = {0, 0};
    double pixel = 0;
    if (in)
        for (i64 b = threadIdx.y; b < B; b += kGroups) {
            const float p = to_float(pred[b * V + c]), t = target[b * V + c];
            if (TILE) tp[b * kColumns] = p, tt[b * kColumns] = t;
            m[0] += p;
            m[1] += t;
            float slope;
            pixel += pixel_term(p - t, kind, slope);
        }
    column_sums(m, smem);
    float mp = m[0] / (float)B, mt = m[1] / (float)B, s[3] = {0, 0, 0};
    const double N = (double)images;
    if (given && in) {
        const double x = given[c] / N, y = given[V + c] / N;
        mp = (float)x, mt = (float)y;
        s[0] = (float)fmax(given[2 * V + c] - N * x * x, 0.0);
        s[1] = (float)fmax(given[3 * V + c] - N * y * y, 0.0);
        s[2] = (float)(given[4 * V + c] - N * x * y);
    }
    if (!given && in)
        for (i64 b = threadIdx.y; b < B; b += kGroups) {
            const float x = p_at(b) - mp, y = t_at(b) - mt;
            s[0] += x * x;
            s[1] += y * y;
            s[2] += x * y;
        }
    if (!given) column_sums(s, smem);
    if (s[1] <= dust * mt * mt) s[1] = 0;
    const float e = fminf(eps * s[1], eps * (float)images), a = s[0] + e, D = sqrtf(a) * sqrtf(s[1] + e),
                r = D > 0 ? s[2] / D : 0.f;
    const double n = (double)B * (double)V;
    if (in) {
        const float w0 = (float)(w[0] / n), w1 = (float)(w[1] / (double)V * (N / (double)B)), iD = D > 0 ? 1 / D : 0.f,
                    ra = D > 0 ? r / a : 0.f;
        for (i64 b = threadIdx.y; b < B; b += kGroups) {
            const float p = p_at(b), t = t_at(b);
            float slope;
            pixel_term(p - t, kind, slope);
            dPred[b * V + c] = from_float<T>(w0 * slope - w1 * ((t - mt) * iD - (p - mp) * ra));
        }
    }
    const int tid = (int)(threadIdx.y * kColumns + threadIdx.x);
    sums[0][tid] = pixel / n;
    sums[1][tid] = in && threadIdx.y == 0 ? (1.0 - r) / (double)V : 0;
    for (int d = kThreads / 2; d > 0; d /= 2) {
        __syncthreads();
        if (tid < d)
            for (int k = 0; k < 2; k++) sums[k][tid] += sums[k][tid + d];
    }
    if (tid == 0) {
        part[(i64)blockIdx.x * 2] = sums[0][0];
        part[(i64)blockIdx.x * 2 + 1] = sums[1][0];
    }
}

__device__ inline void load4(const float* p, float* v) { load_vec(p, v); }
__device__ inline void load4(const bf16* p, float* v) {
    const int2 x = *(const int2*)p;
    v[0] = bits_to_float((uint32_t)x.x << 16), v[1] = bits_to_float((uint32_t)x.x & 0xffff0000u);
    v[2] = bits_to_float((uint32_t)x.y << 16), v[3] = bits_to_float((uint32_t)x.y & 0xffff0000u);
}
__device__ inline void store4(float* p, const float* v) { store_vec(p, v); }
__device__ inline void store4(bf16* p, const float* v) {
    int2 x;
    x.x = (int)pack_bf16(v[0], v[1]), x.y = (int)pack_bf16(v[2], v[3]);
    *(int2*)p = x;
}

/// Sums each of a thread's four columns over the 32 rows of threads; every thread of the column gets the sum. Shuffles
/// sum the four rows of a warp, shared memory the warps in order.
template <int N>
__device__ inline void column_sums4(float (&v)[N][4], float (*smem)[kGroups][kColumns]) {
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32, x = (int)threadIdx.x % 8 * 4;
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[k][j] += __shfl_xor_sync(0xffffffffu, v[k][j], 8);
            v[k][j] += __shfl_xor_sync(0xffffffffu, v[k][j], 16);
            if (lane < 8) smem[k][warp][x + j] = v[k][j];
        }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) v[k][j] = smem[k][0][x + j];
#pragma unroll 1  // all at once would take 96 registers
    for (int i = 1; i < kGroups; i++)
#pragma unroll
        for (int k = 0; k < N; k++)
#pragma unroll
            for (int j = 0; j < 4; j++) v[k][j] += smem[k][i][x + j];
}

/// over_images for V a multiple of 4 and B up to 32 R: a thread keeps R rows of four vertices in registers.
template <class T, int R>
__global__ void __launch_bounds__(kThreads, R < 8 ? 3 : 2)
    over_images4(const T* pred, const float* target, const float* w, T* dPred, double* part, int B, i64 V,
                 PixelKind kind, float eps, float dust, double inv_n, double inv_v) {
    await_inputs();
    __shared__ __align__(16) float smem[3][kGroups][kColumns];
    __shared__ double dbl[33];
    const int row = (int)threadIdx.x / 8;
    const i64 c = (i64)blockIdx.x * kColumns + threadIdx.x % 8 * 4;
    const int rows = c < V ? B : 0;
    float p[R][4], t[R][4], m[2][4] = {}, s[3][4] = {}, pixel = 0, slope;
#pragma unroll
    for (int i = 0; i < R; i++)
        if (row + 32 * i < rows) {
            load4(pred + (row + 32 * i) * V + c, p[i]);
            load4(target + (row + 32 * i) * V + c, t[i]);
        }
#pragma unroll
    for (int i = 0; i < R; i++)
        if (row + 32 * i < rows)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                m[0][j] += p[i][j];
                m[1][j] += t[i][j];
                pixel += pixel_term(p[i][j] - t[i][j], kind, slope);
            }
    column_sums4(m, smem);
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) m[k][j] /= (float)B;
#pragma unroll
    for (int i = 0; i < R; i++)
        if (row + 32 * i < rows)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float x = p[i][j] - m[0][j], y = t[i][j] - m[1][j];
                s[0][j] += x * x;
                s[1][j] += y * y;
                s[2][j] += x * y;
            }
    column_sums4(s, smem);
    const float w0 = (float)(w[0] * inv_n), w1 = (float)(w[1] * inv_v);
    double corr = 0;
    float iD[4], ra[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        if (s[1][j] <= dust * m[1][j] * m[1][j]) s[1][j] = 0;
        const float e = fminf(eps * s[1][j], eps * (float)B), a = s[0][j] + e, D = sqrtf(a) * sqrtf(s[1][j] + e),
                    r = D > 0 ? s[2][j] / D : 0.f;
        iD[j] = D > 0 ? 1 / D : 0.f;
        ra[j] = D > 0 ? r / a : 0.f;
        if (row == 0 && c < V) corr += 1.0 - r;
    }
#pragma unroll
    for (int i = 0; i < R; i++)
        if (row + 32 * i < rows) {
            float d[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                pixel_term(p[i][j] - t[i][j], kind, slope);
                d[j] = w0 * slope - w1 * ((t[i][j] - m[1][j]) * iD[j] - (p[i][j] - m[0][j]) * ra[j]);
            }
            store4(dPred + (row + 32 * i) * V + c, d);
        }
    const double pixels = block_sum(pixel * inv_n, dbl);
    corr = block_sum(corr * inv_v, dbl);
    if (threadIdx.x == 0) {
        part[(i64)blockIdx.x * 2] = pixels;
        part[(i64)blockIdx.x * 2 + 1] = corr;
    }
}

__device__ inline void publish(double pixel, double corr, const float* w, float* total, float* pixel_out,
                               float* corr_out) {
    *pixel_out = (float)pixel;
    *corr_out = (float)corr;
    *total = (float)(w[0] * pixel + w[1] * corr);
}

__global__ void __launch_bounds__(1024)
    add_up(const double* part, i64 n, const float* w, float* total, float* pixel_out, float* corr_out) {
    await_inputs();
    __shared__ double smem[33];
    double s[2] = {0, 0};
    for (i64 i = threadIdx.x; i < n; i += 1024)
        for (int k = 0; k < 2; k++) s[k] += part[i * 2 + k];
    const double pixel = block_sum(s[0], smem), corr = block_sum(s[1], smem);
    if (threadIdx.x == 0) publish(pixel, corr, w, total, pixel_out, corr_out);
}

/// Sums over one chunk of an image: of p and t, then of squares and products about the means.
struct Sums {
    double p, t, pp, tt, pt, pixel;
};

__device__ inline double row_sum(const Sums* s, i64 chunks, double Sums::* what, double* smem) {
    double x = 0;
    for (i64 i = threadIdx.x; i < chunks; i += 256) x += s[i].*what;
    return block_sum(x, smem);
}

/// STEP 0: sums for the means; 1: centred sums; 2: gradient and pixel loss.
template <class T, int STEP>
__global__ void __launch_bounds__(256) over_vertices(const T* pred, const float* target, const float* w, T* dPred,
                                                     Sums* sums, i64 B, i64 V, PixelKind kind, float eps, double dust) {
    await_inputs();
    __shared__ double smem[33];
    const i64 chunks = gridDim.x, b = blockIdx.y, begin = (i64)blockIdx.x * kChunk,
              end = begin + kChunk < V ? begin + kChunk : V;
    const T* p = pred + b * V;
    const float* t = target + b * V;
    Sums *row = sums + b * chunks, *mine = row + blockIdx.x;
    float mp = 0, mt = 0;
    if (STEP > 0) {
        mp = (float)(row_sum(row, chunks, &Sums::p, smem) / (double)V);
        mt = (float)(row_sum(row, chunks, &Sums::t, smem) / (double)V);
    }
    if (STEP == 0) {
        float x = 0, y = 0;
        for (i64 i = begin + threadIdx.x; i < end; i += 256) {
            x += to_float(p[i]);
            y += t[i];
        }
        const double sx = block_sum((double)x, smem), sy = block_sum((double)y, smem);
        if (threadIdx.x == 0) mine->p = sx, mine->t = sy;
    } else if (STEP == 1) {
        float xx = 0, yy = 0, xy = 0;
        for (i64 i = begin + threadIdx.x; i < end; i += 256) {
            const float x = to_float(p[i]) - mp, y = t[i] - mt;
            xx += x * x;
            yy += y * y;
            xy += x * y;
        }
        const double a = block_sum((double)xx, smem), c = block_sum((double)yy, smem), d = block_sum((double)xy, smem);
        if (threadIdx.x == 0) mine->pp = a, mine->tt = c, mine->pt = d;
    } else {
        double tt = row_sum(row, chunks, &Sums::tt, smem);
        if (tt <= dust * mt * mt) tt = 0;
        const double e = eps * fmin(tt, (double)V);
        const double a = row_sum(row, chunks, &Sums::pp, smem) + e, c = tt + e;
        const double pt = row_sum(row, chunks, &Sums::pt, smem), D = sqrt(a * c), n = (double)B * (double)V;
        const float w0 = (float)(w[0] / n), w1 = (float)(w[1] / (double)B), iD = D > 0 ? (float)(1 / D) : 0.f,
                    ra = D > 0 ? (float)(pt / D / a) : 0.f;
        float pixel = 0;
        for (i64 i = begin + threadIdx.x; i < end; i += 256) {
            const float x = to_float(p[i]), y = t[i];
            float slope;
            pixel += pixel_term(x - y, kind, slope);
            dPred[b * V + i] = from_float<T>(w0 * slope - w1 * ((y - mt) * iD - (x - mp) * ra));
        }
        const double sum = block_sum((double)pixel, smem);
        if (threadIdx.x == 0) mine->pixel = sum;
    }
}

__global__ void __launch_bounds__(256)
    add_up_images(const Sums* sums, i64 chunks, i64 B, i64 V, double eps, double dust, const float* w, float* total,
                  float* pixel_out, float* corr_out) {
    await_inputs();
    __shared__ double smem[33];
    double pixel = 0, corr = 0;
    for (i64 b = threadIdx.x; b < B; b += 256) {
        double a = 0, c = 0, pt = 0, t = 0;
        for (i64 k = 0; k < chunks; k++) {
            const Sums& s = sums[b * chunks + k];
            a += s.pp, c += s.tt, pt += s.pt, pixel += s.pixel, t += s.t;
        }
        const float mt = (float)(t / (double)V);
        if (c <= dust * mt * mt) c = 0;
        const double e = eps * fmin(c, (double)V), D = sqrt((a + e) * (c + e));
        corr += 1 - (D > 0 ? pt / D : 0);
    }
    pixel = block_sum(pixel, smem) / ((double)B * (double)V);
    corr = block_sum(corr, smem) / (double)B;
    if (threadIdx.x == 0) publish(pixel, corr, w, total, pixel_out, corr_out);
}

// ---- host

/// The last launch of the implementations over images.
void add_up_vertices(const PearsonLossArgs& g, Stream st) {
    CG_LAUNCH((add_up), grid(1), 1024, 0, st, (const double*)g.scratch, ceil_div(g.V, kColumns), (const float*)g.w,
              (float*)g.total, (float*)g.pixel, (float*)g.corr);
}

bool takes_registers(const PearsonLossArgs& g) {
    return g.axis == PearsonAxis::IMAGES && !g.sums && g.V % 4 == 0 && g.B <= 256 &&
           aligned16(g.pred, g.target, g.dPred);
}

template <class T>
void registers(const PearsonLossArgs& g, Stream st) {
    auto rows = [&](auto r) {
        CG_LAUNCH((over_images4<T, decltype(r)::value>), grid(ceil_div(g.V, kColumns)), kThreads, 0, st,
                  (const T*)g.pred, (const float*)g.target, (const float*)g.w, (T*)g.dPred, (double*)g.scratch,
                  (int)g.B, g.V, g.kind, (float)(g.eps / (double)g.B), (float)pearson_dust(g.axis, g.B),
                  1 / ((double)g.B * (double)g.V), 1 / (double)g.V);
    };
    if (g.B <= 64) rows(std::integral_constant<int, 2>());
    else if (g.B <= 128) rows(std::integral_constant<int, 4>());
    else rows(std::integral_constant<int, 8>());
    add_up_vertices(g, st);
}

size_t tile_bytes(const PearsonLossArgs& g) { return (size_t)(2 * g.B * kColumns * 4); }

/// The tile must fit beside 8 KiB of static shared memory.
bool takes_shared(const PearsonLossArgs& g) {
    return g.axis == PearsonAxis::IMAGES && !g.sums && g.B <= kTile && tile_bytes(g) + (8 << 10) <= most_shared();
}

bool takes_cache(const PearsonLossArgs& g) { return g.axis == PearsonAxis::IMAGES; }
bool takes_vertices(const PearsonLossArgs& g) { return g.axis == PearsonAxis::VERTICES; }

template <class T, bool SHARED>
void columns(const PearsonLossArgs& g, Stream st) {
    CG_LAUNCH((over_images<T, SHARED>), grid(ceil_div(g.V, kColumns)), dim3(kColumns, kGroups),
              SHARED ? tile_bytes(g) : 0, st, (const T*)g.pred, (const float*)g.target, (const float*)g.w,
              (const double*)g.sums, (T*)g.dPred, (double*)g.scratch, g.B, g.V, g.images, g.kind,
              (float)(g.eps / (double)g.images), (float)pearson_dust(g.axis, g.images));
    add_up_vertices(g, st);
}

template <class T>
void vertices(const PearsonLossArgs& g, Stream st) {
    const T* p = (const T*)g.pred;
    const float *t = (const float*)g.target, *w = (const float*)g.w;
    const double eps = g.eps / (double)g.V, dust = pearson_dust(g.axis, g.V);
    T* dP = (T*)g.dPred;
    Sums* sums = (Sums*)g.scratch;
    const i64 chunks = ceil_div(g.V, kChunk);
    const dim3 blocks = grid(chunks, g.B);
    CG_LAUNCH((over_vertices<T, 0>), blocks, 256, 0, st, p, t, w, dP, sums, g.B, g.V, g.kind, (float)eps, dust);
    CG_LAUNCH((over_vertices<T, 1>), blocks, 256, 0, st, p, t, w, dP, sums, g.B, g.V, g.kind, (float)eps, dust);
    CG_LAUNCH((over_vertices<T, 2>), blocks, 256, 0, st, p, t, w, dP, sums, g.B, g.V, g.kind, (float)eps, dust);
    CG_LAUNCH((add_up_images), grid(1), 256, 0, st, (const Sums*)sums, chunks, g.B, g.V, eps, dust, w, (float*)g.total,
              (float*)g.pixel, (float*)g.corr);
}

/// The raw sums of 32 vertices, in double: 8 threads a vertex pass down the images, and their sums are added in order.
/// Floor: pred and target are read once, at B 128 and V 39,548 30 MB in bf16.
template <class T>
__global__ void __launch_bounds__(kThreads) raw_sums(const T* pred, const float* target, double* sums, i64 B, i64 V) {
    await_inputs();
    __shared__ double smem[5][kGroups][kColumns];
    const i64 c = (i64)blockIdx.x * kColumns + threadIdx.x;
    double s[5] = {};
    if (c < V)
        for (i64 b = threadIdx.y; b < B; b += kGroups) {
            const double x = to_float(pred[b * V + c]), y = target[b * V + c];
            s[0] += x, s[1] += y, s[2] += x * x, s[3] += y * y, s[4] += x * y;
        }
#pragma unroll
    for (int k = 0; k < 5; k++) smem[k][threadIdx.y][threadIdx.x] = s[k];
    __syncthreads();
    if (threadIdx.y > 0 || c >= V) return;
#pragma unroll
    for (int k = 0; k < 5; k++) {
        for (int i = 1; i < kGroups; i++) s[k] += smem[k][i][threadIdx.x];
        sums[k * V + c] = s[k];
    }
}

}  // namespace

i64 pearson_loss_scratch(const PearsonLossArgs& g) {
    const i64 n =
        g.axis == PearsonAxis::IMAGES ? ceil_div(g.V, kColumns) * 16 : g.B * ceil_div(g.V, kChunk) * (i64)sizeof(Sums);
    return align_up(n, 256);
}

#define CG_LIST(T)                                                                                                   \
    CG_IMPLEMENTATIONS(pearson_loss, T, implementation<PearsonLossArgs, registers<T>, takes_registers>("registers"), \
                       implementation<PearsonLossArgs, columns<T, true>, takes_shared>("shared"),                    \
                       implementation<PearsonLossArgs, columns<T, false>, takes_cache>("cache"),                     \
                       implementation<PearsonLossArgs, vertices<T>, takes_vertices>("vertices"))
CG_LIST(float)
CG_LIST(bf16)

template <class T>
void pearson_sums(const PearsonSumsArgs& g, Stream st) {
    CG_LAUNCH((raw_sums<T>), grid(ceil_div(g.V, kColumns)), dim3(kColumns, kGroups), 0, st, (const T*)g.pred,
              (const float*)g.target, (double*)g.sums, g.B, g.V);
}

CG_CUDA(pearson_sums, PearsonSumsArgs)

}  // namespace cg::cuda
