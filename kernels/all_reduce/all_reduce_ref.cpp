// SPDX-License-Identifier: Apache-2.0
#include "kernels_all.h"

namespace cg::ref {

void all_reduce(const AllReduceArgs&) { CG_CHECK(false, "this device was opened without the ranks of a run"); }
void all_reduce_end(const AllReduceEndArgs&) { CG_CHECK(false, "this device was opened without the ranks of a run"); }

}  // namespace cg::ref
