// SPDX-License-Identifier: Apache-2.0
// Threads that get along with other processes. OpenMP's threads wait for each other at the end of every region. If
// another process holds the core of one of them, all wait until the scheduler gives that thread its next turn, which
// takes milliseconds, while a region takes microseconds. Here
//   - the thread that opens a region makes every call that no other thread has begun, so it never waits for a thread
//     that does not run;
//   - threads spin for a bounded time, then sleep;
//   - a thread that notices that another process uses its core rests for a while, up to a second at a time.
// oneDNN is compiled for OpenMP. Its six references to libgomp are redirected to this file, so that its regions get the
// same treatment. A region whose parts wait for each other (GOMP_barrier, or oneDNN's own barriers, which spin) is
// safe: a thread that takes over a second part has finished a first one, and so all parts of that region had begun.
#include "cg/threads.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cg/api.h"

namespace cg {
namespace {

/// Nanoseconds that a thread spins before it sleeps; and while others use its core.
constexpr i64 kSpin = 1'000'000, kShortSpin = 20'000;
/// Nanoseconds between two looks at the scheduler's counters, and the share of its time that a thread then misses at
/// most. A short burst of work of another thread, such as the garbage collector's, passes in fewer looks.
constexpr i64 kWindow = 5'000'000, kLostPercent = 25, kLooks = 4;
/// Nanoseconds of a rest. A resting thread looks for a region that waits for it once a nap.
constexpr i64 kFirstRest = 20'000'000, kLongestRest = 1'000'000'000, kNap = 5'000'000;

/// Bits of the number of parts beside the number of a region.
constexpr int kPartBits = 16, kMostThreads = (1 << kPartBits) - 1;

i64 now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

void sleep_on(std::atomic<uint32_t>& word, uint32_t value, i64 ns) {
    timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, ns < 0 ? nullptr : &t, nullptr, 0);
}
void wake(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }

/// A 32-bit word that threads wait on, first spinning, then asleep.
struct Bell {
    std::atomic<uint32_t> value{0};
    std::atomic<int> asleep{0};

    /// Call after a change of the value.
    void ring() {
        if (asleep.load()) wake(value);
    }
    /// Returns the nanoseconds asleep.
    template <class Done>
    i64 wait(i64 spin, Done done) {
        i64 begin = 0;
        for (int i = 0;; i++) {
            if (done(value.load(std::memory_order_acquire))) return 0;
            __builtin_ia32_pause();
            if (i % 16 != 15) continue;
            const i64 t = now();
            if (!begin) begin = t;
            if (t - begin >= spin) break;
        }
        const i64 slept = now();
        asleep++;
        for (uint32_t v = value.load(); !done(v); v = value.load()) sleep_on(value, v, -1);
        asleep--;
        return now() - slept;
    }
};

/// What the scheduler did to a thread.
class Pressure {
  public:
    i64 slept = 0;  // nanoseconds of its own will since the last look

