// SPDX-License-Identifier: Apache-2.0
// The double references' table.
#include "kernels_all.h"

namespace cg {
namespace ref {

#define CG_VEC(k, A) void k(const A&);
#define CG_VEC_SCRATCH(k, A) CG_VEC(k, A)
#define CG_VEC_F32(k, A) CG_VEC(k, A)
#define CG_VEC_F32_SCRATCH(k, A) CG_VEC(k, A)
#define CG_ONEDNN(k, A) CG_VEC(k, A)
#include "kernels.def"
#undef CG_VEC

static const Entry entries[] = {
#define CG_VEC(k, A) \
    {#k, (i64)sizeof(A), {[](const void* a, void*) { k(*(const A*)a); }, nullptr, nullptr}, nullptr, nullptr, nullptr},
#include "kernels.def"
};
extern const Table kTable;
const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace ref
}  // namespace cg
