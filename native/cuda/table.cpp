// SPDX-License-Identifier: Apache-2.0
// The kernel table of a library that api.cpp loads at run time: CUDA (nvcc) or the simulation (g++, CG_SIM).
#include <cstring>

#include "attention/attention_sm90.cuh"
#include "cg/table.h"
#ifdef CG_SIM
#include "launches.h"
#else
#include <nvtx3/nvToolsExt.h>

/// Begins a named range for NVIDIA's profilers; a null name ends the last range.
extern "C" __attribute__((visibility("default"))) void cg_range(const char* name) {
    if (name) nvtxRangePushA(name);
    else nvtxRangePop();
}
#endif

/// Chooses one of a kernel's variants for all later launches. In the simulation, "launches" names a file that records
/// launches instead of running them, and "shared" sets the bytes of shared memory of a block.
extern "C" __attribute__((visibility("default"))) void cg_choose(const char* what, const char* which) {
#ifdef CG_SIM
    if (!std::strcmp(what, "launches")) return cg::sim::launches.note_in(which);
    if (!std::strcmp(what, "shared")) {
        cg::sim::launches.most_shared = std::stoul(which);
        return;
    }
#endif
    CG_CHECK(!std::strcmp(what, "attention"), std::string(what) + " has no variants; only attention has");
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
// The simulation with its own CUDA runtime (native/sim/cudart): launches go through that runtime's streams.
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

// CUDA kernels have no prepared state: each launch reads the shapes from its arguments.
constexpr Entry entries[] = {
#define CG_KERNEL(k, Args, KIND, ...) entry<Args, k##_functions, KIND & ~kState>(#k),
#include "kernels.def"
};
}  // namespace

static const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace cg::cuda

extern "C" __attribute__((visibility("default"))) const cg::Table* cg_backend() { return &cg::cuda::kTable; }
