// SPDX-License-Identifier: Apache-2.0
// The fibers of cuda_sim.h.
#include "cuda_sim.h"

#include <link.h>
#include <pthread.h>
#include <sys/mman.h>

#include <stdexcept>

extern "C" __attribute__((visibility("hidden"))) const ElfW(Ehdr) __ehdr_start;
extern "C" void* __tls_get_addr(void* index);

namespace cg {

namespace sim {

asm(R"(
.text
.globl cg_sim_switch
.hidden cg_sim_switch
.type cg_sim_switch, @function
cg_sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cg_sim_switch, .-cg_sim_switch
)");

namespace {

/// The static shared memory of the kernels. Their __shared__ variables are this library's only thread_local variables,
/// so it is the library's thread-local storage.
struct Fixed {
    struct {
        unsigned long module, offset;
    } index = {0, 0};
    size_t bytes = 0;

    Fixed() { dl_iterate_phdr(&of_library, this); }
    static int of_library(dl_phdr_info* i, size_t, void* to) {
        const ElfW(Phdr)* p = i->dlpi_phdr, *end = p + i->dlpi_phnum;
        bool own = false;
        for (const ElfW(Phdr)* q = p; q < end; q++)
            own |= q->p_type == PT_LOAD && i->dlpi_addr + q->p_vaddr == (uintptr_t)&__ehdr_start;
        if (!own) return 0;
        for (; p < end; p++)
            if (p->p_type == PT_TLS) ((Fixed*)to)->bytes = p->p_memsz, ((Fixed*)to)->index.module = i->dlpi_tls_modid;
        return 1;
    }
};

/// The block of each system thread. Not thread_local, see Fixed.
struct Blocks {
    pthread_key_t key;
    Blocks() {
        CG_CHECK(pthread_key_create(&key, [](void* b) { delete (Block*)b; }) == 0, "pthread_key_create failed");
    }
};

}  // namespace

Block::Block() {
    static Fixed of;
    if (of.bytes > 0) fixed = (char*)__tls_get_addr(&of.index), fixed_bytes = of.bytes;
    char* all =
        (char*)mmap(nullptr, 2 * kStacks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CG_CHECK(all != MAP_FAILED, "out of address space for the fibers' stacks");
    stacks = (char*)(((uintptr_t)all + kStacks - 1) & ~(uintptr_t)(kStacks - 1));
    if (stacks > all) munmap(all, (size_t)(stacks - all));
    munmap(stacks + kStacks, (size_t)(all + kStacks - stacks));
    madvise(stacks, kStacks, MADV_NOHUGEPAGE);  // a stack uses a few of its pages
    *(Block**)stacks = this;
}

Block::~Block() {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stacks, kStacks);
#endif
    munmap(stacks, kStacks);
}

Block& own_block() {
    static const Blocks of;
    void* b = pthread_getspecific(of.key);
    if (!b) {
        b = new Block();
        CG_CHECK(pthread_setspecific(of.key, b) == 0, "out of memory for a thread's block");
    }
    return *(Block*)b;
}

namespace {

/// Releases the threads at the barrier.
void release(Block& b) {
    b.at_barrier = 0;
    for (Warp& w : b.warps) w.at_block = 0;
    next_epoch(false);
}

/// The lane that runs after this one: of those that can run, the next in the order of the lanes, which begins again
/// behind its end. Negative if none can run.
int next_lane(const Block& b, const Warp& w, unsigned lane) {
    const uint32_t ready = w.lanes & ~w.at_warp & ~w.at_block;
    if (ready == 0) return -1;
    if (b.backwards) {
        const uint32_t later = ready & ((1u << lane) - 1);
        return 31 - __builtin_clz(later ? later : ready);
    }
    const uint32_t later = ready & ~((2u << lane) - 1);
    return __builtin_ctz(later ? later : ready);
}

/// Leaves the running fiber, which waits or has ended, for the next lane of its warp or for the scheduler.
void leave(Block& b, [[maybe_unused]] bool ends) {
    Fiber* f = b.now;
#if defined(__SANITIZE_ADDRESS__)
    // Always for the scheduler, whose stack the sanitizer then knows.
    __sanitizer_start_switch_fiber(ends ? nullptr : &f->fake, b.scheduler_bottom, b.scheduler_size);
    cg_sim_switch(&f->sp, b.scheduler_sp);
    __sanitizer_finish_switch_fiber(f->fake, &b.scheduler_bottom, &b.scheduler_size);
#else
    void* to = b.scheduler_sp;
    if (b.failure.empty()) {
        const int next = next_lane(b, warp(), lane());
        if (next >= 0) b.now = &b.fibers[(f->index & ~31u) + (unsigned)next], to = b.now->sp;
    }
    cg_sim_switch(&f->sp, to);
#endif
}

/// Entry point of every fiber; never returns.
void entry() {
    Block& b = block();
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &b.scheduler_bottom, &b.scheduler_size);
#endif
    try {
        b.body(b.arg);
        if (!b.now->awaited) b.failure = "a thread ends without await_inputs()";
        CG_CHECK(b.now->products.idle(), "a thread ends without waiting for its wgmma");
    } catch (const std::exception& e) {
        b.failure = e.what();
    }
    warp().lanes &= ~(1u << lane());
    b.alive--;
    // Threads that have ended do not count at a barrier.
    if (b.alive > 0 && b.at_barrier == b.alive) release(b);
    leave(b, true);
    std::abort();
}

}  // namespace

void stop(const std::string& failure) {
    Block& b = block();
    b.failure = failure;
    leave(b, true);
    std::abort();
}

void block_barrier() {
    Block& b = block();
    if (++b.at_barrier == b.alive) return release(b);
    warp().at_block |= 1u << lane();
    leave(b, false);
}

namespace {
/// Meets the lanes of `mask` at a barrier; the last one adds `synced` to the warp's count.
void meet(uint32_t mask, unsigned synced) {
    Block& b = block();
    Warp& w = warp();
    w.arrived |= 1u << lane();
    if ((w.arrived & mask) == mask) {
        w.arrived = w.at_warp = 0;
        w.generation++;
        w.synced += synced;
    } else {
        w.at_warp |= 1u << lane();
        leave(b, false);
    }
}
}  // namespace

void warp_barrier(uint32_t mask) { meet(mask, 0); }
// Only a __syncwarp of the whole warp counts as a barrier.
void sync_warp(uint32_t mask) { meet(mask, mask == 0xffffffffu); }

uint64_t (*exchange(uint32_t mask, const uint64_t* words, int n))[8] {
    Warp& w = warp();
    uint64_t (*s)[8] = w.slot[w.generation & 1];
    for (int i = 0; i < n; i++) s[lane()][i] = words[i];
    warp_barrier(mask);
    return s;
}

void Warp::Product::multiply() {
    typedef float Row __attribute__((vector_size(32)));
    for (unsigned row = 0; row < 16; row++) {
        Row sum = {};
        for (unsigned i = 0; i < 16; i++) sum += a[row][i] * *(const Row*)b[i];
        *(Row*)c[row] = sum;
    }
}

void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    Warp& w = warp();
    Warp::Product& p = w.products[w.generation & 1];
    const unsigned g = lane() / 4, t = lane() % 4;
    const uint32_t b[2] = {b0, b1};
    auto half = [](uint32_t u, unsigned hi) {
        u = hi ? u & 0xffff0000u : u << 16;
        float f;
        std::memcpy(&f, &u, 4);
        return f;
    };
    // A: register r of this lane holds row g + 8 (r % 2), columns 8 (r / 2) + 2 t and the next. B: register r holds
    // rows 8 r + 2 t and the next of column g.
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned r = 0; r < 4; r++) p.a[g + 8 * (r % 2)][8 * (r / 2) + 2 * t + h] = half(a[r], h);
        for (unsigned r = 0; r < 2; r++) p.b[8 * r + 2 * t + h][g] = half(b[r], h);
    }
    if ((w.arrived | 1u << lane()) == 0xffffffffu) p.multiply();
    warp_barrier(0xffffffffu);
    for (unsigned r = 0; r < 2; r++)
        for (unsigned k = 0; k < 2; k++) c[2 * r + k] += p.c[g + 8 * r][2 * t + k];
}

