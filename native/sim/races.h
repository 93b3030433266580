// SPDX-License-Identifier: Apache-2.0
// Faults that the order of the simulation hides, in a build of its own (CG_SIM_CHECKED; libcortigan_sim_checked.so):
// g++ compiles the kernels with -fsanitize=thread, whose calls for every access come here instead of to its library,
// and with -fsanitize=alignment, as only that sees a vector of 16 bytes before it is cut into what is used of it. Found
// are
//   - two threads of a block at one byte, one of them writing, with no barrier between them: __syncthreads, or
//   __syncwarp of
//     all lanes within a warp. Shuffles and products order no memory (CUDA C++ Programming Guide, warp shuffle
//     functions).
//   - bytes of shared memory that the block reads and never wrote
//   - bytes that cp.async has not been waited for, or that change while wgmma reads them
//   - bytes of device memory that one block writes and another reads or writes in the same launch
//   - vectors at addresses that are no multiple of their size
// Blocks run one after another here. The bytes' history is that of their order in time, not of who ran first, so that
// what is found does not depend on the order of threads. No kernel has atomics; they would need calls of their own
// (__tsan_atomic*).
#pragma once

#include <cstddef>

namespace cg::sim {

enum class Access { kRead, kWrite, kCopyBegins, kCopyEnds };

#ifdef CG_SIM_CHECKED
constexpr bool kChecked = true;
/// A thread of the running block reads or writes n bytes; `place` is an address in the program. Does not return from a
/// fault.
void touch(const void* p, size_t n, Access a, const void* place);
/// A barrier of the block lies behind, or it begins.
void next_epoch(bool begins);
/// Where the kernel calls the function that calls this.
#define CG_SIM_PLACE __builtin_return_address(0)

/// One launch at a time.
struct Launch {
    Launch();
    ~Launch();
};
/// What the thread does meanwhile is the simulation's work, no access of the kernel's.
struct Quiet {
    Quiet();
    ~Quiet();
};
/// When and where in the kernel a product began.
struct Begun {
    unsigned epoch = 0;
    const void* place = nullptr;
};
Begun begun();
/// A product is computed.
struct Computing {
    explicit Computing(Begun);
    ~Computing();
};
#else
constexpr bool kChecked = false;
inline void touch(const void*, size_t, Access, const void*) {}
inline void next_epoch(bool) {}
#define CG_SIM_PLACE nullptr
struct Launch {
    Launch() {}
};
struct Quiet {
    Quiet() {}
};
struct Begun {
    static constexpr const void* place = nullptr;
};
inline Begun begun() { return {}; }
struct Computing {
    explicit Computing(Begun) {}
};
#endif

}  // namespace cg::sim