    /// Whether others have used the thread's core in each of the last looks, of which there is one a window at most.
    bool look(i64 t, bool knowsSleep) {
        if (t - since_ < kWindow) return false;
        rusage u;
        getrusage(RUSAGE_THREAD, &u);
        const i64 cpu =
            (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1'000'000'000 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
        const i64 wall = t - since_, lost = wall - slept - (cpu - cpu_), preempted = u.ru_nivcsw - preempted_;
        // The calling thread may have slept outside the regions, in Java. A thread that shares its core is preempted at
        // least every second window; one that does not, hardly ever.
        const bool shares = knowsSleep ? lost * 100 > wall * kLostPercent : preempted * 2 * kWindow >= wall;
        looks_ = since_ && shares ? looks_ + 1 : 0;
        since_ = t, slept = 0, cpu_ = cpu, preempted_ = u.ru_nivcsw;
        if (looks_ < kLooks) return false;
        looks_ = 0;
        return true;
    }

  private:
    i64 since_ = 0, cpu_ = 0, preempted_ = 0, looks_ = 0;
};

struct Team;

/// What a thread knows of itself.
struct Self {
    Team* team = nullptr;  // of the region whose part it runs
    int part = 0, parts = 1;
    int wanted;
    Regions* regions = nullptr;
    std::unique_ptr<Team> own;
    Self() {
        cpu_set_t set;
        wanted = sched_getaffinity(0, sizeof set, &set) ? 1 : std::max(1, CPU_COUNT(&set));
    }
    ~Self();
};
thread_local Self self;

/// The threads that help one calling thread.
struct Team {
    struct alignas(64) Slot {
        std::atomic<uint64_t> claimed{0};          // number of the last region whose part of this number has begun
        std::atomic<i64> rests_until{0}, rest{0};  // of the worker of this number; nanoseconds of its last rest
    };
    struct alignas(64) {
        std::atomic<uint64_t> word{0};  // its number << kPartBits | its parts
        std::atomic<Regions::Kind> kind{Regions::FREE};
        void (*part)(void*, int) = nullptr;
        void* data = nullptr;
    } region;
    alignas(64) Bell posted;  // number of the last region, its low bits
    alignas(64) Bell left;    // parts that have not returned
    alignas(64) Bell urgent;  // calls for resting workers
    alignas(64) Bell phase;   // of the barrier
    std::atomic<int> arrived{0};
    std::atomic<bool> stop{false};
    std::atomic<i64> contended_until{0};
    Pressure pressure;  // of the calling thread
    int ready = 1;      // most parts that a region can have now
    std::vector<std::unique_ptr<Slot>> slots;
    std::vector<std::unique_ptr<Slot*[]>> tables;  // old ones live on: a late worker may read them
    std::atomic<Slot**> table{nullptr};
    std::vector<std::thread> workers;

    ~Team() {
        stop = true;
        posted.value++, urgent.value++;
        wake(posted.value), wake(urgent.value);
        for (auto& w : workers) w.join();
    }
    /// Wide enough for years: a slot may be unused for as long, and its number must still be known to be an old one.
    uint64_t number() { return region.word.load(std::memory_order_acquire) >> kPartBits; }
    bool contended(i64 t) { return t < contended_until.load(std::memory_order_relaxed); }
    i64 spin() { return contended(now()) ? kShortSpin : kSpin; }
    Slot& slot(int q) { return *table.load(std::memory_order_acquire)[q]; }

    /// Throws if the system has no more threads.
    void grow(int n) {
        if (ready >= n) return;
        while ((int)slots.size() < n) slots.push_back(std::make_unique<Slot>());
        tables.push_back(std::make_unique<Slot*[]>(slots.size()));
        for (size_t i = 0; i < slots.size(); i++) tables.back()[i] = slots[i].get();
        table = tables.back().get();
        while ((int)workers.size() < n - 1)
            workers.emplace_back([this, w = (int)workers.size() + 1, at = (uint32_t)number()] { work(w, at); });
        ready = n;
    }
    /// Whether nobody had begun part q of a region. The caller then has to run it.
    bool claim(int q, uint64_t number) {
        std::atomic<uint64_t>& c = slot(q).claimed;
        uint64_t before = c.load(std::memory_order_relaxed);
        while (before < number)
            if (c.compare_exchange_weak(before, number, std::memory_order_acq_rel)) return true;
        return false;
    }
    void run(int q, int n) noexcept {
        self.part = q, self.parts = n, self.team = this;
        region.part(region.data, q);
        self.part = 0, self.parts = 1, self.team = nullptr;
    }
    void done(int n) {
        if ((int)left.value.fetch_sub((uint32_t)n) == n) left.ring();
    }

    void open(int n, void (*part)(void*, int), void* data, Regions::Kind& kind) {
        grow(n);
        region.part = part, region.data = data, region.kind.store(kind, std::memory_order_relaxed);
        left.value.store((uint32_t)n, std::memory_order_relaxed);
        const uint64_t number = this->number() + 1;
        region.word.store(number << kPartBits | (uint64_t)n, std::memory_order_release);
        posted.value.store((uint32_t)number);
        posted.ring();
        if (kind == Regions::COUPLED) call();
        run(0, n);
        int own = 1;
        for (int q = 1; q < n; q++)
            if (claim(q, number)) run(q, n), own++;
        // This thread got here without the parts that it then ran.
        if (own > 1) kind = Regions::FREE;
        else if (kind == Regions::UNKNOWN) kind = region.kind.load(std::memory_order_relaxed);
        done(own);
        left.wait(spin(), [](uint32_t v) { return v == 0; });
        const i64 t = now();
        if (pressure.look(t, false))
            for (int w = (int)workers.size(); w > 0 && !rest(w, t); w--) {
            }
    }
    /// Calls the workers that rest.
    void call() {
        if (contended(now())) urgent.value++, wake(urgent.value);
    }

