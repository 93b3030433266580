// SPDX-License-Identifier: Apache-2.0
// The threads of all CPU kernels, oneDNN's included (cpu/threads.cpp). Work is split by position alone, so a result
// depends on the data and the number of threads, never on timing.
#pragma once

#include <cstdint>
#include <vector>

#include "cg/abi.h"

namespace cg {

/// Number of threads of the kernels that the calling thread launches; at first that of the processors it may use.
int threads();
void set_threads(int n);

/// Calls part(data, q) for q = 0 .. n - 1, each once, on up to n threads, and returns when all calls have returned. The
/// calling thread makes every call that no other thread has begun by then. Inside a part, calls are made in order on
/// the thread itself. A part must not throw.
void for_parts(int n, void (*part)(void* data, int q), void* data);

/// What is known of the parallel regions that a oneDNN primitive opens in one execution.
class Regions {
  public:
    /// Whether parts of a region wait for each other.
    enum Kind : uint8_t { UNKNOWN, FREE, COUPLED };
    /// The thread's oneDNN calls during the life of a Scope are an execution of these regions.
    class Scope {
      public:
        explicit Scope(Regions& r);
        ~Scope();
        Scope(const Scope&) = delete;
    };
    /// The kind of the next region.
    Kind& next() {
        if (at_ == kinds_.size()) kinds_.push_back(UNKNOWN);
        return kinds_[at_++];
    }

  private:
    std::vector<Kind> kinds_;
    size_t at_ = 0;
};

/// Who runs the parallel regions of oneDNN: "own threads" or "libgomp".
const char* onednn_threads();

/// Number of parts that parallel() splits [0, n) into.
inline i64 parts_of(i64 n, i64 grain) {
    i64 parts = threads();
    return grain > 0 && (n + grain - 1) / grain < parts ? (n + grain - 1) / grain : parts;
}

/// Calls body(begin, end, part) for `parts` nearly equal, contiguous parts of [0, n); part < threads().
template <class F>
inline void parallel(i64 n, i64 grain, F&& body) {
    const i64 parts = parts_of(n, grain);
    if (parts <= 1) {
        if (n > 0) body((i64)0, n, 0);
        return;
    }
    auto part = [&](i64 q) {
        const i64 b = n * q / parts, e = n * (q + 1) / parts;
        if (b < e) body(b, e, (int)q);
    };
    for_parts((int)parts, [](void* f, int q) { (*(decltype(part)*)f)(q); }, &part);
}

}  // namespace cg
