// SPDX-License-Identifier: Apache-2.0
// Records the launches of the host functions instead of running them. On a device without memory a step of full size
// takes milliseconds, and a test can compare every launch with ptxas's report of its kernel (tools/ptxas-report).
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <typeinfo>

#include "cuda_sim.h"

namespace cg::sim {

template <auto KERNEL>
struct Symbol {};

/// The kernel with its template arguments and parameters, in the form that c++filt shows for nvcc's symbol.
template <auto KERNEL>
std::string symbol() {
    char* s = abi::__cxa_demangle(typeid(Symbol<KERNEL>).name(), nullptr, nullptr, nullptr);
    std::string name = s ? s : "";
    std::free(s);
    // s is cg::sim::Symbol<&(void k<T>(int))> for a template, cg::sim::Symbol<&k> for a function.
    const size_t first = name.find('&') + 1, skip = name.compare(first, 1, "(") == 0;
    return name.substr(first + skip, name.size() - first - 2 * skip - 1);
}

/// A launch in the source: the kernel as written there, the compiled file, and the kernel's symbol.
struct Site {
    const char* what;
    const char* file;
    std::string (*kernel)();
};

class Launches {
    std::ofstream to;

  public:
    /// Bytes of shared memory of a block on the GPU that host functions see.
    size_t most_shared = kDynamic;

    /// From now on, writes launches as lines of this file and does not run them; an empty name runs them again.
    void note_in(const std::string& file) {
        to.close();
        if (file.empty()) return;
        to.open(file, std::ios::trunc);
        CG_CHECK(to.is_open(), "cannot write " + file);
    }

    /// Records a launch if recording is on: file, grid, threads, bytes of dynamic shared memory and of parameters,
    /// kernel. Returns false if recording is off.
    bool note(const Site& s, dim3 grid, dim3 threads, size_t shared, size_t parameters) {
        if (!to.is_open()) return false;
        const std::string file = s.file;
        to << file.substr(file.rfind('/') + 1);
        for (unsigned n : {grid.x, grid.y, grid.z, threads.x, threads.y, threads.z}) to << '\t' << n;
        to << '\t' << shared << '\t' << parameters << '\t' << s.kernel() << '\n';
        return true;
    }
};
inline Launches launches;

/// Runs a kernel's host function in the order of a stream, whose address has the marks of Queue. Null: at once, which
/// all simulations but sim/cudart do.
inline void (*run_on_stream)(void* stream, void (*run)(const void*, void*), const void* args) = nullptr;

}  // namespace cg::sim
