// SPDX-License-Identifier: Apache-2.0
// What the host functions launch, noted instead of run. With a device that has no memory, steps of full size take
// milliseconds, and a test can hold every launch against what ptxas says of its kernel (tools/ptxas-report).
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

/// The kernel with its template arguments and parameters, as c++filt shows what nvcc calls it.
template <auto KERNEL>
std::string symbol() {
    char* s = abi::__cxa_demangle(typeid(Symbol<KERNEL>).name(), nullptr, nullptr, nullptr);
    std::string name = s ? s : "";
    std::free(s);
    // A template: cg::sim::Symbol<&(void k<T>(int))>, a function: cg::sim::Symbol<&k>.
    const size_t first = name.find('&') + 1, skip = name.compare(first, 1, "(") == 0;
    return name.substr(first + skip, name.size() - first - 2 * skip - 1);
}

/// A launch in the source: how it is written there, the file that is compiled, and the kernel.
struct Site {
    const char* what;
    const char* file;
    std::string (*kernel)();
};

class Launches {
    std::ofstream to;

  public:
    /// What a block may have of shared memory on the card that host functions see.
    size_t most_shared = kDynamic;

    /// From now on launches are lines of this file and do not run; with an empty name they run again.
    void note_in(const std::string& file) {
        to.close();
        if (file.empty()) return;
        to.open(file, std::ios::trunc);
        CG_CHECK(to.is_open(), "cannot write " + file);
    }

    /// Whether the launch is noted: file, grid, threads, bytes of dynamic shared memory and of parameters, kernel.
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

}  // namespace cg::sim
