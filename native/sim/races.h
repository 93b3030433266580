// SPDX-License-Identifier: Apache-2.0
// Finds faults that the simulation's order of execution hides, in a separate build (CG_SIM_CHECKED;
// libcortigan_sim_checked.so). g++ compiles the kernels with two sanitizers, whose calls come here instead of to their
// libraries: -fsanitize=thread reports every access, and -fsanitize=alignment reports a 16-byte vector before it is
// split into the parts that are used.
// It finds
//   - two threads of a block that access one byte, at least one of them writing, with no barrier between them:
//     __syncthreads, or within a warp __syncwarp of all lanes. Shuffles and tensor-core products do not order memory
//     (CUDA C++ Programming Guide, warp shuffle functions).
//   - bytes of shared memory that the block reads and never wrote
//   - bytes that cp.async has not been waited for, or that change while wgmma reads them
//   - bytes of device memory that one block writes and another reads or writes in the same launch
//   - vectors at addresses that are no multiple of their size
// Blocks run one after another. The history of a byte records epochs, not which thread ran first, so the result does
// not depend on the order of threads. No kernel has atomics; they would need hooks of their own (__tsan_atomic*).
#pragma once

#include <cstddef>

namespace cg::sim {

enum class Access { kRead, kWrite, kCopyBegins, kCopyEnds };

#ifdef CG_SIM_CHECKED
constexpr bool kChecked = true;
/// Checks a read or write of n bytes by a thread of the running block. `place` is the code address of the access. Does
/// not return if it finds a fault.
void touch(const void* p, size_t n, Access a, const void* place);
/// Starts an epoch: the block has passed a barrier or, if `begins`, starts.
void next_epoch(bool begins);
/// Code address in the kernel from which the current function was called.
#define CG_SIM_PLACE __builtin_return_address(0)

/// A launch; only one runs at a time.
struct Launch {
    Launch();
    ~Launch();
};
/// While it lives, accesses of this thread are the simulation's own and are not checked.
struct Quiet {
    Quiet();
    ~Quiet();
};
/// Epoch and code address at which a wgmma began.
struct Begun {
    unsigned epoch = 0;
    const void* place = nullptr;
};
Begun begun();
/// While it lives, this thread computes the wgmma that began there.
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