    /// Lets a worker rest, for longer if its last rest did not help. Returns false if it rests already.
    bool rest(int worker, i64 t) {
        Slot& s = slot(worker);
        const i64 until = s.rests_until, last = s.rest;
        if (t < until) return false;
        const i64 rest = t - until < std::max(8 * kWindow, last) ? std::min(4 * last, kLongestRest) : kFirstRest;
        s.rest = rest;
        s.rests_until = t + rest;
        contended_until = std::max(contended_until.load(), t + rest + 8 * kWindow);
        return true;
    }
    void work(int w, uint32_t seen) {
        Pressure p;
        p.look(now(), true);
        while (!stop) {
            if (now() < slot(w).rests_until.load(std::memory_order_relaxed)) {
                seen = nap(w, seen);
                p = Pressure{};
                p.look(now(), true);
                continue;
            }
            p.slept += posted.wait(spin(), [&](uint32_t v) { return v != seen || stop; });
            seen = help(w);
            const i64 t = now();
            if (p.look(t, true)) rest(w, t);
        }
    }
    /// Runs parts of the current region that nobody has begun, from the worker's own on. Returns the region's number.
    uint32_t help(int w, bool late = false) {
        const uint64_t word = region.word.load(std::memory_order_acquire);
        const uint64_t number = word >> kPartBits;
        const int n = (int)(word & kMostThreads);
        for (int i = 0; i < n; i++) {
            const int q = (w + i) % n;
            if (q == 0 || !claim(q, number)) continue;
            if (late) region.kind.store(Regions::COUPLED, std::memory_order_relaxed);
            run(q, n);
            done(1);
        }
        return (uint32_t)number;
    }
    /// Sleeps until called, or for a moment. Nobody can tell whether a region of unknown kind waits for this worker: if
    /// the region has not ended in that moment, the worker helps.
    uint32_t nap(int w, uint32_t seen) {
        const uint32_t calls = urgent.value.load(), before = (uint32_t)number();
        if (before != seen && region.kind.load(std::memory_order_relaxed) == Regions::COUPLED) return help(w);
        sleep_on(urgent.value, calls, kNap);
        if (urgent.value.load() != calls) return help(w);
        if (before == seen || (uint32_t)number() != before ||
            region.kind.load(std::memory_order_relaxed) == Regions::FREE)
            return seen;
        return help(w, true);
    }
    void barrier(int n) {
        const uint32_t p = phase.value.load();
        if (arrived.fetch_add(1) + 1 == n) {
            arrived = 0;
            phase.value++;
            phase.ring();
            return;
        }
        call();
        phase.wait(spin(), [&](uint32_t v) { return v != p; });
    }
};

Self::~Self() = default;

Team& team() {
    if (!self.own) self.own = std::make_unique<Team>();
    return *self.own;
}

// What oneDNN calls instead of libgomp's functions of these names.
struct Region {
    void (*body)(void*);
    void* data;
};
void gomp_parallel(void (*body)(void*), void* data, unsigned n, unsigned) {
    if (n == 0) n = (unsigned)self.wanted;
    if (n == 1 || self.team) {
        const int part = self.part, parts = self.parts;
        self.part = 0, self.parts = 1;
        body(data);
        self.part = part, self.parts = parts;
        return;
    }
    Region r{body, data};
    Regions::Kind unknown = Regions::UNKNOWN;
    team().open((int)n, [](void* r, int) { ((Region*)r)->body(((Region*)r)->data); }, &r,
                self.regions ? self.regions->next() : unknown);
}
void gomp_barrier() {
    if (self.parts > 1) self.team->barrier(self.parts);
}
int omp_max_threads() { return self.wanted; }
int omp_num_threads() { return self.parts; }
int omp_thread_num() { return self.part; }
int omp_is_parallel() { return self.team != nullptr; }

struct Redirection {
    const char* name;
    void* to;
};
const Redirection kRedirections[] = {
    {"GOMP_parallel", (void*)gomp_parallel},         {"GOMP_barrier", (void*)gomp_barrier},
    {"omp_get_max_threads", (void*)omp_max_threads}, {"omp_get_num_threads", (void*)omp_num_threads},
    {"omp_get_thread_num", (void*)omp_thread_num},   {"omp_in_parallel", (void*)omp_is_parallel},
};

/// The entries of a library's global offset table that belong to the redirections; all of them, or none.
class Offsets {
  public:
    explicit Offsets(const link_map* map) : base_(map->l_addr) {
        const Elf64_Rela *plt = nullptr, *rela = nullptr;
        size_t plt_bytes = 0, rela_bytes = 0;
        for (const Elf64_Dyn* d = map->l_ld; d->d_tag != DT_NULL; d++) switch (d->d_tag) {
                case DT_SYMTAB: symbols_ = (const Elf64_Sym*)d->d_un.d_ptr; break;
                case DT_STRTAB: strings_ = (const char*)d->d_un.d_ptr; break;
                case DT_JMPREL: plt = (const Elf64_Rela*)d->d_un.d_ptr; break;
                case DT_PLTRELSZ: plt_bytes = d->d_un.d_val; break;
                case DT_RELA: rela = (const Elf64_Rela*)d->d_un.d_ptr; break;
                case DT_RELASZ: rela_bytes = d->d_un.d_val; break;
            }
        if (!symbols_ || !strings_) return;
        if (plt) find(plt, plt_bytes);
        if (rela) find(rela, rela_bytes);
    }
    bool redirect() {
        for (const Redirection& r : kRedirections)
            if (std::none_of(found_.begin(), found_.end(), [&](auto& f) { return f.second == r.to; })) return false;
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        for (auto& [at, to] : found_) {
            // The table may be read-only after relocation.
            if (mprotect((void*)((uintptr_t)at & ~(page - 1)), page, PROT_READ | PROT_WRITE)) return false;
        }
        for (auto& [at, to] : found_) *at = to;
        return true;
    }

