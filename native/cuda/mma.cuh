// SPDX-License-Identifier: Apache-2.0
// Tensor-core products of a warp, D = A B + C, m16n8k16, bf16 with float sums, and the loads that feed them.
// PTX on a GPU; in the simulation the same arithmetic lane by lane (native/sim/cuda_sim.cpp). The simulation guesses
// the order of the 16 products of a sum, which the hardware does not document.
//
// Fragments, with g = lane / 4 and t = lane % 4 (PTX ISA, mma.m16n8k16):
//   A [16][16]: a0 (g, 2t..)  a1 (g + 8, 2t..)  a2 (g, 2t + 8..)  a3 (g + 8, 2t + 8..)      two bf16 each
//   B [16][8]:  b0 (2t.., g)  b1 (2t + 8.., g)      C, D [16][8]: c0, c1 (g, 2t..)  c2, c3 (g + 8, 2t..)
#pragma once

#include "approximate.cuh"
#include "device.cuh"

namespace cg::cuda {

__device__ inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if defined(__CUDA_ARCH__)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#elif defined(CG_SIM)
    sim::mma_bf16(c, a, b0, b1);
#endif
}

template <int N>
__device__ inline void zero(float (&c)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) c[n][e] = 0;
}

/// Sum and maximum over the four lanes that share a row of accumulators.
__device__ inline float quad_sum(float v) {
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}
__device__ inline float quad_max(float v) {
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

/// Transposes the 4 x 4 words of the four lanes of a quad: lane t's v[j] becomes lane j's v[t].
__device__ inline void quad_transpose(uint32_t (&v)[4]) {
    const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
        const uint32_t x = __shfl_xor_sync(0xffffffffu, odd ? v[j] : v[j + 1], 1);
        v[j] = odd ? x : v[j];
        v[j + 1] = odd ? v[j + 1] : x;
    }
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const uint32_t x = __shfl_xor_sync(0xffffffffu, high ? v[j] : v[j + 2], 2);
        v[j] = high ? x : v[j];
        v[j + 2] = high ? v[j + 2] : x;
    }
}

/// Loads four 8x8 matrices of bf16 from shared memory (ldmatrix). Lanes 0-7, 8-15, 16-23, 24-31 pass the addresses of
/// the rows of matrices 0-3. Register i gets elements (lane / 4, 2 (lane % 4)..) of matrix i, or of its transpose if
/// TRANS.
template <bool TRANS>
__device__ inline void load_matrices(uint32_t (&r)[4], const void* row) {
#if defined(__CUDA_ARCH__)
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    if (TRANS)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
#elif defined(CG_SIM)
    sim::load_matrices(TRANS, r, row);
#endif
}

/// Copies 16 bytes from device to shared memory, bypassing registers; both addresses must be multiples of 16. Writes
/// zeros if !ok. CACHED keeps the bytes in L1, for a block that reads them several times.
template <bool CACHED = false>
__device__ inline void copy_async(void* to, const void* from, bool ok) {
#if defined(__CUDA_ARCH__)
    const int n = ok ? 16 : 0;
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    if (CACHED) asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(n) : "memory");
    else asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(n) : "memory");
#elif defined(CG_SIM)
    sim::copy_async(to, from, ok);
#endif
}
__device__ inline void copy_commit() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.commit_group;" ::: "memory");
#elif defined(CG_SIM)
    sim::copy_commit();
#endif
}
/// Waits until at most N of this thread's copy groups are in flight. Other threads may read only after a barrier.
template <int N>
__device__ inline void copy_wait() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#elif defined(CG_SIM)
    sim::copy_wait(N);
#endif
}

}  // namespace cg::cuda
