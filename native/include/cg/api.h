// SPDX-License-Identifier: Apache-2.0
// The functions that Java calls (org.cortigan.jni.Native). Pointers are raw addresses.
#pragma once

#include <string>

#include "cg/abi.h"

namespace cg {
#define CG_API __attribute__((visibility("default")))

CG_API int kernel_count();
/// The schema of cg/abi.h.
CG_API const char* kernel_schema();

/// Loads a backend that is a separate library (CUDA, SIM). Throws if its schema differs from this library's.
CG_API void load_backend(int backend, const char* path);

/// Name of a kernel's i-th implementation in order of preference; null if there are only i of them.
CG_API const char* kernel_implementation(int backend, int kernel, int variant, int i);
/// Whether the implementation computes these arguments, which have their final addresses, on the current device.
CG_API bool kernel_takes(int backend, int kernel, int variant, int i, int64_t args);
/// Address of the implementation's function.
CG_API int64_t kernel_function(int backend, int kernel, int variant, int i);
CG_API void launch(int64_t function, int64_t args, int64_t stream);
/// Begins a named range for the backend's profiler; an empty name ends it. Does nothing if the backend has no profiler.
CG_API void range(int backend, const char* name);
/// Changes a setting of the simulation (native/sim/launches.h). Other backends have none.
CG_API void set(int backend, const char* setting, const char* value);
CG_API int64_t kernel_prepare(int backend, int kernel, int64_t args);
CG_API void kernel_release(int backend, int kernel, int64_t state);
CG_API int64_t kernel_scratch(int backend, int kernel, int64_t args);

/// Number of the best vector backend of this processor: PORTABLE, AVX2 or AVX512.
CG_API int cpu_best_backend();
CG_API const char* cpu_features();
CG_API const char* library_versions();

/// Number of threads for kernels launched by the calling thread.
CG_API void set_threads(int n);

CG_API int64_t alloc(int64_t bytes);
CG_API void release(int64_t address);
CG_API void copy(int64_t dst, int64_t src, int64_t bytes);
CG_API void fill(int64_t dst, int value, int64_t bytes);

/// out[i] = scale sum_r parts[r][i] for n floats, or doubles if `wide`. Adds in order in double. `parts` has `count`
/// addresses, of which one may be `out`.
CG_API void add_parts(int64_t out, const int64_t* parts, int count, int64_t n, bool wide, double scale);

}  // namespace cg
