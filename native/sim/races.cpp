// SPDX-License-Identifier: Apache-2.0
// Implements races.h. Compiled without -fsanitize, so that accesses here do not count as the kernel's.
#include "races.h"

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <unordered_map>

#include "cuda_sim.h"

namespace cg::sim {

namespace {

/// The access history of a few bytes. One counter of epochs advances at every block barrier, block start and launch, so
/// an epoch identifies the block and the launch that it belongs to.
struct Cell {
    // the last write
    uint32_t epoch, synced, place;
    uint16_t thread;
    bool in_flight;  // written by cp.async whose thread has not waited yet
    // the reads of one epoch: the reading warps; if only one warp read, its lanes since its last __syncwarp
    uint32_t read_epoch, warps, read_synced, lanes;
    uint16_t reader, other_reader;  // the last reader, and the last reader of another warp
    uint32_t read_place, other_place;
    // the last read of an earlier block
    uint32_t earlier_epoch, earlier_place;
};

constexpr uintptr_t kPage = 4096;

/// Cells are as small as the smallest access so far, so that two threads can own two halves of a word without a race.
struct Page {
    unsigned bytes = 4, shift = 2;  // size of a cell, and its log2
    std::vector<Cell> cells = std::vector<Cell>(kPage / 4);

    void refine(unsigned n) {
        std::vector<Cell> fine(kPage / n);
        for (size_t i = 0; i < fine.size(); i++) fine[i] = cells[i * n / bytes];
        cells.swap(fine);
        bytes = n, shift = (unsigned)__builtin_ctz(n);
    }
};

constexpr size_t kMostPages = 1 << 12;  // about 50 KiB each; if there are more, a launch discards all

struct History {
    std::mutex one_launch;
    Block* running = nullptr;
    uint32_t epoch = 1, launch = 1, block = 1;
    std::vector<std::pair<uint32_t, dim3>> blocks;  // the blocks of this launch and their first epochs
    std::unordered_map<uintptr_t, Page> pages;
    std::pair<uintptr_t, Page*> recent[64] = {};

    Page& page(uintptr_t number) {
        auto& r = recent[number % 64];
        if (r.first != number || !r.second) r = {number, &pages[number]};
        return *r.second;
    }
    std::string block_of(uint32_t e) const {
        auto after =
            std::upper_bound(blocks.begin(), blocks.end(), e, [](uint32_t x, const auto& b) { return x < b.first; });
        return "block " + text((--after)->second);
    }
};
/// Never destroyed, because a process may end while another thread still runs kernels.
History& history = *new History();
/// The system thread that launches. Separate from the history, which does not exist yet while the library's static data
/// are initialised.
const void* launching = nullptr;

/// Bounds of a system thread's stack, which may hold a kernel's arguments.
struct Stack {
    uintptr_t first = 0, last = 0;
    Stack() {
        pthread_attr_t a;
        if (pthread_getattr_np(pthread_self(), &a) != 0) return;
        void* p;
        size_t n;
        if (pthread_attr_getstack(&a, &p, &n) == 0) first = (uintptr_t)p, last = first + n;
        pthread_attr_destroy(&a);
    }
};
Stack host_stack;  // of the launching thread

extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
uintptr_t base() { return (uintptr_t)__ehdr_start; }

/// File and line of a return address: those of the kernel and, if a helper in a .cuh made the access, of the helper.
std::string name(uint32_t place) {
    Dl_info i;
    std::vector<std::string> lines;
    if (place && dladdr(__ehdr_start, &i)) {
        char at[32];
        std::snprintf(at, sizeof at, "0x%x", place - 1);
        if (FILE* f = popen((std::string("addr2line -i -e '") + i.dli_fname + "' " + at).c_str(), "r")) {
            char line[4096];
            while (std::fgets(line, sizeof line, f)) {
                std::string s(line);
                s = s.substr(0, s.find_first_of(" \n"));
                // skip frames of the simulation and of the compiler's headers
                if (s.find("cuda_sim.h") == s.npos && s.find("races.h") == s.npos &&
                    s.find("/include/c++/") == s.npos && s[0] != '?')
                    lines.push_back(s);
            }
            pclose(f);
        }
        if (lines.empty()) return std::string(" (") + at + " of " + i.dli_fname + ")";
    }
    if (lines.empty()) return "";
    auto file = [](const std::string& s) { return s.substr(s.rfind('/') + 1); };
    size_t kernel = 0;
    while (kernel + 1 < lines.size() && lines[kernel].find(".cuh:") != std::string::npos) kernel++;
    return " (" + file(lines[kernel]) + (kernel > 0 ? ", " + file(lines[0]) : "") + ")";
}
uint32_t offset(const void* place) { return (uint32_t)((uintptr_t)place - base()); }

/// Describes a byte's location for messages.
std::string where(const Block& b, uintptr_t p) {
    const uintptr_t s = (uintptr_t)const_cast<Block&>(b).shared();
    if (p >= s && p < s + kDynamic) return "shared byte " + std::to_string(p - s);
    char x[32];
    if (p >= (uintptr_t)b.fixed && p < (uintptr_t)b.fixed + b.fixed_bytes) return "a byte of its static shared memory";
    std::snprintf(x, sizeof x, "0x%zx", (size_t)p);
    return std::string("device byte ") + x;
}

/// Checks one access against the history.
struct Check {
    Block& b;
    Fiber& f;
    const bool shared;
    const uint32_t place;
    const Access access;
    uintptr_t at = 0;

