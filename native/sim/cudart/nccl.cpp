// SPDX-License-Identifier: Apache-2.0
// NCCL on the CPU, for tests of the code that calls it: ranks are threads of one process, each with a card of its own.
// An all-reduce is work on a stream. It waits until the streams of all ranks have come to theirs, then adds up in the
// order of the ranks in the tensors' own type, as NCCL does in an order of its own.
// Stricter than NCCL, which hangs or adds garbage: ranks that ask for different tensors get an error, and so do those
// that wait for a rank that has left or does not come within a time.
// Errors on demand: "ncclCommInitRank" and "ncclAllReduce" return a result, "ncclCommGetAsyncError" tells one.
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include <cstdint>
#include <cstdio>
#include <cstring>

#define CG_NCCL extern "C" __attribute__((visibility("default")))
extern "C" int cg_cudart_ask(void* stream, void (*work)(void*), void* data);
extern "C" int cg_cudart_fault(const char* call);
extern "C" int cg_cudart_device();
extern "C" void cg_cudart_joins();
extern "C" void cg_cudart_reduces();
extern "C" void cg_cudart_rest();

namespace {

constexpr int kSystem = 2, kInvalid = 4, kUsage = 5;
constexpr int kF32 = 7, kF64 = 8, kSum = 0, kAvg = 4;
constexpr auto kPatience = std::chrono::seconds(20);
using Clock = std::chrono::steady_clock;

struct Id {
    char bytes[128];
};
struct Tensor {
    void* at;
    int64_t n;
    int type, op;
};
/// The ranks of one identifier. All members are guarded by `mutex`.
struct Ranks {
    explicit Ranks(int size) : cards(size, -1), here(size) {}
    std::vector<int> cards;           // of the ranks that have joined; -1 for the others
    std::vector<const Tensor*> here;  // of the ranks that have come to the current reduction
    int64_t done = 0;                 // reductions
    bool left = false;                // a rank has left
    bool differs = false;             // ranks have asked for different tensors

    int size() const { return (int)cards.size(); }
    bool complete() const {
        for (int c : cards)
            if (c < 0) return false;
        return true;
    }
};
/// Stays until the process ends, because work may still refer to it.
struct Communicator {
    std::shared_ptr<Ranks> all;
    int rank;
    bool aborted = false;
};
struct Job {
    Communicator* by;
    Tensor tensor;
};
std::mutex mutex;
std::map<int64_t, std::shared_ptr<Ranks>> joining;
int64_t ids = 0;

template <typename T>
void reduce(const std::vector<const Tensor*>& all) {
    const double scale = all[0]->op == kAvg ? 1.0 / (double)all.size() : 1;
    for (int64_t i = 0; i < all[0]->n; i++) {
        T sum = 0;
        for (const Tensor* t : all) sum += ((const T*)t->at)[i] * (T)scale;
        for (const Tensor* t : all) ((T*)t->at)[i] = sum;
    }
}

/// Comes to a reduction; the last rank that comes computes it. Returns its number.
int64_t come(const Job& j) {
    std::lock_guard<std::mutex> lock(mutex);
    Ranks& r = *j.by->all;
    r.here[j.by->rank] = &j.tensor;
    const int64_t number = r.done;
    for (const Tensor* t : r.here)
        if (!t) return number;
    for (const Tensor* t : r.here)
        r.differs = r.differs || t->n != j.tensor.n || t->type != j.tensor.type || t->op != j.tensor.op;
    if (!r.differs) j.tensor.type == kF64 ? reduce<double>(r.here) : reduce<float>(r.here);
    r.here.assign(r.here.size(), nullptr);
    r.done++;
    return number;
}

/// Runs a Job. Jobs stay until the process ends, because a recording may replay them.
void run(void* data) {
    const Job& j = *(Job*)data;
    cg_cudart_reduces();
    const int64_t number = come(j);
    for (const auto end = Clock::now() + kPatience;; cg_cudart_rest()) {
        std::lock_guard<std::mutex> lock(mutex);
        Ranks& r = *j.by->all;
        if (j.by->aborted) return;
        if (r.differs) throw std::runtime_error("the ranks reduce different tensors");
        if (r.done > number) return;
        if (r.left || Clock::now() > end) throw std::runtime_error("a rank is missing");
    }
}

}  // namespace

CG_NCCL int ncclGetVersion(int* v) { return *v = 22900, 0; }
CG_NCCL const char* ncclGetErrorString(int result) {
    switch (result) {
        case 0: return "no error";
        case kSystem: return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
        case kUsage: return "invalid usage (run with NCCL_DEBUG=WARN for details)";
        case 6: return "remote process exited or there was a network error";
        default: return "simulated";
    }
}
CG_NCCL const char* ncclGetLastError(void*) { return "simulated detail"; }
CG_NCCL int ncclGetUniqueId(Id* id) {
    std::lock_guard<std::mutex> lock(mutex);
    std::memset(id, 0, sizeof *id);
    const int64_t number = ++ids;
    std::memcpy(id->bytes, &number, sizeof number);
    return 0;
}
/// Returns once all ranks have joined, each with a card of its own.
CG_NCCL int ncclCommInitRank(void** communicator, int size, Id id, int rank) {
    const int fault = cg_cudart_fault("ncclCommInitRank");
    int64_t number;
    std::memcpy(&number, id.bytes, sizeof number);
    std::shared_ptr<Ranks> all;
    {
        std::lock_guard<std::mutex> lock(mutex);
        if (number < 1 || number > ids || rank < 0 || rank >= size) return kInvalid;
        std::shared_ptr<Ranks>& of = joining[number];
        if (!of) of = std::make_shared<Ranks>(size);
        all = of;
        if (all->size() != size) return kInvalid;
        if (fault) return all->left = true, fault;
        for (int c : all->cards)
            if (c == cg_cudart_device()) return kUsage;
        all->cards[rank] = cg_cudart_device();
    }
    for (const auto end = Clock::now() + kPatience;; std::this_thread::sleep_for(std::chrono::microseconds(50))) {
        std::lock_guard<std::mutex> lock(mutex);
        if (all->complete()) break;
        if (all->left || Clock::now() > end) return kSystem;
    }
    cg_cudart_joins();
    *communicator = new Communicator{all, rank};
    return 0;
}
CG_NCCL int ncclAllReduce(void* from, void* to, size_t n, int type, int op, Communicator* by, void* stream) {
    if (const int e = cg_cudart_fault("ncclAllReduce")) return e == -2 ? 0 : e;
    if (from != to || (type != kF32 && type != kF64) || (op != kSum && op != kAvg)) return kInvalid;
    if (by->all->cards[by->rank] != cg_cudart_device()) return kUsage;
    return cg_cudart_ask(stream, run, new Job{by, {to, (int64_t)n, type, op}});
}
CG_NCCL int ncclCommGetAsyncError(Communicator*, int* result) {
    *result = cg_cudart_fault("ncclCommGetAsyncError");
    return 0;
}
CG_NCCL int ncclCommAbort(Communicator* by) {
    std::lock_guard<std::mutex> lock(mutex);
    by->aborted = by->all->left = true;
    return 0;
}
