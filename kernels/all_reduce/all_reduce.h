// SPDX-License-Identifier: Apache-2.0
// The sum of a tensor over the ranks of a data-parallel run, or the mean, in place:
//   all_reduce      begins it: y = x, whose contents no kernel may read or write until
//   all_reduce_end  waits: y [n] holds sum_r x_r, or (1 / R) sum_r x_r if `mean`
// Between the two lie the kernels that run meanwhile. The device's runtime does the work (org.cortigan.exec.Ranks on
// the CPU, NCCL on a card); the kernels here only tell that a runtime without ranks cannot.
//
// R n additions and R n elements read a rank of R; 2 n (R - 1) / R elements sent and as many received. The CPU adds in
// the order of the ranks, in double, and rounds once, so that all ranks get the same bits, in every run.
//
// Versions: 1, a rank's own share copied among the others before it is added; 2, added where it lies, 2 n / R elements
// less to move. Not measured beside each other.
#pragma once
#include "cg/abi.h"
namespace cg {
struct AllReduceArgs {
    const void* x;
    void* y;
    i64 n;
    Variant type;
    i64 mean;
};
struct AllReduceEndArgs {
    const void* x;
    void* y;
};
}  // namespace cg
