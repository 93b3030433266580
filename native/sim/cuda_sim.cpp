// The fibers of cuda_sim.h.
#include "cuda_sim.h"

#include <stdexcept>

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

Block& block() {
    static thread_local Block b;
    return b;
}

namespace {

void to_scheduler(Block& b, bool ends) {
    Fiber* f = b.now;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(ends ? nullptr : &f->fake, b.scheduler_bottom, b.scheduler_size);
#else
    (void)ends;
#endif
    cg_sim_switch(&f->sp, b.scheduler_sp);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(f->fake, &b.scheduler_bottom, &b.scheduler_size);
#endif
}

/// Where every fiber begins; it never returns.
void entry() {
    Block& b = block();
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &b.scheduler_bottom, &b.scheduler_size);
#endif
    try {
        b.body(b.arg);
        CG_CHECK(b.now->products.idle(), "a thread ends without having waited for its wgmma");
    } catch (const std::exception& e) {
        b.failure = e.what();
    }
    b.now->done = true;
    b.alive--;
    // Threads that have ended do not count at a barrier.
    if (b.alive > 0 && b.at_barrier == b.alive) {
        b.at_barrier = 0;
        b.barrier_generation++;
    }
    to_scheduler(b, true);
    std::abort();
}

}  // namespace

void yield(const int* wait, int value) {
    Block& b = block();
    b.now->wait = wait;
    b.now->wait_value = value;
    to_scheduler(b, false);
}

void run_block(Block& b) {
    const size_t n = b.alive;
    b.at_barrier = 0;
    b.failure.clear();
    for (Warp& w : b.warps) w.arrived = 0;
    for (size_t i = 0; i < n; i++) {
        Fiber& f = b.fibers[i];
        if (!f.stack) {
            f.stack = (char*)std::aligned_alloc(64, kStack);
            CG_CHECK(f.stack, "out of memory for a fiber's stack");
        }
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(f.stack, kStack);
#endif
        f.done = false;
        f.wait = nullptr;
        f.block = &b;
        f.copies.clear();
        f.products.clear();
        f.fenced = true;
        // As after a call: the stack pointer is 8 off a multiple of 16, the return address is entry().
        void** sp = (void**)(f.stack + kStack - 64);
        *--sp = nullptr;
        *--sp = (void*)&entry;
        for (int r = 0; r < 6; r++) *--sp = nullptr;
        f.sp = sp;
    }
    while (b.alive > 0) {
        // A warp runs until it waits for others: warps far apart show a missing barrier.
        bool moved = false;
        bool again = false;
        for (size_t i = 0; i < n; i++) {
            Fiber& f = b.fibers[i];
            if (!f.done && !(f.wait && *f.wait == f.wait_value)) {
                f.wait = nullptr;
                moved = true;
                again = true;
                b.now = &f;
#if defined(__SANITIZE_ADDRESS__)
                __sanitizer_start_switch_fiber(&b.scheduler_fake, f.stack, kStack);
#endif
                cg_sim_switch(&b.scheduler_sp, f.sp);
#if defined(__SANITIZE_ADDRESS__)
                __sanitizer_finish_switch_fiber(b.scheduler_fake, nullptr, nullptr);
#endif
                CG_CHECK(b.failure.empty(), b.failure);
            }
            if (again && (i % 32 == 31 || i == n - 1)) i = i / 32 * 32 - 1, again = false;
        }
        if (!moved) {
            // The waiting fibers' stacks are simply made anew for the next block.
            CG_CHECK(false, "of " + std::to_string(n) + " threads " + std::to_string(b.alive) + " wait for ever, " +
                                std::to_string(b.at_barrier) + " at a barrier of the block, the others at one of their warp");
        }
    }
}

}  // namespace sim
}  // namespace cg
