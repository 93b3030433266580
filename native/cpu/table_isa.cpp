// SPDX-License-Identifier: Apache-2.0
// The table of the CPU kernels of one instruction set (CG_NS); compiled once per set. The oneDNN kernels choose their
// instruction set themselves and are the same in every table.
#include "kernels_all.h"

namespace cg {

namespace onednn {
#define CG_VEC(k, A)
#define CG_VEC_SCRATCH(k, A)
#define CG_VEC_F32(k, A)
#define CG_VEC_F32_SCRATCH(k, A)
#define CG_ONEDNN(k, A)        \
    void* k##_prepare(A&);     \
    i64 k##_scratch(const A&); \
    void k##_run(const A&);    \
    void k##_release(void*);
#include "kernels.def"
#undef CG_VEC
#undef CG_VEC_SCRATCH
#undef CG_VEC_F32
#undef CG_VEC_F32_SCRATCH
#undef CG_ONEDNN
}  // namespace onednn

namespace CG_NS {

#define CG_VEC(k, A)   \
    template <class T> \
    void k(const A&);
#define CG_VEC_SCRATCH(k, A) CG_VEC(k, A) i64 k##_scratch(const A&);
#define CG_VEC_F32(k, A) CG_VEC(k, A)
#define CG_VEC_F32_SCRATCH(k, A) CG_VEC_SCRATCH(k, A)
#define CG_ONEDNN(k, A)
#include "kernels.def"
#undef CG_VEC
#undef CG_VEC_SCRATCH
#undef CG_VEC_F32
#undef CG_VEC_F32_SCRATCH
#undef CG_ONEDNN

#define CG_RUN(k, A, T) [](const void* a, void*) { k<T>(*(const A*)a); }
#define CG_SCRATCH(k, A) [](const void* a) -> i64 { return k##_scratch(*(const A*)a); }
static const Entry entries[] = {
#define CG_VEC(k, A) \
    {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), CG_RUN(k, A, bf16)}, nullptr, nullptr, nullptr},
#define CG_VEC_SCRATCH(k, A) \
    {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), CG_RUN(k, A, bf16)}, CG_SCRATCH(k, A), nullptr, nullptr},
#define CG_VEC_F32(k, A) {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), nullptr}, nullptr, nullptr, nullptr},
#define CG_VEC_F32_SCRATCH(k, A) \
    {#k, (i64)sizeof(A), {nullptr, CG_RUN(k, A, float), nullptr}, CG_SCRATCH(k, A), nullptr, nullptr},
#define CG_ONEDNN_RUN(k, A) [](const void* a, void*) { onednn::k##_run(*(const A*)a); }
#define CG_ONEDNN(k, A)                                                      \
    {#k,                                                                     \
     (i64)sizeof(A),                                                         \
     {nullptr, CG_ONEDNN_RUN(k, A), CG_ONEDNN_RUN(k, A)},                    \
     [](const void* a) -> i64 { return onednn::k##_scratch(*(const A*)a); }, \
     [](void* a) -> void* { return onednn::k##_prepare(*(A*)a); },           \
     onednn::k##_release},
#include "kernels.def"
};
extern const Table kTable;
const Table kTable = {entries, (int)(sizeof entries / sizeof *entries)};

}  // namespace CG_NS
}  // namespace cg
