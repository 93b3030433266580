// SPDX-License-Identifier: Apache-2.0
// Tensor-core products of a warpgroup (wgmma, sm_90a only): C [64][N] += A [64][16] B [16][N], bf16 with float sums.
// A comes from registers or shared memory, B from shared memory.
// PTX on a GPU; in the simulation the same arithmetic through the same descriptors and swizzle. The simulation computes
// at the wait; until then the accumulators hold NaN.
//
// Registers: warp w of a warpgroup owns rows 16 w .. 16 w + 15 of A and C, with the fragments of mma.m16n8k16 (mma.cuh;
// PTX ISA, wgmma.m64nNk16). C has N / 8 such fragments.
//
// Shared memory: rows of 64 bf16 with the 128-byte swizzle, from a multiple of 1024 bytes on. Unit c (16 bytes) of row
// r is stored as unit 8 r + (c ^ r % 8). These rows are A's rows and B's columns (K-major: 64 of K in a row), or with
// TRANS B's rows (N-major). Rows of another length are Panels.
#pragma once

#include "mma.cuh"

namespace cg::cuda {

/// Declares dynamic shared memory that is aligned to the swizzle's pattern.
#ifdef CG_SIM
#define CG_SHARED_SWIZZLED(T, name) CG_SHARED(T, name)
#else
#define CG_SHARED_SWIZZLED(T, name)                                \
    extern __shared__ __align__(1024) unsigned char cg_swizzled[]; \
    T* name = (T*)cg_swizzled
#endif

/// Index of the first element of unit c (16 bytes) of row r.
__host__ __device__ constexpr int swizzled(int r, int c) { return r * 64 + (c ^ (r & 7)) * 8; }

/// Address in shared memory as in descriptors, in units of 16 bytes.
__device__ inline uint64_t descriptor_address(const void* p) {
#if defined(__CUDA_ARCH__)
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(p);
#elif defined(CG_SIM)
    const uint32_t at = (uint32_t)((const char*)p - sim::block().shared());
#else
    const uint32_t at = 0;
    (void)p;
#endif
    return (at & 0x3ffff) >> 4;
}

/// Descriptor of rows of 64 bf16 that begin at p: start address, 1024 bytes between groups of 8 rows, 128-byte swizzle;
/// addresses in units of 16 bytes. The leading dimension's offset has no meaning for K-major rows nor for N = 64.
__device__ inline uint64_t swizzled_rows(const void* p) {
    return descriptor_address(p) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
/// Increment of a descriptor for 16 along K: 32 bytes of each row (kAlongRow), or 16 rows (kAlongRows).
constexpr uint64_t kAlongRow = 2, kAlongRows = 128;

/// Rows of D bf16 in shared memory, D a multiple of 16: side by side panels of 64, 32 or 16 columns, the widest that
/// divide D, each with the swizzle of its row's bytes and its rows one after the other. In each swizzle 8 rows of 16
/// bytes, which wgmma reads at a time, lie in different banks, and so do the 8 units that threads copy one after the
/// other.
template <int D>
struct Panels {
    static constexpr int kColumns = D % 64 == 0 ? 64 : D % 32 == 0 ? 32 : 16, kUnits = kColumns / 8;
    static constexpr uint64_t kMode = kColumns == 64 ? 1 : kColumns == 32 ? 2 : 3;

    /// Index of the first element of unit c (16 bytes) of row r in a panel.
    __host__ __device__ static constexpr int at(int r, int c) {
        return r * kColumns + (c ^ (r / (8 / kUnits) % kUnits)) * 8;
    }
    /// Descriptor of panels of so many rows that begin at p: start address, bytes from panel to panel (which K-major
    /// rows ignore), bytes between groups of 8 rows, swizzle; bytes in units of 16.
    __device__ static uint64_t descriptor(const void* p, int rows) {
        const uint32_t low = (uint32_t)descriptor_address(p) | (uint32_t)(rows * kUnits) << 16;
        return low | (uint64_t)kColumns << 32 | kMode << 62;
    }
    /// Increment of a descriptor for the columns from 16 k on, along K.
    __device__ static uint64_t column(int k, int rows) {
        return (uint64_t)(k * 16 / kColumns * rows * kUnits + k * 16 % kColumns / 8);
    }
    /// Increment of a descriptor for the rows from `row` on, a multiple of 8.
    __device__ static uint64_t row(int row) { return (uint64_t)(row * kUnits); }
};

#ifdef CG_SIM
/// Address of element (n, k) of B, read through descriptor d (PTX ISA, wgmma shared memory layout; strides as in its
/// canonical layouts).
inline const uint16_t* operand(uint64_t d, bool trans, unsigned n, unsigned k) {
    const unsigned leading = (d >> 16 & 0x3fff) << 4, stride = (d >> 32 & 0x3fff) << 4, mode = d >> 62;
    CG_CHECK(mode > 0 && (d >> 49 & 7) == 0, "wgmma: the descriptor has an unsupported swizzle mode or base offset");
    const unsigned row = 256u >> mode;  // bytes: 128, 64, 32
    unsigned at = (d & 0x3fff) << 4;
    at += trans ? n / (row / 2) * leading + k / 8 * stride + k % 8 * row + n % (row / 2) * 2
                : n / 8 * stride + n % 8 * row + k * 2;
    at ^= at >> 3 & (row - 16);
    CG_CHECK(at + 2 <= sim::block().dynamic_bytes, "wgmma reads beyond shared memory");
    return (const uint16_t*)(sim::block().shared() + at);
}
inline float operand_value(uint64_t d, bool trans, unsigned n, unsigned k) {
    return bits_to_float((uint32_t)*operand(d, trans, n, k) << 16);
}

/// The NaN that accumulators hold until the wait.
inline float in_flight() { return bits_to_float(0x7fc0dead); }
#endif

#define CG_T(t) "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9"
#define CG_T3 CG_T() "," CG_T(1) "," CG_T(2)
#define CG_T4 CG_T3 "," CG_T(3)
#define CG_C1(n) CG_OUT(c[n][0]), CG_OUT(c[n][1]), CG_OUT(c[n][2]), CG_OUT(c[n][3])
#define CG_C8(n) \
    CG_C1(n), CG_C1(n + 1), CG_C1(n + 2), CG_C1(n + 3), CG_C1(n + 4), CG_C1(n + 5), CG_C1(n + 6), CG_C1(n + 7)
/// Operands of the asm: first the accumulators, named in `list`. Then, with A in registers, A is i0 to i3 and B is i4;
/// with A in shared memory, A is i0 and B is i1.
#define CG_REGISTERS(N, list, i0, i1, i2, i3, i4, ...)                                                               \
    asm volatile("{.reg .pred p; setp.ne.b32 p, " CG_SUM ", 0; wgmma.mma_async.sync.aligned.m64n" #N                 \
                 "k16.f32.bf16.bf16 {" list "}, {%" #i0 ",%" #i1 ",%" #i2 ",%" #i3 "}, %" #i4 ", p, 1, 1, " CG_TRANS \
                 ";}"                                                                                                \
                 : __VA_ARGS__                                                                                       \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define CG_SHARED_A(N, list, i0, i1, i2, i3, i4, ...)                                                \
    asm volatile("{.reg .pred p; setp.ne.b32 p, " CG_SUM ", 0; wgmma.mma_async.sync.aligned.m64n" #N \
                 "k16.f32.bf16.bf16 {" list "}, %" #i0 ", %" #i1 ", p, 1, 1, 0, " CG_TRANS ";}"      \
                 : __VA_ARGS__                                                                       \
                 : "l"(a), "l"(b))
/// One line per supported width.
#define CG_WIDTHS(form)                                                                                             \
    if constexpr (N8 == 2) form(16, "%0,%1,%2,%3,%4,%5,%6,%7", 8, 9, 10, 11, 12, CG_C1(0), CG_C1(1));               \
    if constexpr (N8 == 4)                                                                                          \
        form(32, CG_T() ",%10,%11,%12,%13,%14,%15", 16, 17, 18, 19, 20, CG_C1(0), CG_C1(1), CG_C1(2), CG_C1(3));    \
    if constexpr (N8 == 6)                                                                                          \
        form(48, CG_T() "," CG_T(1) ",%20,%21,%22,%23", 24, 25, 26, 27, 28, CG_C1(0), CG_C1(1), CG_C1(2), CG_C1(3), \
             CG_C1(4), CG_C1(5));                                                                                   \
    if constexpr (N8 == 8) form(64, CG_T3 ",%30,%31", 32, 33, 34, 35, 36, CG_C8(0));                                \
    if constexpr (N8 == 10) form(80, CG_T3 "," CG_T(3), 40, 41, 42, 43, 44, CG_C8(0), CG_C1(8), CG_C1(9));          \
    if constexpr (N8 == 11)                                                                                         \
        form(88, CG_T4 ",%40,%41,%42,%43", 44, 45, 46, 47, 48, CG_C8(0), CG_C1(8), CG_C1(9), CG_C1(10));            \
    if constexpr (N8 == 12)                                                                                         \
        form(96, CG_T4 ",%40,%41,%42,%43,%44,%45,%46,%47", 48, 49, 50, 51, 52, CG_C8(0), CG_C1(8), CG_C1(9),        \
             CG_C1(10), CG_C1(11));                                                                                 \
    if constexpr (N8 == 14)                                                                                         \
        form(112, CG_T4 "," CG_T(4) ",%50,%51,%52,%53,%54,%55", 56, 57, 58, 59, 60, CG_C8(0), CG_C1(8), CG_C1(9),   \
             CG_C1(10), CG_C1(11), CG_C1(12), CG_C1(13));                                                           \
    if constexpr (N8 == 16)                                                                                         \
        form(128, CG_T4 "," CG_T(4) "," CG_T(5) ",%60,%61,%62,%63", 64, 65, 66, 67, 68, CG_C8(0), CG_C8(8));        \
    if constexpr (N8 == 20)                                                                                         \
        form(160, CG_T4 "," CG_T(4) "," CG_T(5) "," CG_T(6) "," CG_T(7), 80, 81, 82, 83, 84, CG_C8(0), CG_C8(8),    \
             CG_C1(16), CG_C1(17), CG_C1(18), CG_C1(19));

/// c [N8] = a b with 8 N8 columns, plus the old c if SUM. a is the descriptor of 64 rows (K-major) or a warp's fragment
/// of 16 rows. Between wgmma_begin and wgmma_wait nothing else may touch c or a.
template <int N8, bool TRANS, bool SUM, class A>
__device__ inline void wgmma(float (*c)[4], const A& a, uint64_t b) {
#if defined(__CUDA_ARCH__)
    static_assert(N8 == 2 || N8 == 4 || N8 == 6 || N8 == 8 || N8 == 10 || N8 == 11 || N8 == 12 || N8 == 14 ||
                      N8 == 16 || N8 == 20,
                  "CG_WIDTHS has no line for this width");
    // Without SUM the accumulators are outputs only; as inputs they would occupy registers before.
    if constexpr (!SUM) {
#define CG_OUT(x) "=f"(x)
#define CG_SUM "0"
#define CG_TRANS "0"
        if constexpr (!TRANS && sizeof(A) == 8) {
            CG_WIDTHS(CG_SHARED_A)
        }
        if constexpr (!TRANS && sizeof(A) == 16) {
            CG_WIDTHS(CG_REGISTERS)
        }
#undef CG_TRANS
#define CG_TRANS "1"
        if constexpr (TRANS && sizeof(A) == 8) {
            CG_WIDTHS(CG_SHARED_A)
        }
        if constexpr (TRANS && sizeof(A) == 16) {
            CG_WIDTHS(CG_REGISTERS)
        }
#undef CG_OUT
#undef CG_SUM
    } else {
#define CG_OUT(x) "+f"(x)
#define CG_SUM "1"
        if constexpr (TRANS && sizeof(A) == 8) {
            CG_WIDTHS(CG_SHARED_A)
        }
        if constexpr (TRANS && sizeof(A) == 16) {
            CG_WIDTHS(CG_REGISTERS)
        }
#undef CG_TRANS
#define CG_TRANS "0"
        if constexpr (!TRANS && sizeof(A) == 8) {
            CG_WIDTHS(CG_SHARED_A)
        }
        if constexpr (!TRANS && sizeof(A) == 16) {
            CG_WIDTHS(CG_REGISTERS)
        }
#undef CG_OUT
#undef CG_SUM
#undef CG_TRANS
    }
#elif defined(CG_SIM)
    CG_CHECK(sim::self().fenced, "wgmma reads shared memory that this thread copied, without a wgmma_fence between");
    const sim::Quiet quiet;
    const unsigned g = sim::lane() / 4, t = sim::lane() % 4, warp = sim::self().index / 32 % 4;
    struct {
        uint32_t a[4][4];  // register i of lane 4 g + j
        float old[N8][4];
        bool begins;
        uint64_t rows;
    } k;
    k.rows = 0;
    if constexpr (sizeof(A) == 8) {
        k.rows = a;
    } else {
        const uint64_t words[2] = {a[0] | (uint64_t)a[1] << 32, a[2] | (uint64_t)a[3] << 32};
        const uint64_t (*s)[8] = sim::exchange(0xffffffffu, words, 2);
        for (unsigned j = 0; j < 4; j++)
            for (unsigned i = 0; i < 4; i++) k.a[j][i] = (uint32_t)(s[g * 4 + j][i / 2] >> (32 * (i % 2)));
    }
    k.begins = float_to_bits(c[0][0]) != float_to_bits(in_flight());
    memcpy(k.old, c, sizeof k.old);
    for (int n = 0; n < N8; n++)
        for (int e = 0; e < 4; e++) c[n][e] = in_flight();
    const sim::Begun begun = sim::begun();
    // Each warp reports every byte it reads once, now and again at the wait.
    auto reads = [k, b, g, t, warp, begun] {
        for (unsigned i = 0; i < 16 && sim::kChecked; i++) {
            for (unsigned r = 0; r < 2 && sizeof(A) == 8; r++)
                if (i % 4 == t)
                    sim::touch(operand(k.rows, false, warp * 16 + g + 8 * r, i), 2, sim::Access::kRead, begun.place);
            for (unsigned n = g; n < 2 * N8; n += 8)
                sim::touch(operand(b, TRANS, n / 2 * 8 + 2 * t + n % 2, i), 2, sim::Access::kRead, begun.place);
        }
    };
    reads();
    sim::product([k, c, b, g, t, warp, begun, reads] {
        const sim::Quiet quiet;
        const sim::Computing computing(begun);
        reads();
        float x[2][16];
        for (unsigned r = 0; r < 2; r++)
            for (unsigned i = 0; i < 16; i++)
                // A: register r + 2 (i / 8) of lane (g, (i % 8) / 2): see mma_bf16
                x[r][i] = sizeof(A) == 8 ? operand_value(k.rows, false, warp * 16 + g + 8 * r, i)
                                         : bits_to_float(k.a[i % 8 / 2][r + 2 * (i / 8)] >> (16 * (i % 2)) << 16);
        for (unsigned n = 0; n < N8; n++)
            for (unsigned e = 0; e < 4; e++) {
                float v = 0;
                for (unsigned i = 0; i < 16; i++) v += x[e / 2][i] * operand_value(b, TRANS, n * 8 + 2 * t + e % 2, i);
                c[n][e] = !SUM ? v : v + (k.begins ? k.old[n][e] : c[n][e]);
            }
    });
#endif
}

#undef CG_T
#undef CG_C1
#undef CG_C8
#undef CG_T3
#undef CG_T4
#undef CG_REGISTERS
#undef CG_SHARED_A
#undef CG_WIDTHS

/// Keeps the compiler from moving these registers' uses across this point.
__device__ inline void pin(float& x) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+f"(x)::"memory");
#else
    (void)x;
#endif
}
__device__ inline void pin(uint32_t& x) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(x)::"memory");
#else
    (void)x;
#endif
}
template <class T, int N>
__device__ inline void pin(T (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) pin(x[i]);
}

/// Call before a sequence of wgmma, with all registers that the sequence uses.
template <class... R>
__device__ inline void wgmma_begin(R&... registers) {
    (pin(registers), ...);
#if defined(__CUDA_ARCH__)
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ inline void wgmma_commit() {
#if defined(__CUDA_ARCH__)
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#elif defined(CG_SIM)
    sim::product_commit();
#endif
}
/// Waits until at most LEAVE of the committed groups are in flight. Pass the registers of the finished groups.
template <int LEAVE, class... R>
__device__ inline void wgmma_wait(R&... registers) {
#if defined(__CUDA_ARCH__)
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEAVE) : "memory");
#elif defined(CG_SIM)
    sim::product_wait(LEAVE);
#endif
    (pin(registers), ...);
}
/// Makes this thread's writes to shared memory visible to wgmma; a copy_async must have been waited for. The wgmma of
/// other threads sees them after a barrier.
__device__ inline void wgmma_fence() {
#if defined(__CUDA_ARCH__)
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#elif defined(CG_SIM)
    sim::fence();
#endif
}

}  // namespace cg::cuda
