// SPDX-License-Identifier: Apache-2.0
// Linked once into every kernel library: the schema of the kernel arguments, and the error of a failed check.
#include <cstddef>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "kernels_all.h"

// CG_EACH(f, S, a, b, ...) expands to f(S, a) f(S, b) ... for up to 60 names. Each CG_RESCAN makes the preprocessor
// rescan the line, which expands one more name; with too many names the build fails.
#define CG_PARENS ()
#define CG_EXPAND(...) CG_RESCAN16(CG_RESCAN16(CG_RESCAN16(CG_RESCAN16(__VA_ARGS__))))
#define CG_RESCAN16(...) CG_RESCAN4(CG_RESCAN4(CG_RESCAN4(CG_RESCAN4(__VA_ARGS__))))
#define CG_RESCAN4(...) CG_RESCAN(CG_RESCAN(CG_RESCAN(CG_RESCAN(__VA_ARGS__))))
#define CG_RESCAN(...) __VA_ARGS__
#define CG_EACH(f, S, ...) CG_EXPAND(CG_EACH_NEXT(f, S, __VA_ARGS__))
#define CG_EACH_NEXT(f, S, a, ...) f(S, a) __VA_OPT__(CG_EACH_AGAIN CG_PARENS(f, S, __VA_ARGS__))
#define CG_EACH_AGAIN() CG_EACH_NEXT

namespace cg {

namespace {

/// The schema's name of a member's type. Any other type in an argument struct fails the build.
template <class T>
struct TypeName;
template <>
struct TypeName<const void*> {
    static constexpr const char* value = "const*";
};
template <>
struct TypeName<void*> {
    static constexpr const char* value = "void*";
};
template <>
struct TypeName<i64> {
    static constexpr const char* value = "i64";
};
template <>
struct TypeName<double> {
    static constexpr const char* value = "f64";
};

struct Member {
    const char* name;
    const char* type;
    size_t offset;
};

template <size_t N>
constexpr bool complete(const Member (&members)[N], size_t bytes) {
    for (size_t i = 0; i < N; i++)
        if (members[i].offset != 8 * i) return false;
    return bytes == 8 * N;
}

template <size_t N>
constexpr bool counted(const i64 (&numbers)[N]) {
    for (size_t i = 0; i < N; i++)
        if (numbers[i] != (i64)i) return false;
    return true;
}

#define CG_MEMBER(S, m) {#m, TypeName<std::remove_reference_t<decltype(std::declval<S&>().m)>>::value, offsetof(S, m)},
#define CG_NUMBER(E, c) (i64) E::c,
#define CG_NAME(E, c) " " #c

#define CG_ENUM(E, ...)                                                                      \
    constexpr i64 E##Numbers[] = {CG_EACH(CG_NUMBER, E, __VA_ARGS__)};                       \
    static_assert(counted(E##Numbers), #E ": kernels.def must list all constants in order"); \
    template <>                                                                              \
    struct TypeName<E> {                                                                     \
        static constexpr const char* value = #E;                                             \
    };
#define CG_ROWS(S, ...)                                                                                \
    constexpr Member S##Members[] = {CG_EACH(CG_MEMBER, S, __VA_ARGS__)};                              \
    static_assert(complete(S##Members, sizeof(S)), #S ": kernels.def must list all members in order"); \
    template <>                                                                                        \
    struct TypeName<const S*> {                                                                        \
        static constexpr const char* value = #S;                                                       \
    };
#define CG_KERNEL(k, Args, kind, ...) CG_ROWS(Args, __VA_ARGS__)
#include "kernels.def"

static_assert(std::size(VariantNumbers) == kVariants && std::size(BackendNumbers) == kBackends,
              "kernels.def must list all element types and backends");

template <size_t N>
std::string line(const char* name, const Member (&members)[N]) {
    std::string s = std::string("struct ") + name;
    for (const Member& m : members) s += std::string(" ") + m.name + ":" + m.type;
    return s + "\n";
}

std::string build_schema() {
    std::string s;
#define CG_ENUM(E, ...) s += "enum " #E CG_EACH(CG_NAME, E, __VA_ARGS__) "\n";
#define CG_ROWS(S, ...) s += line(#S, S##Members);
#define CG_KERNEL(k, Args, kind, ...) s += line(#Args, Args##Members) + "kernel " #k " " #Args "\n";
#include "kernels.def"
    return s;
}

}  // namespace

const std::string& schema() {
    static const std::string s = build_schema();
    return s;
}

void fail(const char* file, int line, const char* expr, const std::string& what) {
    const char* name = std::strrchr(file, '/');
    throw std::runtime_error(std::string(name ? name + 1 : file) + ":" + std::to_string(line) + ": " + expr +
                             (what.empty() ? "" : ": ") + what);
}

}  // namespace cg

/// The schema, for a library that loads this one at run time and compares it with its own.
extern "C" __attribute__((visibility("default"))) const char* cg_schema() { return cg::schema().c_str(); }
