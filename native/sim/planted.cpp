// SPDX-License-Identifier: Apache-2.0
// Kernels for RacesTest, each with one fault (wrong) and without it (right). The test expects a report of the wrong one
// and none of the right one.
//   planted NAME wrong|right
#include <cstdio>

#include "wgmma.cuh"

namespace cg {

namespace cuda {
namespace {

__global__ void exchange_warps(float* x, bool wrong) {
    await_inputs();
    CG_SHARED(float, smem);
    smem[threadIdx.x] = 0;
    __syncthreads();
    smem[threadIdx.x] = 1;
    if (!wrong) __syncthreads();
    x[threadIdx.x] = smem[threadIdx.x ^ 32];
}
__global__ void overwrite_read(float* x, bool wrong) {
    await_inputs();
    CG_SHARED(float, smem);
    smem[threadIdx.x] = 1;
    __syncthreads();
    const float v = smem[threadIdx.x ^ 32];
    if (!wrong) __syncthreads();
    smem[threadIdx.x] = 2;
    x[threadIdx.x] = v;
}
__global__ void exchange_lanes(float* x, bool wrong) {
    await_inputs();
    __shared__ float smem[32];
    smem[threadIdx.x] = 0;
    __syncwarp();
    smem[threadIdx.x] = 1;
    if (!wrong) __syncwarp();
    x[threadIdx.x] = smem[threadIdx.x ^ 1];
}
/// A shuffle synchronises lanes but does not order memory.
__global__ void shuffle_for_barrier(float* x, bool wrong) {
    await_inputs();
    __shared__ float smem[32];
    smem[threadIdx.x] = 1;
    const float v = warp_sum(1.f);
    if (!wrong) __syncwarp();
    x[threadIdx.x] = v + smem[threadIdx.x ^ 1];
}
/// Two threads write the two halves of a word. Right if each writes its own half.
__global__ void share_word(float* x, bool wrong) {
    await_inputs();
    __shared__ bf16 smem[64];
    smem[threadIdx.x] = bf16{0};
    if (wrong) smem[threadIdx.x ^ 1] = bf16{0};
    __syncthreads();
    x[threadIdx.x] = to_float(smem[threadIdx.x]);
}
__global__ void read_unwritten(float* x, bool wrong) {
    await_inputs();
    __shared__ float smem[64];
    if (!wrong || threadIdx.x != 40) smem[threadIdx.x] = 1;
    __syncthreads();
    x[64 * blockIdx.x + threadIdx.x] = smem[threadIdx.x ^ 1];
}
__global__ void read_unwritten_dynamic(float* x, bool wrong) {
    await_inputs();
    CG_SHARED(float, smem);
    if (!wrong || threadIdx.x != 40) smem[threadIdx.x] = 1;
    __syncthreads();
    x[64 * blockIdx.x + threadIdx.x] = smem[threadIdx.x ^ 1];
}
__global__ void load_misaligned(float* x, bool wrong) {
    await_inputs();
    float v[4];
    load_vec(x + 4 * threadIdx.x + (wrong && threadIdx.x == 7), v);
    x[4 * threadIdx.x] = v[3];
}
__global__ void store_misaligned(float* x, bool wrong) {
    await_inputs();
    const float v[4] = {1, 2, 3, 4};
    store_vec(x + 4 * threadIdx.x + 2 * (wrong && threadIdx.x == 7), v);
}
__global__ void pair_misaligned(float* x, bool wrong) {
    await_inputs();
    *(uint32_t*)((uint16_t*)x + 2 * threadIdx.x + (wrong && threadIdx.x == 7)) = 1;
}
__global__ void write_twice(float* x, bool wrong) {
    await_inputs();
    x[blockIdx.x * (wrong ? 63 : 64) + threadIdx.x] = 1;
}
__global__ void read_other_block(float* x, bool wrong) {
    await_inputs();
    const float v = x[wrong && blockIdx.x == 2 ? 64 + threadIdx.x : 64 * blockIdx.x + threadIdx.x];
    x[64 * blockIdx.x + threadIdx.x] = v + 1;
}
/// The simulation runs the reading block first; a GPU does not promise that order.
__global__ void read_later_block(float* x, bool wrong) {
    await_inputs();
    const float v = x[wrong && blockIdx.x == 0 ? 64 + threadIdx.x : 64 * blockIdx.x + threadIdx.x];
    x[64 * blockIdx.x + threadIdx.x] = v + 1;
}
__global__ void exchange_in_device_memory(float* x, bool wrong) {
    await_inputs();
    x[threadIdx.x] = 1;
    if (!wrong) __syncthreads();
    x[64 + threadIdx.x] = x[threadIdx.x ^ 32];
}
__global__ void read_before_copy(float* x, bool wrong) {
    await_inputs();
    CG_SHARED(float, smem);
    copy_async(smem + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
    copy_commit();
    if (!wrong) copy_wait<0>();
    x[4 * threadIdx.x] = smem[4 * threadIdx.x] + 1;
}
__global__ void read_anothers_copy(float* x, bool wrong) {
    await_inputs();
    CG_SHARED(float, smem);
    copy_async(smem + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
    copy_commit();
    copy_wait<0>();
    if (!wrong) __syncthreads();
    x[4 * threadIdx.x + 1] = smem[4 * (threadIdx.x ^ 32)];
}
__global__ void copy_misaligned(float* x, bool wrong) {
    await_inputs();
    CG_SHARED(float, smem);
    copy_async(smem + 4 * threadIdx.x, x + 4 * threadIdx.x + (wrong && threadIdx.x == 7), true);
    copy_commit();
    copy_wait<0>();
}
__global__ void begin_early(float* x, bool wrong) {
    if (!wrong) await_inputs();
    *x = 1;
    await_inputs();
}
__global__ void never_wait(float*, bool wrong) {
    if (!wrong) await_inputs();
}
/// Overwrites rows that wgmma still reads: a barrier does not suffice, only the wait for the wgmma.
__global__ void overwrite_operand(float* x, bool wrong) {
    await_inputs();
    CG_SHARED_SWIZZLED(bf16, smem);
    for (int i = (int)threadIdx.x; i < 2 * 64 * 64; i += 128) smem[i] = bf16{0};
    wgmma_fence();
    __syncthreads();
    float c[8][4];
    wgmma_begin();
    wgmma<8, false, false>(c, swizzled_rows(smem), swizzled_rows(smem + 64 * 64));
    wgmma_commit();
    if (!wrong) wgmma_wait<0>(c);
    __syncthreads();
    smem[threadIdx.x] = bf16{1};
    if (wrong) wgmma_wait<0>(c);
    x[threadIdx.x] = c[0][0];
}

const struct {
    const char* name;
    void (*kernel)(float*, bool);
    unsigned blocks, threads;
} kCases[] = {
#define CG_CASE(k, blocks, threads) {#k, k, blocks, threads},
    CG_CASE(exchange_warps, 1, 64) CG_CASE(overwrite_read, 1, 64) CG_CASE(exchange_lanes, 1, 32)
        CG_CASE(shuffle_for_barrier, 1, 32) CG_CASE(share_word, 1, 64) CG_CASE(read_unwritten, 2, 64)
            CG_CASE(read_unwritten_dynamic, 2, 64) CG_CASE(load_misaligned, 1, 32) CG_CASE(store_misaligned, 1, 32)
                CG_CASE(pair_misaligned, 1, 32) CG_CASE(write_twice, 3, 64) CG_CASE(read_other_block, 3, 64) CG_CASE(
                    read_later_block, 3, 64) CG_CASE(exchange_in_device_memory, 1, 64) CG_CASE(read_before_copy, 1, 32)
                    CG_CASE(read_anothers_copy, 1, 64) CG_CASE(copy_misaligned, 1, 32) CG_CASE(begin_early, 1, 1)
                        CG_CASE(never_wait, 1, 32) CG_CASE(overwrite_operand, 1, 128)};

int run(const std::string& name, bool wrong) {
    alignas(16) static float memory[256];
    float* const x = memory;
    for (const auto& c : kCases)
        if (name == c.name) {
            try {
                void (*const kernel)(float*, bool) = c.kernel;
                sim::run(c.name, grid(c.blocks), c.threads, 2 * 64 * 64 * 2, false, [&] { kernel(x, wrong); });
            } catch (const std::exception& e) {
                std::puts(e.what());
            }
            return 0;
        }
    return 2;
}

}  // namespace
}  // namespace cuda

void fail(const char*, int, const char*, const std::string& what) { throw std::runtime_error(what); }

}  // namespace cg

int main(int n, char** args) { return n == 3 ? cg::cuda::run(args[1], args[2] == std::string("wrong")) : 2; }
