// SPDX-License-Identifier: Apache-2.0
// All CPU kernels run on OpenMP, the thread pool that oneDNN uses too. Work is split by position alone, so a result
// depends on the data and the number of threads, never on timing.
#pragma once

#include <omp.h>

#include "cg/abi.h"

namespace cg {

inline int threads() { return omp_get_max_threads(); }

/// Number of parts that parallel() splits [0, n) into.
inline i64 parts_of(i64 n, i64 grain) {
    i64 parts = threads();
    return grain > 0 && (n + grain - 1) / grain < parts ? (n + grain - 1) / grain : parts;
}

/// Calls body(begin, end, part) for `parts` nearly equal, contiguous parts of [0, n); part < threads().
template <class F>
inline void parallel(i64 n, i64 grain, F&& body) {
    const i64 parts = parts_of(n, grain);
    if (parts <= 1) {
        if (n > 0) body((i64)0, n, 0);
        return;
    }
#pragma omp parallel num_threads((int)parts)
    {
        i64 p = omp_get_thread_num(), np = omp_get_num_threads();
        // If the runtime gave fewer threads, each takes several parts; the parts stay the same.
        for (i64 q = p; q < parts; q += np) {
            i64 b = n * q / parts, e = n * (q + 1) / parts;
            if (b < e) body(b, e, (int)q);
        }
    }
}

}  // namespace cg
