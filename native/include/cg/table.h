// SPDX-License-Identifier: Apache-2.0
// Builds a backend's table from kernels/kernels.def. A backend declares its functions and gives each kernel a struct F
// of static functions that call them:
//   implementations<T>(), scratch(args), prepare(args), release(state)
// entry() uses only the functions that the kernel's kind has; the others need no definition.
#pragma once

#include "kernels_all.h"

namespace cg {

/// What a kernel has besides its implementations in float.
constexpr unsigned kBf16 = 1, kScratch = 2, kState = 4;

/// The kinds in kernels.def.
enum Kind : unsigned {
    VEC_F32 = 0,
    VEC_F32_SCRATCH = kScratch,
    VEC = kBf16,
    VEC_SCRATCH = kBf16 | kScratch,
    ONEDNN = kBf16 | kScratch | kState,
};

template <class Args, class F, unsigned KIND>
constexpr Entry entry(const char* name) {
    Entry e{name, {}, nullptr, nullptr, nullptr};
    e.implementations[(int)Variant::F32] = F::template implementations<float>();
    if constexpr (KIND & kBf16) e.implementations[(int)Variant::BF16] = F::template implementations<bf16>();
    if constexpr (KIND & kScratch) e.scratch = [](const void* a) { return F::scratch(*(const Args*)a); };
    if constexpr (KIND & kState) {
        e.prepare = [](void* a) { return F::prepare(*(Args*)a); };
        e.release = [](void* state) { F::release(state); };
    }
    return e;
}

}  // namespace cg
