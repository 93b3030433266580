// SPDX-License-Identifier: Apache-2.0
// The table of the double references.
#include "kernels_all.h"

namespace cg {
namespace ref {

#define CG_KERNEL(k, Args, KIND, ...) void k(const Args&);
#include "kernels.def"

template <class Args, void (*RUN)(const Args&)>
static constexpr Implementation only = {"only", nullptr, [](const void* a, void*) { RUN(*(const Args*)a); }};

static const Entry entries[] = {
#define CG_KERNEL(k, Args, KIND, ...) {#k, {{&only<Args, k>, 1}, {}, {}}, nullptr, nullptr, nullptr},
#include "kernels.def"
};
extern const Table kTable;
const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace ref
}  // namespace cg
