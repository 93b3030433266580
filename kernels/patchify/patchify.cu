// SPDX-License-Identifier: Apache-2.0
// With planar 0 and P = 1 (plain normalisation) bytes and values share one order; else they go through shared memory.
// Implementation "wide" (P 1, 8 or 16, image rows of whole 16 bytes): a block converts a row of patches, whose bytes
// lie side by side, as its values do, 16 bytes a load and a store. Implementation "bytes": a block converts one patch,
// byte by byte, so that reads run along the image's rows and writes along the patch's.
// Floor: bytes over bandwidth. Versions, bf16, P 16, sm_90a: instructions a value, and predicted time of 128 images of
// 224 x 224, floor 13 us, not measured:
//   1  "bytes": 65; 40 us, bound by instructions.
//   2  "wide": 12; 15-17 us.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

struct Scale {
    float a[3], b[3];  // y = a x + b
};

/// SIDE: the patch size as a constant, so that the compiler turns divisions into multiplications; 0: any size.
template <class T, int SIDE>
__global__ void __launch_bounds__(256) patches(const uint8_t* x, T* y, int H, int W, int side, int planar, Scale s) {
    await_inputs();
    CG_SHARED(uint8_t, patch);
    const int P = SIDE ? SIDE : side, across = W / P, n = 3 * P * P, ty = (int)blockIdx.x / across,
              tx = (int)blockIdx.x % across;
    const uint8_t* from = x + (((i64)blockIdx.y * H + ty * P) * W + tx * P) * 3;
    for (int i = (int)threadIdx.x; i < n; i += 256) patch[i] = from[(i64)(i / (3 * P)) * W * 3 + i % (3 * P)];
    __syncthreads();
    T* out = y + ((i64)blockIdx.y * gridDim.x + blockIdx.x) * n;
    for (int i = (int)threadIdx.x; i < n; i += 256) {
        const int c = planar ? i / (P * P) : i % 3, at = planar ? i % (P * P) * 3 + c : i;
        out[i] = from_float<T>(s.a[c] * (float)patch[at] + s.b[c]);
    }
}

/// Rows in shared memory are apart by this many bytes more than they have, so that a patch's rows lie in different
/// banks.
constexpr int kGap = 4;

/// A row of patches of P x P, the colours apart.
template <class T, int P>
__global__ void __launch_bounds__(256) patch_rows(const uint8_t* x, T* y, int W, Scale s) {
    await_inputs();
    constexpr int V = kVec<T>;
    CG_SHARED(uint8_t, strip);  // [P][3 W + kGap]
    const int bytes = 3 * W, stride = bytes + kGap, n = P * bytes;
    const i64 first = (i64)blockIdx.x * n;
    for (int i = (int)threadIdx.x * 16; i < n; i += 256 * 16) {
        const int4 v = *(const int4*)(x + first + i);
        int* to = (int*)(strip + i / bytes * stride + i % bytes);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x * V; i < n; i += 256 * V) {
        const int patch = i / (3 * P * P), c = i / (P * P) % 3, row = i / P % P, column = patch * P + i % P;
        const uint8_t* from = strip + row * stride + 3 * column + c;
        const float a = s.a[c], b = s.b[c];
        float v[V];
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = a * (float)from[3 * j] + b;
        store_vec(y + first + i, v);
    }
}

/// A thread normalises as many bytes as values have 16 bytes.
template <class T>
__global__ void __launch_bounds__(256) normalise_wide(const uint8_t* x, T* y, i64 n, Scale s) {
    await_inputs();
    constexpr int V = kVec<T>;
    using Bytes = std::conditional_t<V == 8, uint64_t, uint32_t>;
    const i64 i = ((i64)blockIdx.x * 256 + threadIdx.x) * V;
    const int c = (int)remainder(i, 3);
    float a[3], b[3], v[V];
#pragma unroll
    for (int j = 0; j < 3; j++) a[j] = s.a[(c + j) % 3], b[j] = s.b[(c + j) % 3];
    if (i + V > n) {
        for (int j = 0; i + j < n; j++) y[i + j] = from_float<T>(s.a[(c + j) % 3] * (float)x[i + j] + s.b[(c + j) % 3]);
        return;
    }
    const Bytes bytes = *(const Bytes*)(x + i);
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = a[j % 3] * (float)(uint8_t)(bytes >> 8 * j) + b[j % 3];
    store_vec(y + i, v);
}

template <class T>
__global__ void __launch_bounds__(256) normalise(const uint8_t* x, T* y, i64 n, Scale s) {
    await_inputs();
    const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    if (i < n) y[i] = from_float<T>(s.a[i % 3] * (float)x[i] + s.b[i % 3]);
}

Scale scale(const PatchifyArgs& g) {
    Scale k;
    for (int c = 0; c < 3; c++) {
        k.a[c] = (float)(1 / (255 * g.std[c]));
        k.b[c] = (float)(-g.mean[c] / g.std[c]);
    }
    return k;
}

template <class T, int SIDE>
void run(const PatchifyArgs& g, Stream s) {
    CG_LAUNCH((patches<T, SIDE>), grid((g.H / g.P) * (g.W / g.P), g.B), 256, (size_t)(3 * g.P * g.P), s,
              (const uint8_t*)g.x, (T*)g.y, (int)g.H, (int)g.W, (int)g.P, (int)g.planar, scale(g));
}

template <class T>
void bytes(const PatchifyArgs& g, Stream s) {
    const i64 n = g.B * g.H * g.W * 3;
    if (g.P == 1)
        CG_LAUNCH((normalise<T>), grid(ceil_div(n, 256)), 256, 0, s, (const uint8_t*)g.x, (T*)g.y, n, scale(g));
    else if (g.P == 16) run<T, 16>(g, s);
    else if (g.P == 8) run<T, 8>(g, s);
    else run<T, 0>(g, s);
}

size_t strip_bytes(const PatchifyArgs& g) { return (size_t)(g.P * (3 * g.W + kGap)); }

bool takes_wide(const PatchifyArgs& g) {
    if (!aligned16(g.x, g.y)) return false;
    return g.P == 1 ? !g.planar
                    : g.planar && (g.P == 8 || g.P == 16) && g.W % 16 == 0 && strip_bytes(g) <= (size_t)(48 << 10);
}

template <class T, int P>
void run_rows(const PatchifyArgs& g, Stream s) {
    CG_LAUNCH((patch_rows<T, P>), grid(g.B * (g.H / P)), 256, strip_bytes(g), s, (const uint8_t*)g.x, (T*)g.y, (int)g.W,
              scale(g));
}

template <class T>
void wide(const PatchifyArgs& g, Stream s) {
    const i64 n = g.B * g.H * g.W * 3;
    if (g.P == 1)
        CG_LAUNCH((normalise_wide<T>), grid(ceil_div(n, 256 * kVec<T>)), 256, 0, s, (const uint8_t*)g.x, (T*)g.y, n,
                  scale(g));
    else if (g.P == 16) run_rows<T, 16>(g, s);
    else run_rows<T, 8>(g, s);
}

}  // namespace

#define CG_LISTS(T)                                                                            \
    CG_IMPLEMENTATIONS(patchify, T, implementation<PatchifyArgs, wide<T>, takes_wide>("wide"), \
                       implementation<PatchifyArgs, bytes<T>>("bytes"))
CG_LISTS(float)
CG_LISTS(bf16)

}  // namespace cg::cuda