    const uint32_t epoch = history.epoch;
    const uint16_t thread = (uint16_t)f.index;
    const unsigned warp = thread / 32, lane = thread % 32;
    const unsigned synced = b.warps[warp].synced;

    [[noreturn]] __attribute__((noinline, cold)) void fault(const std::string& why) const {
        stop("thread " + std::to_string(thread) + (f.begun.place ? "'s wgmma" : "") +
             (access == Access::kRead ? " reads " : " writes ") + where(b, at) + name(place) + why);
    }
    [[noreturn]] __attribute__((noinline, cold)) void fault(unsigned t, uint32_t p, const char* did,
                                                            const char* then) const {
        fault(" that thread " + std::to_string(t) + did + name(p) + then);
    }
    [[noreturn]] __attribute__((noinline, cold)) void race(unsigned t, uint32_t p, const char* did) const {
        fault(t, p, did,
              t / 32 == warp ? ", of its warp, with no __syncwarp between them" : " with no barrier between them");
    }
    [[noreturn]] __attribute__((noinline, cold)) void blocks(uint32_t e, uint32_t p, const char* did) const {
        fault(" that " + history.block_of(e) + did + " in the same launch" + name(p));
    }

    void operator()(Cell& c) const {
        if (c.epoch >= (shared ? history.block : history.launch)) {
            if (c.epoch < history.block) blocks(c.epoch, c.place, " writes");
            if (c.in_flight) {
                if (access != Access::kCopyEnds || c.thread != thread)
                    fault(c.thread, c.place, " copies with cp.async", " and has not waited for");
            } else if (c.thread != thread && c.epoch == epoch && !(c.thread / 32u == warp && c.synced != synced)) {
                race(c.thread, c.place, " writes");
            }
            if (f.begun.place && c.epoch > f.begun.epoch)
                fault(c.thread, c.place, " writes", " before the wait for it");
        } else if (shared && access == Access::kRead) {
            fault(" that no thread of its block has written");
        }
        if (access == Access::kRead) read(c);
        else write(c);
    }

    void write(Cell& c) const {
        if (!shared) {
            if (c.read_epoch >= history.launch && c.read_epoch < history.block)
                blocks(c.read_epoch, c.read_place, " reads");
            if (c.earlier_epoch >= history.launch) blocks(c.earlier_epoch, c.earlier_place, " reads");
        }
        if (c.read_epoch == epoch) {
            if (c.warps & ~(1u << warp)) {
                if (c.reader / 32u != warp) race(c.reader, c.read_place, " reads");
                race(c.other_reader, c.other_place, " reads");
            }
            const uint32_t others = c.lanes & ~(1u << lane);
            if (c.read_synced == synced && others)
                race(warp * 32 + (unsigned)__builtin_ctz(others), c.read_place, " reads");
        }
        c.epoch = epoch, c.synced = synced, c.place = place, c.thread = thread,
        c.in_flight = access == Access::kCopyBegins;
    }

