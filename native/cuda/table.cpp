// SPDX-License-Identifier: Apache-2.0
// The kernel table of a library that api.cpp loads at run time: CUDA (nvcc) or the simulation (g++, CG_SIM).
#include "cg/table.h"
#ifdef CG_SIM
#include "launches.h"

/// Changes a setting: "launches" names a file that records launches instead of running them, "shared" is the bytes of
/// shared memory of a block, "approximate" the ulps by which approximate functions err.
extern "C" __attribute__((visibility("default"))) void cg_set(const char* setting, const char* value) {
    using namespace cg::sim;
    const std::string s = setting;
    if (s == "launches") launches.note_in(value);
    else if (s == "shared") launches.most_shared = std::stoul(value);
    else if (s == "approximate") approximation_ulps = std::stoi(value);
    else CG_CHECK(false, "the simulation has no setting " + s);
}
#else
#include <nvtx3/nvToolsExt.h>

/// Begins a named range for NVIDIA's profilers; a null name ends the last range.
extern "C" __attribute__((visibility("default"))) void cg_range(const char* name) {
    if (name) nvtxRangePushA(name);
    else nvtxRangePop();
}
#endif

#ifdef CG_SIM_CUDART
// The simulation with its own CUDA runtime (native/sim/cudart): launches go through that runtime's streams.
extern "C" void cg_cudart_launch(void* stream, void (*run)(const void*, void*), const void* args);
[[maybe_unused]] static const bool streams = (cg::sim::run_on_stream = cg_cudart_launch, true);
#endif

namespace cg::cuda {

#define CG_KERNEL(k, Args, KIND, ...)             \
    template <class T>                            \
    Implementations k##_implementations();        \
    template <>                                   \
    Implementations k##_implementations<float>(); \
    template <>                                   \
    Implementations k##_implementations<bf16>();  \
    i64 k##_scratch(const Args&);
#include "kernels.def"

namespace {
#define CG_KERNEL(k, Args, KIND, ...)                                \
    struct k##_functions {                                           \
        template <class T>                                           \
        static Implementations implementations() {                   \
            return k##_implementations<T>();                         \
        }                                                            \
        static i64 scratch(const Args& a) { return k##_scratch(a); } \
    };
#include "kernels.def"

// CUDA kernels have no prepared state: each launch reads the shapes from its arguments.
const Entry entries[] = {
#define CG_KERNEL(k, Args, KIND, ...) entry<Args, k##_functions, KIND & ~kState>(#k),
#include "kernels.def"
};
}  // namespace

static const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace cg::cuda

extern "C" __attribute__((visibility("default"))) const cg::Table* cg_table() { return &cg::cuda::kTable; }
