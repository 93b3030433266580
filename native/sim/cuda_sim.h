// SPDX-License-Identifier: Apache-2.0
// CUDA on the CPU: the part of CUDA C++ that kernels/*/*.cu use, so that g++ compiles the same files and tests run them
// without a GPU. Each thread of a block is a fiber. All fibers of a block run on one system thread; OpenMP threads
// share the blocks. About 1 GFLOP/s.
//
// To expose faults:
//   - Shared memory that a block did not write holds NaN.
//   - A barrier that not all threads reach is reported instead of hanging, and so is a thread that ends without
//     await_inputs.
//   - Fibers can run in reverse order (`stream` = 1), so that a missing barrier changes the result.
//   - Asynchronous copies and wgmma complete at the wait (cp.async: at once when stream = 1), to expose missing waits.
// races.h finds faults that change no result.
//
// Not covered: bulk copies, overlapping streams. Blocks must be independent.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "approximate.h"
#include "cg/abi.h"
#include "races.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Follows the parameter's type in kernels. A reference saves every thread a copy of up to 4 KiB.
#define __grid_constant__ &

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};

namespace cg::sim {

// Switches stacks: saves the callee-saved registers on the old stack and restores them from the new one.
extern "C" void cg_sim_switch(void** save_sp, void* load_sp);

struct Warp {
    uint32_t lanes = 0;                  // whose threads have not ended
    uint32_t at_warp = 0, at_block = 0;  // that wait at a barrier of the warp or of the block
    uint32_t arrived = 0;                // at a barrier of the warp
    int generation = 0;
    unsigned synced = 0;  // number of __syncwarp of all lanes so far
    /// The lanes' words in an exchange. Two sets, because a lane can be one exchange ahead of the slowest, but not two.
    alignas(16) uint64_t slot[2][32][8];
    /// The matrices of a product of the tensor cores. The last lane to arrive multiplies them.
    struct Product {
        alignas(32) float a[16][16], b[16][8], c[16][8];
        void multiply();
    } products[2];
};

/// Asynchronous work in groups, which runs when the thread waits for it.
template <class F>
class Background {
    std::vector<F> open;
    std::deque<std::vector<F>> groups;

  public:
    void start(F f) { open.push_back(std::move(f)); }
    void commit() {
        groups.push_back(std::move(open));
        open.clear();
    }
    /// Runs all but the last `leave` groups. Returns true if there was work.
    bool wait(size_t leave) {
        bool any = false;
        for (; groups.size() > leave; groups.pop_front())
            for (F& f : groups.front()) f(), any = true;
        return any;
    }
    bool idle() const { return open.empty() && groups.empty(); }
    void clear() {
        if (!idle()) open.clear(), groups.clear();
    }
};

struct Copy {
    void* to;
    const void* from;
    bool ok, done;
    const void* place;
    void move() const {
        if (ok) std::memcpy(to, from, 16);
        else std::memset(to, 0, 16);
    }
    void operator()() const {
        if (ok) touch(from, 16, Access::kRead, place);
        touch(to, 16, Access::kCopyEnds, place);
        if (!done) move();
    }
};

struct Block;

struct alignas(64) Fiber {
    void* sp = nullptr;
    char* stack = nullptr;
    void* fake = nullptr;
    unsigned index = 0;  // of the thread in its block and of the fiber in Block::fibers
    dim3 tid;
    Background<Copy> copies;
    Background<std::function<void()>> products;
    bool awaited = false;  // has called await_inputs
    bool fenced = true;    // true if wgmma may read all that this thread copied to shared memory
    int quiet = 0;
    Begun begun;  // when and where the product began that this fiber is computing
};

constexpr size_t kStack = 128 << 10;
/// Distance of two stacks: their tops lie in different sets of the processor's caches.
constexpr size_t kStride = kStack + 9 * 64;
/// The memory of a block's stacks, at a multiple of its size. It begins with the block's address, so that code on a
/// stack finds its block by the stack pointer.
constexpr size_t kStacks = 256 << 20;
static_assert(4096 + 1024 * kStride <= kStacks);
constexpr size_t kDynamic = 232448;  // most bytes of shared memory of a block on sm_90

/// The block that runs on this system thread.
struct Block {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    void* scheduler_sp = nullptr;
    void* scheduler_fake = nullptr;
    const void* scheduler_bottom = nullptr;
    size_t scheduler_size = 0;
    Fiber* now = nullptr;  // the running fiber, or null
    unsigned alive = 0, at_barrier = 0;
    dim3 bid, bdim, gdim;
    size_t dynamic_bytes = 0;
    std::unique_ptr<char[]> dynamic;
    void (*body)(void*) = nullptr;
    void* arg = nullptr;
    std::string failure;
    bool backwards = false;
    char* fixed = nullptr;  // the kernels' static shared memory
    size_t fixed_bytes = 0;
    char* stacks = nullptr;

