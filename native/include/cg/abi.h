// SPDX-License-Identifier: Apache-2.0
// The kernel ABI: what a kernel is, as the Java side and every backend see it.
//
// One argument struct per kernel, of 8-byte members only (addresses, int64, double, enums), declared in
// kernels/<op>/<op>.h and listed member by member in kernels/kernels.def. Java writes members by name, at the offsets
// that schema() gives it.
#pragma once

#include <cstdint>
#include <string>

namespace cg {

using i64 = int64_t;

/// bfloat16 as stored: the upper half of a float.
struct bf16 {
    uint16_t bits;
};

/// Types that kernels compute in: columns of a kernel table, and types of tensors in arguments. F64 is the reference's.
enum class Variant : i64 { F64, F32, BF16 };
constexpr int kVariants = 3;

enum class Backend : i64 { REFERENCE, PORTABLE, AVX2, AVX512, CUDA, SIM };
constexpr int kBackends = 6;

/// One row of a backend's table. Pointers that a kernel lacks are null.
struct Entry {
    const char* name;
    /// By Variant. `stream` is a cudaStream_t on CUDA and unused on the CPU.
    void (*run[kVariants])(const void* args, void* stream);
    /// Bytes of scratch memory for these shapes (addresses in args are still null), a multiple of 64.
    i64 (*scratch)(const void* args);
    /// Makes what can be made once per plan (a oneDNN primitive); the result is the member `state` from then on.
    void* (*prepare)(void* args);
    void (*release)(void* state);
};

struct Table {
    const Entry* entries;
    int n;
};

const Table& table(Backend b);

/// What Java and the kernels agree on, a line each, built from kernels/kernels.def:
///   enum NAME CONSTANT ...           constants in the order of their numbers, from 0
///   struct NAME MEMBER:TYPE ...      members in order, 8 bytes each. TYPE is const* or void* for an address that is
///                                    read alone or written too, i64, f64, the name of an enum, or the name of a struct
///                                    for the address of a table of such rows
///   kernel NAME STRUCT               in the order of the kernels' numbers, from 0
const std::string& schema();

/// Throws what CG_CHECK reports; the JNI layer turns it into a Java exception with the same text. Out of line, so that
/// no standard library code is instantiated in the sources built per instruction set.
[[noreturn]] void fail(const char* file, int line, const char* expr, const std::string& what);

}  // namespace cg

#define CG_CHECK(expr, what)                                      \
    do {                                                          \
        if (!(expr)) ::cg::fail(__FILE__, __LINE__, #expr, what); \
    } while (0)