void load_matrices(bool trans, uint32_t (&r)[4], const void* row) {
    CG_CHECK(((uintptr_t)row & 15) == 0, "ldmatrix: addresses of rows must be multiples of 16 bytes");
    const uint64_t word = (uint64_t)row;
    const uint64_t (*s)[8] = exchange(0xffffffffu, &word, 1);
    const unsigned g = lane() / 4, t = lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        r[i] = 0;
        for (unsigned h = 0; h < 2; h++) {
            const unsigned y = trans ? 2 * t + h : g, x = trans ? g : 2 * t + h;
            const uint16_t* p = (const uint16_t*)s[8 * i + y][0] + x;
            touch(p, 2, Access::kRead, CG_SIM_PLACE);
            r[i] |= (uint32_t)*p << 16 * h;
        }
    }
}

void copy_async(void* to, const void* from, bool ok) {
    CG_CHECK((((uintptr_t)to | (uintptr_t)from) & 15) == 0, "cp.async: both addresses must be multiples of 16 bytes");
    Copy c{to, from, ok, block().backwards, CG_SIM_PLACE};
    if (ok) touch(from, 16, Access::kRead, c.place);
    touch(to, 16, Access::kCopyBegins, c.place);
    if (c.done) c.move();
    self().copies.start(c);
}
void copy_commit() { self().copies.commit(); }
void copy_wait(size_t leave) {
    if (self().copies.wait(leave)) self().fenced = false;
}
void product(std::function<void()> f) { self().products.start(std::move(f)); }
void product_commit() { self().products.commit(); }
void product_wait(size_t leave) { self().products.wait(leave); }
void fence() { self().fenced = true; }
void await_inputs() { self().awaited = true; }

