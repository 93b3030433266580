// SPDX-License-Identifier: Apache-2.0
// The kernel ABI: what a kernel is, as the Java side and every backend see it.
//
// One argument struct per kernel, of 8-byte members only (addresses, int64, double), declared in kernels/<op>/<op>.h
// and named in kernels/kernels.def. Java writes the same words in the same order and compares names and sizes with
// these tables when it loads the library, so that a drift is refused instead of crashing.
#pragma once

#include <cstdint>
#include <string>

namespace cg {

using i64 = int64_t;

/// bfloat16 as stored: the upper half of a float.
struct bf16 {
    uint16_t bits;
};

/// Columns of a kernel table; the numbers are part of the ABI (org.cortigan.jni.Kernels).
enum Variant : int { kF64 = 0, kF32 = 1, kBf16 = 2, kVariants = 3 };

/// Backends; the numbers are part of the ABI.
enum Backend : int { kRef = 0, kPortable = 1, kAvx2 = 2, kAvx512 = 3, kCuda = 4, kSim = 5, kBackends = 6 };

/// One row of a backend's table. Pointers that a kernel lacks are null.
struct Entry {
    const char* name;
    i64 args_bytes;
    /// `stream` is a cudaStream_t on CUDA and unused on the CPU.
    void (*run[kVariants])(const void* args, void* stream);
    /// Bytes of scratch memory for these shapes (addresses in args are still null), a multiple of 64.
    i64 (*scratch)(const void* args);
    /// Makes what can be made once per plan (a oneDNN primitive); the result is the first word of args from then on.
    void* (*prepare)(void* args);
    void (*release)(void* state);
};

struct Table {
    const Entry* entries;
    int n;
};

const Table& table(Backend b);

/// Throws what CG_CHECK reports; the JNI layer turns it into a Java exception with the same text. Out of line, so that
/// no standard library code is instantiated in the sources built per instruction set.
[[noreturn]] void fail(const char* file, int line, const char* expr, const std::string& what);

}  // namespace cg

#define CG_CHECK(expr, what)                                      \
    do {                                                          \
        if (!(expr)) ::cg::fail(__FILE__, __LINE__, #expr, what); \
    } while (0)