  private:
    ElfW(Addr) base_;
    const Elf64_Sym* symbols_ = nullptr;
    const char* strings_ = nullptr;
    std::vector<std::pair<void**, void*>> found_;

    void find(const Elf64_Rela* r, size_t bytes) {
        for (const Elf64_Rela* end = r + bytes / sizeof *r; r < end; r++) {
            const auto type = ELF64_R_TYPE(r->r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
            const char* name = strings_ + symbols_[ELF64_R_SYM(r->r_info)].st_name;
            for (const Redirection& n : kRedirections)
                if (!strcmp(name, n.name)) found_.emplace_back((void**)(base_ + r->r_offset), n.to);
        }
    }
};

bool redirect_onednn() {
    void* library = dlopen("libdnnl.so.3", RTLD_NOW | RTLD_NOLOAD);
    link_map* map = nullptr;
    return library && !dlinfo(library, RTLD_DI_LINKMAP, &map) && Offsets(map).redirect();
}
// When this library is loaded, oneDNN, which it needs, is loaded and has run nothing.
const bool redirected = redirect_onednn();

}  // namespace

int threads() { return self.wanted; }
void set_threads(int n) { self.wanted = std::clamp(n, 1, kMostThreads); }

void for_parts(int n, void (*part)(void*, int), void* data) {
    if (n == 1 || self.team) {
        for (int q = 0; q < n; q++) part(data, q);
        return;
    }
    Regions::Kind kind = Regions::FREE;
    team().open(n, part, data, kind);
}

Regions::Scope::Scope(Regions& r) { r.at_ = 0, self.regions = &r; }
Regions::Scope::~Scope() { self.regions = nullptr; }

const char* onednn_threads() { return redirected ? "own threads" : "libgomp"; }

}  // namespace cg
