// SPDX-License-Identifier: Apache-2.0
// The kernel table of a library that api.cpp loads at run time: CUDA's (nvcc), or the simulation's (g++, CG_SIM).
#include <cstring>

#include "attention/attention_sm90.cuh"
#include "cg/table.h"
#ifdef CG_SIM
#include "launches.h"
#else
#include <nvtx3/nvToolsExt.h>

/// Begins a named range for NVIDIA's profilers, or ends the last one where the name is null.
extern "C" __attribute__((visibility("default"))) void cg_range(const char* name) {
    if (name) nvtxRangePushA(name);
    else nvtxRangePop();
}
#endif

/// Takes one of a kernel's variants for all launches from now on. The simulation also takes a file in which it notes
/// launches instead of running them, and how much shared memory a block may have.
extern "C" __attribute__((visibility("default"))) void cg_choose(const char* what, const char* which) {
#ifdef CG_SIM
    if (!std::strcmp(what, "launches")) return cg::sim::launches.note_in(which);
    if (!std::strcmp(what, "shared")) {
        cg::sim::launches.most_shared = std::stoul(which);
        return;
    }
#endif
    CG_CHECK(!std::strcmp(what, "attention"), std::string("no variants of ") + what);
    cg::cuda::choose_attention(which);
}

namespace cg::cuda {

using Stream = void*;

#define CG_KERNEL(k, Args, KIND, ...) \
    template <class T>                \
    void k(const Args&, Stream);      \
    i64 k##_scratch(const Args&);
#include "kernels.def"

#ifdef CG_SIM_CUDART
// The simulation behind a CUDA runtime of its own (native/sim/cudart): launches go through its streams.
extern "C" void cg_cudart_launch(void* stream, void (*run)(const void*, void*), const void* args);
#endif

namespace {
template <class Args, void (*KERNEL)(const Args&, Stream)>
void start(const Args& a, Stream s) {
#ifdef CG_SIM_CUDART
    cg_cudart_launch(s, [](const void* b, void* forwards) { KERNEL(*(const Args*)b, forwards); }, &a);
#else
    KERNEL(a, s);
#endif
}

#define CG_KERNEL(k, Args, KIND, ...)                                \
    struct k##_functions {                                           \
        template <class T>                                           \
        static void run(const Args& a, void* s) {                    \
            start<Args, k<T>>(a, s);                                 \
        }                                                            \
        static i64 scratch(const Args& a) { return k##_scratch(a); } \
    };
#include "kernels.def"

// Kernels have no state here: shapes are taken from the arguments of every launch.
constexpr Entry entries[] = {
#define CG_KERNEL(k, Args, KIND, ...) entry<Args, k##_functions, KIND & ~kState>(#k),
#include "kernels.def"
};
}  // namespace

static const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace cg::cuda

extern "C" __attribute__((visibility("default"))) const cg::Table* cg_backend() { return &cg::cuda::kTable; }
