// SPDX-License-Identifier: Apache-2.0
// The table of the CPU kernels for one instruction set (CG_NS); compiled once per set. oneDNN chooses its instruction
// set itself, so its kernels are the same in every table.
#include "cg/table.h"

namespace cg {

namespace onednn {
#define CG_KERNEL(k, Args, KIND, ...) \
    void* k##_prepare(Args&);         \
    i64 k##_scratch(const Args&);     \
    void k##_run(const Args&);        \
    void k##_release(void*);
#include "kernels.def"
}  // namespace onednn

namespace CG_NS {

#define CG_KERNEL(k, Args, KIND, ...) \
    template <class T>                \
    void k(const Args&);              \
    i64 k##_scratch(const Args&);
#include "kernels.def"

namespace {
template <class Args, void (*RUN)(const Args&)>
constexpr Implementation only = {"only", nullptr, [](const void* a, void*) { RUN(*(const Args*)a); }};

#define CG_KERNEL(k, Args, KIND, ...)                                    \
    struct k##_functions {                                               \
        template <class T>                                               \
        static void run(const Args& a) {                                 \
            if constexpr (KIND & kState) onednn::k##_run(a);             \
            else k<T>(a);                                                \
        }                                                                \
        template <class T>                                               \
        static constexpr Implementations implementations() {             \
            return {&only<Args, run<T>>, 1};                             \
        }                                                                \
        static i64 scratch(const Args& a) {                              \
            if constexpr (KIND & kState) return onednn::k##_scratch(a);  \
            else return k##_scratch(a);                                  \
        }                                                                \
        static void* prepare(Args& a) { return onednn::k##_prepare(a); } \
        static void release(void* state) { onednn::k##_release(state); } \
    };
#include "kernels.def"

constexpr Entry entries[] = {
#define CG_KERNEL(k, Args, KIND, ...) entry<Args, k##_functions, KIND>(#k),
#include "kernels.def"
};
}  // namespace

extern const Table kTable;
const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace CG_NS
}  // namespace cg
