// SPDX-License-Identifier: Apache-2.0
// A block takes a tile of 64 x 64 elements: it writes y from registers, 8 bytes a thread, and the transpose from shared
// memory, 16 bytes a thread. Maxima and column sums of tiles go to memory as they are, so that no value needs to be
// cleared before a step, and no order of blocks shows. The sums are nearly free here: the gradient is read anyway.
// Cards before 8.9 have no conversion to FP8; they compute it by integer operations.
//
// Floor: 4 bytes an element of bf16 over bandwidth, which leaves 27 instructions an element at 4.3 TB/s (H200).
// Predicted, not measured: 0.8 of the floor's rate, as for other kernels that stream through tiles: 22 us for 19.4 M.
// Versions (instructions an element by SASS, all in straight code; the sums are 5 of them):
//   1. A loop over rows: 31, 38 registers, 6 blocks an SM, one load of 16 bytes in flight a thread.
//   2. Both rows loaded first: 23.5, 32 registers, 8 blocks an SM, 64 KB in flight.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kTile = (int)fp8::kTile, kThreads = 256, kWarps = kThreads / 32;
constexpr int kWords = kTile / 4 + 1;  // of a row of the tile in shared memory; odd, so that columns spread over banks

/// Four numbers in FP8, v[0] in the lowest byte.
template <Fp8 F>
__device__ inline uint32_t encode4(const float* v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    uint16_t lo, hi;
    if (F == Fp8::E4M3) {
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(lo) : "f"(v[1]), "f"(v[0]));
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(hi) : "f"(v[3]), "f"(v[2]));
    } else {
        asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(lo) : "f"(v[1]), "f"(v[0]));
        asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(hi) : "f"(v[3]), "f"(v[2]));
    }
    return lo | (uint32_t)hi << 16;
#else
    uint32_t w = 0;
    for (int i = 0; i < 4; i++) w |= (uint32_t)fp8::encode(F, v[i]) << 8 * i;
    return w;
#endif
}

__device__ inline uint32_t warp_max(uint32_t v) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) {
        const uint32_t other = __shfl_xor_sync(0xffffffffu, v, d);
        v = v > other ? v : other;
    }
    return v;
}

/// Largest v of a block of kWarps warps, returned in the first thread. Synchronises the block.
__device__ inline uint32_t block_max(uint32_t v, uint32_t* smem) {
    v = warp_max(v);
    if (threadIdx.x % 32 == 0) smem[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < kWarps; i++) v = v > smem[i] ? v : smem[i];
    return v;
}

/// 16 bytes of a column of the tile.
__device__ inline int4 column_of(const uint32_t (*tile)[kWords], int row, int column) {
    const int shift = column % 4 * 8;
    uint32_t w[4] = {};
#pragma unroll
    for (int i = 0; i < 16; i++) w[i / 4] |= (tile[row + i][column / 4] >> shift & 0xff) << i % 4 * 8;
    int4 v;
    v.x = (int)w[0], v.y = (int)w[1], v.z = (int)w[2], v.w = (int)w[3];
    return v;
}

