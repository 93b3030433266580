// SPDX-License-Identifier: Apache-2.0
// Shared by the CUDA kernels: launching, 16-byte vectors, conversions, reductions in a fixed order, tables of rows as
// kernel parameters.
// The kernels also compile with g++ and CG_SIM (native/sim/cuda_sim.h), so this file and kernels/ use only the part of
// CUDA that the simulation provides. PTX stays in mma.cuh and wgmma.cuh, behind functions that have an emulation.
//
// A kernel's host function is `template <class T> void name(const Args&, Stream)` in cg::cuda. It may launch several
// kernels, and queues nothing else. It must neither allocate nor synchronise, because it also runs while a CUDA graph
// is captured. CG_CUDA(name, Args) makes it the kernel's only implementation. A kernel with several ends in lists of
// them (CG_IMPLEMENTATIONS).
#pragma once

#ifdef CG_SIM
#include "launches.h"
#else
#include <cuda_runtime.h>
#endif

#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>

#include "cg/abi.h"

namespace cg::cuda {

/// Where a host function's launches go.
struct Queue {
    /// Marks that Java sets in a stream's address (CudaRuntime): bits that no address of user space has.
    static constexpr uint64_t kEarly = 1ull << 63, kAfterKernel = 1ull << 62;

    void* stream;
    /// Whether launches may begin early (await_inputs).
    bool early;
    /// Whether the last work on the stream is a launch of this library.
    bool after_kernel;

    explicit Queue(void* marked)
        : stream((void*)((uint64_t)marked & ~(kEarly | kAfterKernel))),
          early((uint64_t)marked & kEarly),
          after_kernel((uint64_t)marked & kAfterKernel) {}
};
using Stream = Queue*;

/// Blocks of a grid for reductions, enough to fill a large GPU. Constant, so that partial sums, and hence results, are
/// the same on every GPU.
constexpr int kBlocks = 264;

__host__ __device__ constexpr i64 ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }
__host__ __device__ constexpr i64 align_up(i64 a, i64 b) { return ceil_div(a, b) * b; }

/// Most bytes of kernel parameters of a launch.
constexpr size_t kMostParameters = 32764;

/// Bytes of kernel parameters of these types, each at its alignment.
template <class... P>
constexpr size_t parameter_bytes() {
    size_t n = 0;
    ((n = (n + alignof(P) - 1) / alignof(P) * alignof(P) + sizeof(P)), ...);
    return n;
}

#ifdef CG_SIM
#define CG_SHARED(T, name) T* name = (T*)::cg::sim::block().shared()
/// Most bytes of shared memory of a block, static ones included.
inline size_t most_shared() { return sim::launches.most_shared; }
/// Whether the current device has compute capability 9.0. The simulation has the instructions of every card.
inline bool hopper() { return true; }
template <class... P, class... A>
void launch_named(const sim::Site& site, void (*kernel)(P...), dim3 grid, dim3 threads, size_t shared, Stream stream,
                  const A&... args) {
    static_assert(parameter_bytes<P...>() <= kMostParameters, "too many parameters for a launch");
    if (sim::launches.note(site, grid, threads, shared, parameter_bytes<P...>())) return;
    const std::tuple<P...> parameters(args...);  // copied from the caller's memory at the launch, as on a GPU
    sim::run(site.what, grid, threads, shared, stream->stream != nullptr, [&] { std::apply(kernel, parameters); });
}
#define CG_SITE(kernel) (::cg::sim::Site{#kernel, __BASE_FILE__, &::cg::sim::symbol<(CG_UNPAREN kernel)>})
#else
#define CG_SHARED(T, name)                                       \
    extern __shared__ __align__(128) unsigned char cg_dynamic[]; \
    T* name = (T*)cg_dynamic
