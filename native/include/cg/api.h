// SPDX-License-Identifier: Apache-2.0
// The few functions that Java calls, all with raw addresses (org.cortigan.jni.Native).
#pragma once

#include <string>

#include "cg/abi.h"

namespace cg {
#define CG_API __attribute__((visibility("default")))

CG_API int kernel_count();
/// The text of schema() in cg/abi.h.
CG_API const char* kernel_schema();

/// Loads the table of a backend that is a library of its own (CUDA, SIM). Throws unless its schema is this library's.
CG_API void load_backend(int backend, const char* path);

/// Address of a kernel's function, 0 where this backend lacks the variant.
CG_API int64_t kernel_function(int backend, int kernel, int variant);
CG_API void launch(int64_t function, int64_t args, int64_t stream);
/// Begins a range of that name for a profiler of the backend's; an empty name ends it. Does nothing where there is
/// none.
CG_API void range(int backend, const char* name);
/// Takes one of a kernel's variants for everything launched or recorded from now on.
CG_API void choose(int backend, const char* what, const char* which);
CG_API int64_t kernel_prepare(int backend, int kernel, int64_t args);
CG_API void kernel_release(int backend, int kernel, int64_t state);
CG_API int64_t kernel_scratch(int backend, int kernel, int64_t args);

/// Number of the best vector backend of this processor: PORTABLE, AVX2 or AVX512.
CG_API int cpu_best_backend();
CG_API const char* cpu_features();
CG_API const char* library_versions();

/// Number of OpenMP threads for kernels launched by the calling thread.
CG_API void set_threads(int n);

CG_API int64_t alloc(int64_t bytes);
CG_API void release(int64_t address);
CG_API void copy(int64_t dst, int64_t src, int64_t bytes);
CG_API void fill(int64_t dst, int value, int64_t bytes);

}  // namespace cg