template <class T, Fp8 F>
__global__ void __launch_bounds__(kThreads)
    quantize_tile(const T* x, const float* state, uint8_t* y, uint8_t* t, float* maxima, float* sums, i64 R, i64 C) {
    await_inputs();
    __shared__ uint32_t tile[kTile][kWords], smem[kWarps];
    __shared__ float partial[kWarps][kTile];
    const int tid = (int)threadIdx.x, c = tid % 8 * 8;
    const i64 row0 = (i64)blockIdx.y * kTile, column0 = (i64)blockIdx.x * kTile;
    const float scale = state[1];
    constexpr int kParts = kTile * 8 / kThreads;  // of a thread: 8 columns of every 32nd row
    float v[kParts][8] = {};
    bool inside[kParts];
#pragma unroll
    for (int p = 0; p < kParts; p++) {  // all loads before the first use
        const int r = tid / 8 + p * (kThreads / 8);
        inside[p] = row0 + r < R && column0 + c < C;
        if (!inside[p]) continue;
#pragma unroll
        for (int i = 0; i < 8; i += kVec<T>) load_vec(x + (row0 + r) * C + column0 + c + i, v[p] + i);
    }
    uint32_t largest = 0;
    float sum[8] = {};
#pragma unroll
    for (int p = 0; p < kParts; p++) {
        const int r = tid / 8 + p * (kThreads / 8);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const uint32_t m = fp8::magnitude(v[p][i]);
            largest = largest > m ? largest : m;
            sum[i] += v[p][i];
            v[p][i] *= scale;
        }
        int2 q;
        q.x = (int)encode4<F>(v[p]), q.y = (int)encode4<F>(v[p] + 4);
        if (inside[p]) *(int2*)(y + (row0 + r) * C + column0 + c) = q;
        tile[r][c / 4] = (uint32_t)q.x, tile[r][c / 4 + 1] = (uint32_t)q.y;
    }
    if (sums) {
#pragma unroll
        for (int i = 0; i < 8; i++) {  // lanes l, l + 8, l + 16 and l + 24 have the same columns
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 8);
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], 16);
            if (tid % 32 < 8) partial[tid / 32][c + i] = sum[i];
        }
    }
    largest = block_max(largest, smem);
    if (tid == 0) maxima[(i64)blockIdx.y * gridDim.x + blockIdx.x] = fp8::number(largest);
    const int column = tid / 4, row = tid % 4 * 16;
    if (row0 + row < R && column0 + column < C)
        *(int4*)(t + (column0 + column) * R + row0 + row) = column_of(tile, row, column);
    if (sums && tid < kTile && column0 + tid < C) {
        float s = 0;
        for (int i = 0; i < kWarps; i++) s += partial[i][tid];
        sums[(i64)blockIdx.y * C + column0 + tid] = s;
    }
}

constexpr int kRows = 256;

__global__ void __launch_bounds__(kThreads) advance_scales(const Rows<Fp8ScalesRow, kRows> __grid_constant__ rows) {
    await_inputs();
    __shared__ uint32_t smem[kWarps];
    const Fp8ScalesRow& r = rows.row[blockIdx.x];
    uint32_t largest = 0;
    for (i64 i = threadIdx.x; i < r.n; i += kThreads) {
        const uint32_t m = fp8::magnitude(((const float*)r.maxima)[i]);
        largest = largest > m ? largest : m;
    }
    largest = block_max(largest, smem);
    if (threadIdx.x == 0) fp8::advance((float*)r.state, r.format, largest);
}

template <class T, Fp8 F>
void run(const QuantizeArgs& g, Stream s) {
    CG_LAUNCH((quantize_tile<T, F>), grid(ceil_div(g.C, fp8::kTile), ceil_div(g.R, fp8::kTile)), kThreads, 0, s,
              (const T*)g.x, (const float*)g.state, (uint8_t*)g.y, (uint8_t*)g.t, (float*)g.maxima, (float*)g.sums, g.R,
              g.C);
}

}  // namespace

template <class T>
void quantize(const QuantizeArgs& g, Stream s) {
    if (g.format == Fp8::E4M3) run<T, Fp8::E4M3>(g, s);
    else run<T, Fp8::E5M2>(g, s);
}

template <class T>
void fp8_scales(const Fp8ScalesArgs& g, Stream s) {
    for_rows<kRows>(
        g.rows, g.n, [](const Fp8ScalesRow&) { return 1; },
        [&](const Rows<Fp8ScalesRow, kRows>& t, i64 blocks, i64) {
            CG_LAUNCH((advance_scales), grid(blocks), kThreads, 0, s, t);
        });
}

CG_CUDA(quantize, QuantizeArgs)
CG_CUDA_F32(fp8_scales, Fp8ScalesArgs)

}  // namespace cg::cuda
