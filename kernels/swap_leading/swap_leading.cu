// SPDX-License-Identifier: Apache-2.0
// Kernel swap: a thread copies one element of the output (16 bytes where C allows). Neighbouring threads write
// neighbouring elements, and read them too within a row of C.
// Kernel swap_narrow (C 1, A or B at most 32: the weights of convolutions): a block moves a piece of a matrix through
// shared memory, so that reads and writes both run along memory, without 64-bit divisions.
// Floor: bytes over bandwidth. Versions, bf16, 512 x 512 x 16, sm_90a: instructions an element; time of the reorderings
// in a step of unet-corr-2d (14 M weights for y, dX and dW; floor 52 us), predicted, not measured:
//   1  swap alone: about 150, and each 32 bytes read hold one element that the warp needs; 200-300 us.
//   2  swap_narrow: 13; 60-80 us. 32 registers, 8 blocks an SM.
#include "device.cuh"
#include "gemm.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

template <class W>
__global__ void __launch_bounds__(256) swap(const W* x, W* y, i64 A, i64 B, i64 C, i64 N) {
    await_inputs();
    const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i >= N * A * B * C) return;
    const i64 c = i % C, a = i / C % A, b = i / C / A % B, n = i / C / A / B;
    y[i] = x[((n * A + a) * B + b) * C + c];
}

/// The longer extent of the piece that a block moves, and the most that the shorter one can have.
constexpr int kLong = 256, kNarrow = 32;

/// The distance of rows of n elements in shared memory: an odd number of banks, so that 32 rows lie in all of them.
template <class T>
int row_stride(int n) {
    return sizeof(T) == 2 ? n + (6 - n % 4) % 4 : n | 1;
}

/// x [N][L][S] and y [N][S][L] if ROWS, else the reverse; S is at most kNarrow.
template <class T, bool ROWS>
__global__ void __launch_bounds__(kLong)
    swap_narrow(const T* __restrict__ x, T* __restrict__ y, int L, int S, int stride, gemm::Divisor by_s) {
    await_inputs();
    CG_SHARED(T, tile);  // [kLong][stride]
    const int lane = (int)threadIdx.x, first = (int)blockIdx.x * kLong, n = L - first < kLong ? L - first : kLong;
    const i64 matrix = (i64)blockIdx.y * L * S, piece = matrix + (i64)first * S, column = matrix + first + lane;
    if (ROWS) {
#pragma unroll 8
        for (int i = lane; i < n * S; i += kLong) {
            int s = i;
            const int l = by_s.split(s);
            tile[l * stride + s] = x[piece + i];
        }
    } else if (lane < n) {
#pragma unroll 8
        for (int s = 0; s < S; s++) tile[lane * stride + s] = x[column + (i64)s * L];
    }
    __syncthreads();
    if (!ROWS) {
#pragma unroll 8
        for (int i = lane; i < n * S; i += kLong) {
            int s = i;
            const int l = by_s.split(s);
            y[piece + i] = tile[l * stride + s];
        }
    } else if (lane < n) {
#pragma unroll 8
        for (int s = 0; s < S; s++) y[column + (i64)s * L] = tile[lane * stride + s];
    }
}

template <class T, bool ROWS>
void run_narrow(const SwapLeadingArgs& g, i64 L, i64 S, Stream s) {
    const int stride = row_stride<T>((int)S);
    CG_LAUNCH((swap_narrow<T, ROWS>), grid(ceil_div(L, kLong), g.N), kLong, (size_t)(kLong * stride) * sizeof(T), s,
              (const T*)g.x, (T*)g.y, (int)L, (int)S, stride, gemm::Divisor::by(S));
}

template <class W>
void run(const SwapLeadingArgs& g, i64 C, Stream s) {
    CG_LAUNCH((swap<W>), grid(ceil_div(g.N * g.A * g.B * C, 256)), 256, 0, s, (const W*)g.x, (W*)g.y, g.A, g.B, C, g.N);
}

}  // namespace

template <class T>
void swap_leading(const SwapLeadingArgs& g, Stream s) {
    const bool narrow = g.C == 1 && g.N < (1 << 16) && g.A * g.B < (1ll << 31);
    if (narrow && g.B <= kNarrow) run_narrow<T, true>(g, g.A, g.B, s);
    else if (narrow && g.A <= kNarrow) run_narrow<T, false>(g, g.B, g.A, s);
    else if (g.C % kVec<T> == 0 && aligned16(g.x) && aligned16(g.y)) run<int4>(g, g.C / kVec<T>, s);
    else run<T>(g, g.C, s);
}

CG_CUDA(swap_leading, SwapLeadingArgs)

}  // namespace cg::cuda