inline int device_attribute(cudaDeviceAttr which) {
    int device = 0, n = 0;
    cudaError_t e = cudaGetDevice(&device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&n, which, device);
    CG_CHECK(e == cudaSuccess, cudaGetErrorString(e));
    return n;
}
inline size_t most_shared() { return (size_t)device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }
inline bool hopper() {
    return device_attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
           device_attribute(cudaDevAttrComputeCapabilityMinor) == 0;
}
/// Whether a kernel's machine code on the current device has the instructions of await_inputs.
inline bool awaits(const void* kernel) {
    cudaFuncAttributes a;
    return cudaFuncGetAttributes(&a, kernel) == cudaSuccess && a.ptxVersion >= 90;
}
/// Launches a kernel with the addresses of its parameters.
inline void launch(const char* what, const void* kernel, dim3 grid, dim3 threads, size_t shared, Stream stream,
                   void** parameters) {
    // A launch must opt in to more than 48 KiB of shared memory. Static shared memory counts too; LaunchTest checks
    // that no kernel here has more than 16 KiB of it.
    if (shared > 32 << 10) {
        cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
        CG_CHECK(e == cudaSuccess, std::string(what) + ", " + std::to_string(shared) +
                                       " bytes of shared memory: " + cudaGetErrorString(e));
    }
    cudaLaunchAttribute early{};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid, config.blockDim = threads, config.dynamicSmemBytes = shared;
    config.stream = (cudaStream_t)stream->stream;
    config.attrs = &early;
    config.numAttrs = stream->early && stream->after_kernel && awaits(kernel);
    const cudaError_t e = cudaLaunchKernelExC(&config, kernel, parameters);
    if (e != cudaSuccess) cudaGetLastError();  // clears the error that is reported here
    CG_CHECK(e == cudaSuccess, std::string(what) + ": " + cudaGetErrorString(e));
    stream->after_kernel = true;
}
template <class... P, class... A>
void launch_named(const char* what, void (*kernel)(P...), dim3 grid, dim3 threads, size_t shared, Stream stream,
                  const A&... args) {
    static_assert(parameter_bytes<P...>() <= kMostParameters, "too many parameters for a launch");
    [&](const P&... p) {
        void* parameters[] = {(void*)&p...};
        launch(what, (const void*)kernel, grid, threads, shared, stream, parameters);
    }(args...);
}
#define CG_SITE(kernel) #kernel
#endif
/// CG_LAUNCH((kernel<T>), grid, threads, shared bytes, stream, arguments...)
#define CG_LAUNCH(kernel, ...) ::cg::cuda::launch_named(CG_SITE(kernel), CG_UNPAREN kernel, __VA_ARGS__)
#define CG_UNPAREN(...) __VA_ARGS__

