// SPDX-License-Identifier: Apache-2.0
#include "cg/api.h"

#include <dlfcn.h>

#include <sys/mman.h>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "cg/threads.h"
#include "oneapi/dnnl/dnnl.h"

namespace cg {

namespace ref {
extern const Table kTable;
}
namespace portable {
extern const Table kTable;
}
namespace avx2 {
extern const Table kTable;
}
namespace avx512 {
extern const Table kTable;
}

static const Table* loaded[kBackends];
static void (*ranges[kBackends])(const char*);
static void (*settings[kBackends])(const char*, const char*);

static bool known(int backend) { return backend >= 0 && backend < kBackends; }

const Table& table(Backend b) {
    switch (b) {
        case Backend::REFERENCE: return ref::kTable;
        case Backend::PORTABLE: return portable::kTable;
        case Backend::AVX2: return avx2::kTable;
        case Backend::AVX512: return avx512::kTable;
        case Backend::CUDA:
        case Backend::SIM: break;
    }
    CG_CHECK(known((int)b) && loaded[(int)b], "backend " + std::to_string((int)b) + " is not loaded");
    return *loaded[(int)b];
}

static const Entry& entry(int backend, int kernel) {
    const Table& t = table((Backend)backend);
    CG_CHECK(kernel >= 0 && kernel < t.n, "unknown kernel number " + std::to_string(kernel));
    return t.entries[kernel];
}

/// Throws if another library's schema differs from this one's, naming the first line that differs.
static void compare_schemas(const std::string& path, const char* theirs) {
    if (schema() == theirs) return;
    std::istringstream here(schema()), there(theirs);
    std::string a, b;
    do {
        a.clear(), b.clear();
        std::getline(here, a), std::getline(there, b);
    } while (a == b && (here || there));
    CG_CHECK(false, path + " is from another build: its schema has \"" + b + "\", not \"" + a + "\"");
}

void load_backend(int backend, const char* path) {
    CG_CHECK(backend == (int)Backend::CUDA || backend == (int)Backend::SIM,
             "backend " + std::to_string(backend) + " is no separate library; only CUDA and SIM are");
    // Never closed: its kernels may run until the process ends.
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CG_CHECK(library, std::string(dlerror()));
    auto get_table = (const Table* (*)())dlsym(library, "cg_table");
    auto get_schema = (const char* (*)())dlsym(library, "cg_schema");
    CG_CHECK(get_table && get_schema, std::string(path) + " is not a kernel library: it lacks cg_table or cg_schema");
    compare_schemas(path, get_schema());
    loaded[backend] = get_table();
    ranges[backend] = (void (*)(const char*))dlsym(library, "cg_range");
    settings[backend] = (void (*)(const char*, const char*))dlsym(library, "cg_set");
}

int kernel_count() { return ref::kTable.n; }
const char* kernel_schema() { return schema().c_str(); }

static const Implementations& implementations(int backend, int kernel, int variant) {
    CG_CHECK(variant >= 0 && variant < kVariants, "unknown variant " + std::to_string(variant));
    return entry(backend, kernel).implementations[variant];
}

static const Implementation& implementation(int backend, int kernel, int variant, int i) {
    const Implementations& all = implementations(backend, kernel, variant);
    CG_CHECK(i >= 0 && i < all.n, std::string(entry(backend, kernel).name) + " has " + std::to_string(all.n) +
                                      " implementations, none with number " + std::to_string(i));
    return all.list[i];
}

const char* kernel_implementation(int backend, int kernel, int variant, int i) {
    const Implementations& all = implementations(backend, kernel, variant);
    return i >= 0 && i < all.n ? all.list[i].name : nullptr;
}

bool kernel_takes(int backend, int kernel, int variant, int i, int64_t args) {
    const Implementation& m = implementation(backend, kernel, variant, i);
    return !m.takes || m.takes((const void*)args);
}

int64_t kernel_function(int backend, int kernel, int variant, int i) {
    return (int64_t)implementation(backend, kernel, variant, i).run;
}

void launch(int64_t function, int64_t args, int64_t stream) {
    ((void (*)(const void*, void*))function)((const void*)args, (void*)stream);
}

void range(int backend, const char* name) {
    if (known(backend) && ranges[backend]) ranges[backend](*name ? name : nullptr);
}

void set(int backend, const char* setting, const char* value) {
    CG_CHECK(known(backend) && settings[backend], "backend " + std::to_string(backend) + " has no settings");
    settings[backend](setting, value);
}

int64_t kernel_prepare(int backend, int kernel, int64_t args) {
    const Entry& e = entry(backend, kernel);
    return e.prepare ? (int64_t)e.prepare((void*)args) : 0;
}
void kernel_release(int backend, int kernel, int64_t state) {
    const Entry& e = entry(backend, kernel);
    if (e.release && state) e.release((void*)state);
}
int64_t kernel_scratch(int backend, int kernel, int64_t args) {
    const Entry& e = entry(backend, kernel);
    return e.scratch ? e.scratch((const void*)args) : 0;
}

int cpu_best_backend() {
    __builtin_cpu_init();
    // The avx512 kernels are built with -mavx512bf16, so a processor without it takes avx2.
    if (__builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16")) return (int)Backend::AVX512;
    if (__builtin_cpu_supports("x86-64-v3")) return (int)Backend::AVX2;
    return (int)Backend::PORTABLE;
}

const char* cpu_features() {
    __builtin_cpu_init();
    static const std::string s = [] {
        std::string r = "x86-64";
#define CG_FEATURE(f) \
    if (__builtin_cpu_supports(f)) r += " " f;
        CG_FEATURE("avx2")
        CG_FEATURE("fma")
        CG_FEATURE("avx512f")
        CG_FEATURE("avx512bw")
        CG_FEATURE("avx512vl")
        CG_FEATURE("avx512vnni")
        CG_FEATURE("avx512bf16")
#undef CG_FEATURE
        return r;
    }();
    return s.c_str();
}

const char* library_versions() {
    static const std::string s = [] {
        const dnnl_version_t* v = dnnl_version();
        return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) +
               " on " + onednn_threads() + ", compiler " + __VERSION__;
    }();
    return s.c_str();
}

int64_t alloc(int64_t bytes) {
    CG_CHECK(bytes >= 0, "cannot allocate " + std::to_string(bytes) + " bytes");
    // Align large blocks to 2 MiB, so that the system can back them with huge pages.
    size_t align = bytes >= (4 << 20) ? (2 << 20) : 256;
    size_t n = ((size_t)bytes + align - 1) / align * align;
    void* p = std::aligned_alloc(align, n ? n : align);
    if (align == (2 << 20)) madvise(p, (n + align - 1) / align * align, MADV_HUGEPAGE);
    CG_CHECK(p, "out of memory for " + std::to_string(bytes) + " bytes");
    return (int64_t)p;
}
void release(int64_t address) { std::free((void*)address); }
void copy(int64_t dst, int64_t src, int64_t bytes) { std::memcpy((void*)dst, (const void*)src, (size_t)bytes); }
void fill(int64_t dst, int value, int64_t bytes) { std::memset((void*)dst, value, (size_t)bytes); }

template <class T>
static void add(T* out, const int64_t* parts, int count, int64_t n, double scale) {
    constexpr int64_t kRun = 1024;
    double sums[kRun];
    for (int64_t at = 0; at < n; at += kRun) {
        const int64_t k = n - at < kRun ? n - at : kRun;
        const T* first = (const T*)parts[0] + at;
        for (int64_t i = 0; i < k; i++) sums[i] = (double)first[i];
        for (int r = 1; r < count; r++) {
            const T* part = (const T*)parts[r] + at;
            for (int64_t i = 0; i < k; i++) sums[i] += (double)part[i];
        }
        for (int64_t i = 0; i < k; i++) out[at + i] = (T)(sums[i] * scale);
    }
}

void add_parts(int64_t out, const int64_t* parts, int count, int64_t n, bool wide, double scale) {
    if (wide) add((double*)out, parts, count, n, scale);
    else add((float*)out, parts, count, n, scale);
}

}  // namespace cg
