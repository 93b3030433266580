// SPDX-License-Identifier: Apache-2.0
// The kernel ABI between Java and every backend.
//
// Each kernel has one argument struct of 8-byte members only (addresses, int64, double, enums), declared in
// kernels/<op>/<op>.h and listed member by member in kernels/kernels.def. Java writes members by name, at the offsets
// in schema().
#pragma once

#include <cstdint>
#include <string>

namespace cg {

using i64 = int64_t;

/// bfloat16 as stored: the upper half of a float.
struct bf16 {
    uint16_t bits;
};

/// Element types of kernels: columns of a kernel table, and types of tensors in arguments. Only the reference has F64.
enum class Variant : i64 { F64, F32, BF16 };
constexpr int kVariants = 3;

enum class Backend : i64 { REFERENCE, PORTABLE, AVX2, AVX512, CUDA, SIM };
constexpr int kBackends = 6;

/// One way to compute a kernel in one element type.
struct Implementation {
    const char* name;
    /// Whether it computes these arguments, with their final addresses, on the current device; null: always.
    bool (*takes)(const void* args);
    /// `stream` is a cudaStream_t on CUDA and unused on the CPU.
    void (*run)(const void* args, void* stream);
};

/// A kernel's implementations in order of preference: the first that takes the arguments computes them. None if the
/// backend lacks the kernel in the element type.
struct Implementations {
    const Implementation* list;
    int n;
};

/// One row of a backend's table, which a library exports as `cg_table`: give that symbol another name when the layout
/// of these structs changes, so that a library of another build does not load. A function that the kernel lacks is
/// null.
struct Entry {
    const char* name;
    Implementations implementations[kVariants];
    /// Bytes of scratch memory for these shapes, a multiple of 64. Addresses in args are still null.
    i64 (*scratch)(const void* args);
    /// Creates the state of a plan, such as a oneDNN primitive. The caller stores the result in the member `state`.
    void* (*prepare)(void* args);
    void (*release)(void* state);
};

struct Table {
    const Entry* entries;
    int n;
};

const Table& table(Backend b);

/// The interface between Java and the kernels, one definition a line, built from kernels/kernels.def:
///   enum NAME CONSTANT ...           constants in the order of their numbers, from 0
///   struct NAME MEMBER:TYPE ...      members in order, 8 bytes each. TYPE is const* (an address that is only read),
///                                    void* (an address that is written too), i64, f64, the name of an enum, or the
///                                    name of a struct (the address of a table of such rows)
///   kernel NAME STRUCT               in the order of the kernels' numbers, from 0
const std::string& schema();

/// Throws the error of a failed CG_CHECK; the JNI layer turns it into a Java exception with the same text. Out of line,
/// so that the sources built per instruction set instantiate no standard library code.
[[noreturn]] void fail(const char* file, int line, const char* expr, const std::string& what);

}  // namespace cg

#define CG_CHECK(expr, what)                                      \
    do {                                                          \
        if (!(expr)) ::cg::fail(__FILE__, __LINE__, #expr, what); \
    } while (0)