/// The first statement of every kernel. A launch that follows another kernel of this library may begin before that one
/// has ended (programmatic dependent launch, compute capability 9.0 and later): its blocks fill multiprocessors that
/// the last blocks of the other leave idle, and wait here until it has ended and its results are visible. No kernel may
/// lack the wait, because a later kernel relies on it: C, which waits for B, also needs the results of A that B waits
/// for.
///
/// Then it lets the next kernel begin. That happens once every block of this one has come here or ended, so the next
/// kernel's blocks never take the place of blocks that have yet to start; they only hold registers and shared memory
/// beside the last ones. Letting it begin before the wait would add blocks that wait for two kernels.
__device__ inline void await_inputs() {
#if defined(CG_SIM)
    sim::await_inputs();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

inline dim3 grid(i64 x, i64 y = 1, i64 z = 1) {
    CG_CHECK(x > 0 && y > 0 && z > 0 && x < (1ll << 31) && y < 65536 && z < 65536,
             "grid " + std::to_string(x) + " x " + std::to_string(y) + " x " + std::to_string(z));
    return dim3((unsigned)x, (unsigned)y, (unsigned)z);
}

// bfloat16: widen is a shift; narrow rounds to nearest even and keeps NaN quiet.
__host__ __device__ inline float bits_to_float(uint32_t u) {
#if defined(__CUDA_ARCH__)
    return __uint_as_float(u);
#else
    float f;
    memcpy(&f, &u, 4);
    return f;
#endif
}
__host__ __device__ inline uint32_t float_to_bits(float f) {
#if defined(__CUDA_ARCH__)
    return __float_as_uint(f);
#else
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
#endif
}
__host__ __device__ inline float to_float(float x) { return x; }
__host__ __device__ inline float to_float(bf16 x) { return bits_to_float((uint32_t)x.bits << 16); }

/// Two floats as bf16, `lo` in the lower half.
__device__ inline uint32_t pack_bf16(float lo, float hi) {
#if defined(__CUDA_ARCH__)
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#else
    auto one = [](float f) -> uint32_t {
        uint32_t u = float_to_bits(f);
        if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
        return (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
    };
    return one(lo) | one(hi) << 16;
#endif
}
template <class T>
__device__ inline T from_float(float f);
template <>
__device__ inline float from_float<float>(float f) {
    return f;
}
template <>
__device__ inline bf16 from_float<bf16>(float f) {
    return bf16{(uint16_t)(pack_bf16(f, 0.f) & 0xffff)};
}

/// Elements in 16 bytes.
template <class T>
constexpr int kVec = 16 / (int)sizeof(T);

/// Loads 16 bytes; the address must be a multiple of 16.
__device__ inline void load_vec(const float* p, float* v) {
    const float4 x = *(const float4*)p;
    v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
}
__device__ inline void load_vec(const bf16* p, float* v) {
    const int4 x = *(const int4*)p;
    const uint32_t w[4] = {(uint32_t)x.x, (uint32_t)x.y, (uint32_t)x.z, (uint32_t)x.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = bits_to_float(w[i] << 16);
        v[2 * i + 1] = bits_to_float(w[i] & 0xffff0000u);
    }
}
__device__ inline void store_vec(float* p, const float* v) {
    float4 x;
    x.x = v[0], x.y = v[1], x.z = v[2], x.w = v[3];
    *(float4*)p = x;
}
__device__ inline void store_vec(bf16* p, const float* v) {
    int4 x;
    x.x = (int)pack_bf16(v[0], v[1]), x.y = (int)pack_bf16(v[2], v[3]);
    x.z = (int)pack_bf16(v[4], v[5]), x.w = (int)pack_bf16(v[6], v[7]);
    *(int4*)p = x;
}

/// Loads or stores 16 bytes, or one element where V is 1.
template <int V, class T>
__device__ inline void load_vec(const T* p, float* v) {
    if constexpr (V == 1) v[0] = to_float(*p);
    else load_vec(p, v);
}
template <int V, class T>
__device__ inline void store_vec(T* p, const float* v) {
    if constexpr (V == 1) *p = from_float<T>(v[0]);
    else store_vec(p, v);
}

inline bool aligned16(const void* p) { return ((uintptr_t)p & 15) == 0; }
template <class... P>
bool aligned16(const void* p, const P*... more) {
    return aligned16(p) && (aligned16(more) && ...);
}

/// i % m, with a 32-bit division if both fit: a 64-bit division costs about a hundred instructions.
__device__ inline i64 remainder(i64 i, i64 m) {
    return ((i | m) >> 32) == 0 ? (i64)((uint32_t)i % (uint32_t)m) : i % m;
}
__device__ inline i64 quotient(i64 i, i64 m) { return ((i | m) >> 32) == 0 ? (i64)((uint32_t)i / (uint32_t)m) : i / m; }

/// Sum over the lanes of a warp, returned in every lane. The fixed tree makes the result deterministic.
template <class S>
__device__ inline S warp_sum(S v) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

/// Sum over a block of whole warps, returned in every thread. `smem` is shared memory for 33 S. Synchronises the block.
template <class S>
__device__ inline S block_sum(S v, S* smem) {
    const int warps = (int)blockDim.x / 32, w = (int)threadIdx.x / 32, l = (int)threadIdx.x & 31;
    v = warp_sum(v);
    __syncthreads();  // an earlier sum may still be read from smem
    if (l == 0) smem[w] = v;
    __syncthreads();
    if (w == 0) {
        S x = l < warps ? smem[l] : S(0);
        x = warp_sum(x);
        if (l == 0) smem[32] = x;
    }
    __syncthreads();
    return smem[32];
}

/// Sum of part[p stride + c] over n parts, for a block of 32 columns and 32 warps. Each warp adds up every 32nd part;
/// the first warp adds these sums in order, and only its threads return the total.
template <class T>
__device__ inline T column_sum(const T* part, i64 n, i64 stride, i64 c, i64 C) {
    __shared__ T smem[32][32];
    T s = 0;
    if (c < C)
#pragma unroll 4
        for (i64 p = threadIdx.y; p < n; p += 32) s += part[p * stride + c];
    smem[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.y == 0)
        for (int i = 1; i < 32; i++) s += smem[i][threadIdx.x];
    return s;
}

/// The rows of a multi-tensor kernel as a kernel parameter. first[i] is the first block of row i.
template <class R, int N>
struct Rows {
    R row[N];
    int first[N + 1];
    int n;

    /// Returns the row that a block works on, and sets `part` to the block's index within that row.
    __device__ int find(int block, int& part) const {
        int lo = 0, hi = n - 1;
        while (lo < hi) {
            const int mid = (lo + hi + 1) / 2;
            if (first[mid] <= block) lo = mid;
            else hi = mid - 1;
        }
        part = block - first[lo];
        return lo;
    }
};

/// Calls each(rows, number of blocks, index of the first row) for n rows, N at a time. Skips rows with blocks_of(row)
/// 0.
template <int N, class R, class B, class F>
void for_rows(const R* rows, i64 n, B&& blocks_of, F&& each) {
    static_assert(sizeof(Rows<R, N>) <= kMostParameters, "too many rows for a launch's parameters");
    Rows<R, N> t;
    i64 base = 0;
    while (base < n) {
        t.n = 0;
        i64 blocks = 0;
        const i64 begin = base;
        for (; base < n && t.n < N; base++) {
            const i64 b = blocks_of(rows[base]);
            if (b == 0) continue;
            t.row[t.n] = rows[base];
            t.first[t.n++] = (int)blocks;
            blocks += b;
        }
        t.first[t.n] = (int)blocks;
        if (t.n > 0) each(t, blocks, begin);
    }
}

/// An implementation whose host function RUN computes the arguments that TAKES accepts; without TAKES, all arguments.
template <class Args, void (*RUN)(const Args&, Stream), auto TAKES = nullptr>
constexpr Implementation implementation(const char* name) {
    Implementation m{name, nullptr, nullptr};
    m.run = [](const void* args, void* stream) {
        auto run = [](const void* a, void* s) {
            Queue queue(s);
            RUN(*(const Args*)a, &queue);
        };
#ifdef CG_SIM
        if (sim::run_on_stream) return sim::run_on_stream(stream, run, args);
#endif
        run(args, stream);
    };
    if constexpr (!std::is_null_pointer_v<decltype(TAKES)>)
        m.takes = [](const void* a) { return TAKES(*(const Args*)a); };
    return m;
}

}  // namespace cg::cuda

/// Lists the implementations of a kernel for an element type, in order of preference.
#define CG_IMPLEMENTATIONS(k, T, ...)                           \
    template <class>                                            \
    Implementations k##_implementations();                      \
    template <>                                                 \
    Implementations k##_implementations<T>() {                  \
        static constexpr Implementation list[] = {__VA_ARGS__}; \
        return {list, (int)(sizeof list / sizeof *list)};       \
    }
/// Makes a host function the only implementation for float, or for float and bf16.
#define CG_CUDA_F32(k, A)                     \
    template void k<float>(const A&, Stream); \
    CG_IMPLEMENTATIONS(k, float, implementation<A, k<float>>("only"))
#define CG_CUDA(k, A)                        \
    CG_CUDA_F32(k, A)                        \
    template void k<bf16>(const A&, Stream); \
    CG_IMPLEMENTATIONS(k, bf16, implementation<A, k<bf16>>("only"))
/// A list's element with its comma; nothing if the build has no kernels for sm_90a.
#if defined(CG_SIM) || defined(CG_SM90A)
#define CG_HOPPER(...) __VA_ARGS__,
#else
#define CG_HOPPER(...)
#endif