void run_block(Block& b) {
    const size_t n = b.alive, warps = b.warps.size();
    b.at_barrier = 0;
    b.failure.clear();
    next_epoch(true);
    for (size_t i = 0; i < warps; i++) {
        Warp& w = b.warps[i];
        w.arrived = w.at_warp = w.at_block = 0;
        w.lanes = n - i * 32 >= 32 ? 0xffffffffu : (1u << (n - i * 32)) - 1;
    }
    for (size_t i = 0; i < n; i++) {
        Fiber& f = b.fibers[i];
        f.stack = b.stacks + 4096 + i * kStride;
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(f.stack, kStack);
#endif
        f.copies.clear();
        f.products.clear();
        f.awaited = false;
        f.fenced = true;
        f.quiet = 0;
        f.begun = {};
        // As after a call: the stack pointer is 8 past a multiple of 16, and the return address is entry().
        void** sp = (void**)(f.stack + kStack - 64);
        *--sp = nullptr;
        *--sp = (void*)&entry;
        for (int r = 0; r < 6; r++) *--sp = nullptr;
        f.sp = sp;
    }
    while (b.alive > 0) {
        // A warp runs until it must wait for others: the distance between warps exposes a missing barrier.
        bool moved = false;
        for (size_t i = 0; i < warps; i++) {
            const size_t at = b.backwards ? warps - 1 - i : i;
            int lane = b.backwards ? 0 : 31;  // the last in the order
            while ((lane = next_lane(b, b.warps[at], (unsigned)lane)) >= 0) {
                Fiber& f = b.fibers[at * 32 + (size_t)lane];
                moved = true;
                b.now = &f;
#if defined(__SANITIZE_ADDRESS__)
                __sanitizer_start_switch_fiber(&b.scheduler_fake, f.stack, kStack);
#endif
                cg_sim_switch(&b.scheduler_sp, f.sp);
                b.now = nullptr;
#if defined(__SANITIZE_ADDRESS__)
                __sanitizer_finish_switch_fiber(b.scheduler_fake, nullptr, nullptr);
#endif
                CG_CHECK(b.failure.empty(), b.failure);
            }
        }
        if (!moved) {
            // The next block sets up the stacks of the waiting fibers anew.
            CG_CHECK(false, std::to_string(b.alive) + " of " + std::to_string(n) +
                                " threads wait for ever: " + std::to_string(b.at_barrier) +
                                " at a barrier of the block, the others at a barrier of their warp");
        }
    }
}

std::string text(dim3 d) { return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z); }

void run(const char* what, dim3 grid, dim3 threads, size_t shared, bool backwards, void (*body)(void*), void* arg) {
    const i64 n = (i64)threads.x * threads.y * threads.z, blocks = (i64)grid.x * grid.y * grid.z;
    CG_CHECK(n >= 1 && n <= 1024 && blocks >= 1 && grid.y <= 65535 && grid.z <= 65535,
             std::string(what) + ": grid " + text(grid) + " of " + text(threads));
    CG_CHECK(shared <= kDynamic, std::string(what) + ": " + std::to_string(shared) + " bytes of shared memory");
    std::string failure;
    const Launch launch;
#pragma omp parallel if (!kChecked)
    {
        Block& b = own_block();
        while ((i64)b.fibers.size() < n) b.fibers.emplace_back();
        b.warps.resize((size_t)((n + 31) / 32));
        if (!b.dynamic) b.dynamic.reset(new char[kDynamic + 1024]);
        b.bdim = threads;
        b.gdim = grid;
        b.dynamic_bytes = shared;
        b.backwards = backwards;
        b.arg = arg;
        b.body = body;
#pragma omp for schedule(static)
        for (i64 k = 0; k < blocks; k++) {
            const i64 at = backwards ? blocks - 1 - k : k;
            b.bid = dim3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / grid.x / grid.y));
            b.alive = (unsigned)n;
            try {
                for (i64 i = 0; i < n; i++) {
                    Fiber& f = b.fibers[(size_t)i];
                    f.index = (unsigned)i;
                    f.tid = dim3((unsigned)(i % threads.x), (unsigned)(i / threads.x % threads.y),
                                 (unsigned)(i / threads.x / threads.y));
                }
                b.fill_shared();
                run_block(b);
            } catch (const std::exception& e) {
#pragma omp critical(cg_sim_failure)
                failure = std::string(what) + ", block " + text(b.bid) + ": " + e.what();
            }
        }
    }
    CG_CHECK(failure.empty(), failure);
}

}  // namespace sim
}  // namespace cg