    void read(Cell& c) const {
        if (c.read_epoch != epoch) {
            if (!shared && c.read_epoch >= history.launch && c.read_epoch < history.block)
                c.earlier_epoch = c.read_epoch, c.earlier_place = c.read_place;
            c.read_epoch = epoch, c.warps = 1u << warp, c.read_synced = synced, c.lanes = 1u << lane;
        } else {
            if (c.reader / 32u != warp) c.other_reader = c.reader, c.other_place = c.read_place;
            if (c.read_synced != synced) c.lanes = 0;
            c.warps |= 1u << warp, c.read_synced = synced, c.lanes |= 1u << lane;
        }
        c.reader = thread, c.read_place = place;
    }
};

}  // namespace

Launch::Launch() {
    history.one_launch.lock();
    host_stack = Stack();
    history.running = &own_block();
    launching = __builtin_thread_pointer();
    history.launch = history.block = ++history.epoch;
    history.blocks.clear();
    if (history.pages.size() > kMostPages) {
        history.pages.clear();
        for (auto& r : history.recent) r = {0, nullptr};
    }
}
Launch::~Launch() {
    launching = nullptr;
    history.one_launch.unlock();
}

void next_epoch(bool begins) {
    history.epoch++;
    if (!begins) return;
    history.block = history.epoch;
    history.blocks.push_back({history.epoch, history.running->bid});
}

Quiet::Quiet() { self().quiet++; }
Quiet::~Quiet() { self().quiet--; }
Begun begun() { return {history.epoch, CG_SIM_PLACE}; }
Computing::Computing(Begun x) { self().begun = x; }
Computing::~Computing() { self().begun = {}; }

void touch(const void* p, size_t n, Access a, const void* place) {
    Block& b = *history.running;
    Fiber& f = *b.now;
    const uintptr_t at = (uintptr_t)p, s = (uintptr_t)b.shared(), fixed = (uintptr_t)b.fixed;
    const bool dynamic = at >= s && at < s + kDynamic, shared = dynamic || (at >= fixed && at < fixed + b.fixed_bytes);
    Check check{b, f, shared, offset(place), a};
    if (!f.awaited) {
        check.at = at;
        check.fault(" before await_inputs()");
    }
    if (dynamic && at + n > s + b.dynamic_bytes) {
        check.at = at;
        check.fault(", and its block has " + std::to_string(b.dynamic_bytes));
    }
    for (uintptr_t x = at, end = at + n; x < end;) {
        Page& page = history.page(x / kPage);
        const uintptr_t last = std::min(end, (x / kPage + 1) * kPage), grain = (x | last) & -(x | last);
        if (grain < page.bytes) page.refine((unsigned)grain);
        for (; x < last; x += page.bytes) {
            check.at = x;
            check(page.cells[x % kPage >> page.shift]);
        }
    }
}

namespace {

/// An access that g++ instrumented.
inline void compiled(const void* p, size_t n, Access a, const void* place) {
    if (launching != __builtin_thread_pointer()) return;
    Fiber* f = history.running->now;
    if (!f || f->quiet) return;
    const uintptr_t at = (uintptr_t)p;
    if (at - (uintptr_t)f->stack < kStack || (at >= host_stack.first && at < host_stack.last)) return;
    touch(p, n, a, f->begun.place ? f->begun.place : place);
}

}  // namespace

}  // namespace cg::sim

using cg::sim::Access;

#define CG_HOOK(what, n, a) \
    extern "C" void __tsan_##what(void* p) { cg::sim::compiled(p, n, Access::a, CG_SIM_PLACE); }
#define CG_HOOKS(n)                        \
    CG_HOOK(read##n, n, kRead)             \
    CG_HOOK(write##n, n, kWrite)           \
    CG_HOOK(unaligned_read##n, n, kRead)   \
    CG_HOOK(unaligned_write##n, n, kWrite) \
    CG_HOOK(volatile_read##n, n, kRead)    \
    CG_HOOK(volatile_write##n, n, kWrite)
CG_HOOKS(1)
CG_HOOKS(2)
CG_HOOKS(4)
CG_HOOKS(8)
CG_HOOKS(16)
extern "C" void __tsan_read_range(void* p, size_t n) { cg::sim::compiled(p, n, Access::kRead, CG_SIM_PLACE); }
extern "C" void __tsan_write_range(void* p, size_t n) { cg::sim::compiled(p, n, Access::kWrite, CG_SIM_PLACE); }
extern "C" void __tsan_vptr_update(void*, void*) {}
extern "C" void __tsan_vptr_read(void*) {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}

/// Data that -fsanitize=alignment passes (UBSan's TypeMismatchData).
struct Mismatch {
    const char* file;
    uint32_t line, column;
    const struct {
        uint16_t kind, info;
        char name[1];
    }* type;
    unsigned char log_alignment, kind;
};
extern "C" void __ubsan_handle_type_mismatch_v1(const Mismatch* m, void* p) {
    using namespace cg::sim;
    if (launching != __builtin_thread_pointer()) return;
    const Block& b = *history.running;
    if (!b.now || b.now->quiet) return;
    const size_t n = (size_t)1 << m->log_alignment;
    stop("thread " + std::to_string(b.now->index) + (m->kind == 1 ? " stores " : " loads ") + m->type->name + " at " +
         where(b, (uintptr_t)p) + name(offset(CG_SIM_PLACE)) + ", " + std::to_string((uintptr_t)p % n) +
         " bytes past a multiple of " + std::to_string(n));
}
