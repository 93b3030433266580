// SPDX-License-Identifier: Apache-2.0
// The kernel table of a library that api.cpp loads at run time: CUDA's (nvcc), or the simulation's (g++, CG_SIM).
#include <cstring>
#include <stdexcept>

#include "attention/attention_sm90.cuh"
#include "kernels_all.h"
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

namespace cg {

void fail(const char* file, int line, const char* expr, const std::string& what) {
    const char* name = std::strrchr(file, '/');
    throw std::runtime_error(std::string(name ? name + 1 : file) + ":" + std::to_string(line) + ": " + expr +
                             (what.empty() ? "" : ": ") + what);
}

}  // namespace cg

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

#define CG_VEC(k, A)   \
    template <class T> \
    void k(const A&, Stream);
#define CG_VEC_SCRATCH(k, A) CG_VEC(k, A) i64 k##_scratch(const A&);
#define CG_VEC_F32(k, A) CG_VEC(k, A)
#define CG_VEC_F32_SCRATCH(k, A) CG_VEC_SCRATCH(k, A)
#define CG_ONEDNN(k, A) CG_VEC_SCRATCH(k, A)
#include "kernels.def"
#undef CG_VEC
#undef CG_VEC_SCRATCH
#undef CG_VEC_F32
#undef CG_VEC_F32_SCRATCH
#undef CG_ONEDNN

#ifdef CG_SIM_CUDART
// The simulation behind a CUDA runtime of its own (native/sim/cudart): launches go through its streams.
extern "C" void cg_cudart_launch(void* stream, void (*run)(const void*, void*), const void* args);
#define CG_RUN(k, A, T)                                                                              \
    [](const void* a, void* s) {                                                                     \
        cg_cudart_launch(s, [](const void* b, void* forwards) { k<T>(*(const A*)b, forwards); }, a); \
    }
#else
#define CG_RUN(k, A, T) [](const void* a, void* s) { k<T>(*(const A*)a, s); }
#endif
#define CG_SCRATCH(k, A) [](const void* a) -> i64 { return k##_scratch(*(const A*)a); }
static const Entry entries[] = {
#define CG_VEC(k, A) \
    {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), CG_RUN(k, A, bf16)}, nullptr, nullptr, nullptr},
#define CG_VEC_SCRATCH(k, A) \
    {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), CG_RUN(k, A, bf16)}, CG_SCRATCH(k, A), nullptr, nullptr},
#define CG_VEC_F32(k, A) {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), nullptr}, nullptr, nullptr, nullptr},
#define CG_VEC_F32_SCRATCH(k, A) \
    {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), nullptr}, CG_SCRATCH(k, A), nullptr, nullptr},
#define CG_ONEDNN(k, A) CG_VEC_SCRATCH(k, A)
#include "kernels.def"
};
static const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace cg::cuda

extern "C" __attribute__((visibility("default"))) const cg::Table* cg_backend() { return &cg::cuda::kTable; }