    Block();
    Block(const Block&) = delete;
    ~Block();
    /// Fills the block's shared memory with NaN. Under AddressSanitizer, forbids access to the memory beyond it.
    void fill_shared() {
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(shared(), kDynamic);
        __asan_poison_memory_region(shared() + dynamic_bytes, kDynamic - dynamic_bytes);
#endif
        std::memset(shared(), 0xFF, dynamic_bytes);
        std::memset(fixed, 0xFF, fixed_bytes);
    }
    char* shared() { return (char*)(((uintptr_t)dynamic.get() + 1023) & ~(uintptr_t)1023); }
};

/// The block of this system thread.
Block& own_block();
/// The block of the running fiber.
inline Block& block() {
#ifdef CG_SIM_CHECKED
    return own_block();  // a function, because g++ would report the reads below as the kernel's
#else
    uintptr_t sp;
    asm("movq %%rsp, %0" : "=r"(sp));
    return **(Block**)(sp & ~(uintptr_t)(kStacks - 1));
#endif
}
/// Ends the running fiber, and with it the launch, without unwinding its stack. For code that cannot throw.
[[noreturn]] void stop(const std::string& failure);
void run_block(Block& b);

inline Fiber& self() { return *block().now; }
inline unsigned lane() { return self().index & 31; }
inline Warp& warp() { return block().warps[self().index >> 5]; }

/// The thread may use the launch's inputs and outputs from now on. Every thread must call it before anything else.
void await_inputs();

void block_barrier();
void warp_barrier(uint32_t mask);
/// A warp_barrier that also orders memory, as __syncwarp does.
void sync_warp(uint32_t mask);
/// Each lane of the warp passes n words; returns the words of all lanes, [lane][word].
uint64_t (*exchange(uint32_t mask, const uint64_t* words, int n))[8];

// Emulations of the PTX in mma.cuh and wgmma.cuh.
void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
void load_matrices(bool trans, uint32_t (&r)[4], const void* row);
void copy_async(void* to, const void* from, bool ok);
void copy_commit();
void copy_wait(size_t leave);
void product(std::function<void()> f);
void product_commit();
void product_wait(size_t leave);
/// wgmma_fence: from now on wgmma may read the copies of this thread.
void fence();

template <class T>
inline T shuffle(uint32_t mask, T v, unsigned from) {
    static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
    uint64_t u = 0;
    std::memcpy(&u, &v, sizeof v);
    uint64_t (*s)[8] = exchange(mask, &u, 1);
    T r;
    std::memcpy(&r, &s[from & 31][0], sizeof r);
    return r;
}

std::string text(dim3 d);

/// Runs body(arg) once for every thread of every block.
void run(const char* what, dim3 grid, dim3 threads, size_t shared, bool backwards, void (*body)(void*), void* arg);

/// Runs body() once for every thread of every block.
template <class F>
void run(const char* what, dim3 grid, dim3 threads, size_t shared, bool backwards, F body) {
    run(what, grid, threads, shared, backwards, [](void* f) { (*(F*)f)(); }, &body);
}

}  // namespace cg::sim

#define threadIdx (::cg::sim::self().tid)
#define blockIdx (::cg::sim::block().bid)
#define blockDim (::cg::sim::block().bdim)
#define gridDim (::cg::sim::block().gdim)

inline void __syncthreads() { cg::sim::block_barrier(); }
inline void __syncwarp(uint32_t mask = 0xffffffffu) { cg::sim::sync_warp(mask); }
template <class T>
inline T __shfl_xor_sync(uint32_t mask, T v, int x) {
    return cg::sim::shuffle(mask, v, cg::sim::lane() ^ (unsigned)x);
}
template <class T>
inline T __shfl_sync(uint32_t mask, T v, int from) {
    return cg::sim::shuffle(mask, v, (unsigned)from);
}
inline float rsqrtf(float x) { return cg::sim::approximate(1.f / std::sqrt(x)); }
