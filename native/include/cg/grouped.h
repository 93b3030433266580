// SPDX-License-Identifier: Apache-2.0
// Runs many problems of one kind as one CPU kernel; each problem has its own oneDNN primitive.
// A problem with more than half of a thread's share of the work runs on all threads. Any other problem runs on one
// thread, so that threads need not meet after every problem: the largest problem first goes to the thread with the
// least work. The assignment is fixed when the plan is made, so results depend on shapes and the number of threads,
// never on timing.
// Processor time of one Zen 4 core, forward and all gradients, f32 / bf16:
//   MLP discriminator (256, 128, 1), 64 rows, 25 regions of 40992 vertices in all         58 / 36 ms
//   the same with one region of as many vertices and parameters                           53 / 30 ms
//   patch discriminator (16, 32, 1 channels, kernel 9), 8 rows, the 25 regions            179 / 98 ms
//   the same over one region                                                              172 / 93 ms
#pragma once

#include <algorithm>
#include <exception>
#include <vector>

#include "cg/onednn.h"
#include "cg/threads.h"

namespace cg::onednn {

/// The functions of a kernel for one problem; work() estimates its cost.
template <class Args>
struct Kernel {
    void* (*prepare)(Args&);
    i64 (*scratch)(const Args&);
    void (*run)(const Args&);
    void (*release)(void*);
    double (*work)(const Args&);
    void bind(Args& a, void* state, void* scratch) const { a.state = state, a.scratch = scratch; }
};

template <class Args>
class Group {
  public:
    Group(const Kernel<Args>& kernel, const Args* rows, i64 n)
        : kernel_(kernel), state_((size_t)n, nullptr), dealt_((size_t)threads()) {
        try {
            deal(rows, n);
        } catch (...) {
            release();
            throw;
        }
    }
    Group(const Group&) = delete;
    ~Group() { release(); }

    /// One slice per thread. Problems on all threads run before and use the same memory.
    i64 scratch() const { return std::max(wide_bytes_, slice_ * (i64)dealt_.size()); }

    void run(const Args* rows, void* scratch) {
        for (i64 i : wide_) one(rows, i, scratch);
        std::vector<std::exception_ptr> failed(dealt_.size());
        parallel((i64)dealt_.size(), 1, [&](i64 b, i64 e, int) {
            for (i64 q = b; q < e; q++) try {
                    for (i64 i : dealt_[q]) one(rows, i, (char*)scratch + slice_ * q);
                } catch (...) {
                    failed[q] = std::current_exception();
                }
        });
        for (auto& f : failed)
            if (f) std::rethrow_exception(f);
    }

  private:
    Kernel<Args> kernel_;
    std::vector<void*> state_;
    std::vector<i64> wide_;
    std::vector<std::vector<i64>> dealt_;
    i64 wide_bytes_ = 0, slice_ = 0;

    void deal(const Args* rows, i64 n) {
        const int all = threads();
        std::vector<i64> order;
        double total = 0;
        for (i64 i = 0; i < n; i++) order.push_back(i), total += kernel_.work(rows[i]);
        std::stable_sort(order.begin(), order.end(),
                         [&](i64 a, i64 b) { return kernel_.work(rows[a]) > kernel_.work(rows[b]); });
        std::vector<double> load(dealt_.size());
        for (i64 i : order) {
            const double w = kernel_.work(rows[i]);
            const bool wide = all > 1 && w * 2 * all > total;
            Args a = rows[i];
            // oneDNN reads the number of threads when it creates a primitive.
            if (!wide) set_threads(1);
            try {
                state_[i] = kernel_.prepare(a);
            } catch (...) {
                set_threads(all);
                throw;
            }
            set_threads(all);
            kernel_.bind(a, state_[i], nullptr);
            const i64 bytes = align64(kernel_.scratch(a));
            if (wide) {
                wide_.push_back(i);
                wide_bytes_ = std::max(wide_bytes_, bytes);
            } else {
                const size_t q = (size_t)(std::min_element(load.begin(), load.end()) - load.begin());
                dealt_[q].push_back(i);
                load[q] += w;
                slice_ = std::max(slice_, bytes);
            }
        }
    }
    void one(const Args* rows, i64 i, void* scratch) {
        Args a = rows[i];
        kernel_.bind(a, state_[i], scratch);
        kernel_.run(a);
    }
    void release() {
        for (void* s : state_)
            if (s) kernel_.release(s);
    }
};

/// Cost of a problem in FLOPs: moving an element takes about as long as 20 FLOPs.
inline double work(double flops, double elements) { return flops + 20 * elements; }

}  // namespace cg::onednn

/// Defines the four functions of a kernel of many problems.
#define CG_GROUPED(name, Args, Row, kernel)                                            \
    void* name##_prepare(Args& g) { return new Group<Row>(kernel, g.rows, g.n); }      \
    i64 name##_scratch(const Args& g) { return ((Group<Row>*)g.state)->scratch(); }    \
    void name##_run(const Args& g) { ((Group<Row>*)g.state)->run(g.rows, g.scratch); } \
    void name##_release(void* state) { delete (Group<Row>*)state; }
