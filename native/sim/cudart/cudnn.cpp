// SPDX-License-Identifier: Apache-2.0
// cuDNN 9 on the CPU, for tests of the code that calls it: the descriptors and convolutions that org.cortigan.cuda
// uses, queued on the streams of cudart.cpp. The bindings load four cuDNN libraries; each is built from this file.
// cudnn_graph.h has the graph API. Stricter than the documentation:
//   - only NHWC, in the legacy API all tensors of one type, sums in f32, addresses multiples of 256 bytes
//   - the fused bias has y's type and one algorithm
//   - only deterministic direct sums run, although the heuristic offers others first
//   - a padding that covers the kernel is not supported
//   - every call overwrites the whole workspace
// Errors on demand: "cudnn" (a call that computes) and "cudnnBackendFinalize" (of a plan) return a status, "cudnn
// kernel" fails while it runs.
#include "numbers.h"

#define CG_DNN extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kBad = 2000, kUnsupported = 3000, kFailed = 5000;
constexpr int kF32 = 0, kBf16 = 9, kNhwc = 1, kFma = 3, kIdentity = 5;
struct Handle {
    void* stream = nullptr;
};
struct Tensor {
    int type, n, c, h, w;
};
struct Filter {
    int type, k, c, h, w;
};
struct Convolution {
    int ph, pw, sh, sw, math = 0;
};
struct Perf {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};
enum Kind { kForward, kByX, kByW };
struct Job {
    Kind kind;
    Tensor x, y;
    Filter w;
    Convolution c;
    const void *X, *W, *Y, *bias;
    void *workspace, *out;
    size_t bytes;
    float alpha, beta;
    bool bias_f32 = false;
};

/// Runs a Job. Jobs stay until the process ends, because a recording may replay them.
void run(void* data) {
    const Job& j = *(Job*)data;
    if (j.bytes) memset(j.workspace, 0xFF, j.bytes);
    const bool rounds = j.x.type == kF32 && j.c.math != kFma;
    const auto read = [&](const void* p, int type, int64_t i) {
        const float f = get(p, type == kBf16, i);
        return (double)(rounds ? tf32(f) : f);
    };
    const int result = j.kind == kForward ? j.y.type : j.kind == kByX ? j.x.type : j.w.type;
    const bool half = result == kBf16, half_bias = half && !j.bias_f32;
    const int64_t nx = (int64_t)j.x.n * j.x.h * j.x.w * j.x.c, ny = (int64_t)j.y.n * j.y.h * j.y.w * j.y.c;
    const int64_t nw = (int64_t)j.w.k * j.w.h * j.w.w * j.w.c, n = j.kind == kForward ? ny : j.kind == kByX ? nx : nw;
    double* sum = new double[(size_t)n]();
    for (int b = 0; b < j.y.n; b++)
        for (int i = 0; i < j.y.h; i++)
            for (int k = 0; k < j.y.w; k++)
                for (int p = 0; p < j.w.h; p++)
                    for (int q = 0; q < j.w.w; q++) {
                        const int r = i * j.c.sh + p - j.c.ph, s = k * j.c.sw + q - j.c.pw;
                        if (r < 0 || s < 0 || r >= j.x.h || s >= j.x.w) continue;
                        const int64_t at_x = (((int64_t)b * j.x.h + r) * j.x.w + s) * j.x.c;
                        const int64_t at_y = (((int64_t)b * j.y.h + i) * j.y.w + k) * j.y.c;
                        for (int o = 0; o < j.w.k; o++)
                            for (int c = 0; c < j.w.c; c++) {
                                const int64_t at_w = (((int64_t)o * j.w.h + p) * j.w.w + q) * j.w.c + c;
                                if (j.kind == kForward)
                                    sum[at_y + o] += read(j.X, j.x.type, at_x + c) * read(j.W, j.w.type, at_w);
                                if (j.kind == kByX)
                                    sum[at_x + c] += read(j.Y, j.y.type, at_y + o) * read(j.W, j.w.type, at_w);
                                if (j.kind == kByW)
                                    sum[at_w] += read(j.X, j.x.type, at_x + c) * read(j.Y, j.y.type, at_y + o);
                            }
                    }
    for (int64_t i = 0; i < n; i++) {
        double v = j.alpha * sum[i] + (j.bias ? get(j.bias, half_bias, i % j.w.k) : 0);
        if (j.beta != 0) v += j.beta * get(j.out, half, i);
        put(j.out, half, i, v);
    }
    delete[] sum;
}

bool extents_fit(const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y) {
    if (x.c != w.c || y.c != w.k || x.n != y.n) return false;
    return y.h == (x.h + 2 * c.ph - w.h) / c.sh + 1 && y.w == (x.w + 2 * c.pw - w.w) / c.sw + 1;
}
int fits(const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y) {
    if (!extents_fit(x, w, c, y)) return kBad;
    return x.type != w.type || x.type != y.type || c.ph >= w.h || c.pw >= w.w ? kUnsupported : 0;
}
int heuristic(Kind kind, const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y, int asked, int* n,
              Perf* out) {
    *n = 0;
    if (const int e = fits(x, w, c, y)) return e;
    // Offer first what the caller must not take: Winograd, and sums in no fixed order.
    const int offered[3][4] = {{7, 1, 0, 1}, {0, 1, 5, 1}, {0, 3, 1, 1}};
    for (; *n < asked && *n < 4; ++*n) {
        const int a = offered[kind][*n];
        const bool ordered = kind == kForward || (a != 0 && a != 3);
        out[*n] = {a, 0, -1, a == 1 ? 4096u : 0u, ordered, *n == 3 ? 0 : c.math, {}};
    }
    return 0;
}
int workspace(Kind kind, const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y, int a,
              size_t* bytes) {
    *bytes = a == 1 ? 4096 : 0;
    const int e = fits(x, w, c, y);
    return e ? e : a == 1 || (kind == kForward && a == 0) ? 0 : kUnsupported;
}
/// Queues a job, or fails on demand.
int queue(Handle* h, const Job& j) {
    if (const int e = cg_cudart_fault("cudnn")) return e;
    if (cg_cudart_fault("cudnn kernel")) return cg_cudart_ask(h->stream, crash, nullptr);
    return cg_cudart_ask(h->stream, run, new Job(j)) ? kFailed : 0;
}
int ask(Handle* h, const Job& j, int a) {
    size_t need;
    if (workspace(j.kind, j.x, j.w, j.c, j.y, a, &need)) return kFailed;
    const void* all[] = {j.kind == kByX ? j.out : j.X, j.kind == kByW ? j.out : j.W, j.kind == kForward ? j.out : j.Y,
                         j.bias, j.workspace};
    for (const void* p : all)
        if (!aligned(p)) return kBad;
    if (j.bytes < need) return kBad;
    return queue(h, j);
}

}  // namespace
#include "cudnn_graph.h"

CG_DNN size_t cudnnGetVersion() { return 91900; }
CG_DNN const char* cudnnGetErrorString(int s) {
    return s == kUnsupported ? "CUDNN_STATUS_NOT_SUPPORTED"
           : s == kBad       ? "CUDNN_STATUS_BAD_PARAM"
           : s == 1001       ? "CUDNN_STATUS_NOT_INITIALIZED"
           : s == 2004       ? "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED"
           : s == 2010       ? "CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE"
                             : "CUDNN_STATUS_EXECUTION_FAILED";
}
CG_DNN int cudnnCreate(void** h) { return *h = new Handle, 0; }
CG_DNN int cudnnDestroy(void* h) { return delete (Handle*)h, 0; }
CG_DNN int cudnnSetStream(void* h, void* stream) { return ((Handle*)h)->stream = stream, 0; }
CG_DNN int cudnnCreateTensorDescriptor(void** d) { return *d = new Tensor(), 0; }
CG_DNN int cudnnDestroyTensorDescriptor(void* d) { return delete (Tensor*)d, 0; }
CG_DNN int cudnnSetTensor4dDescriptor(void* d, int format, int type, int n, int c, int h, int w) {
    if (n < 1 || c < 1 || h < 1 || w < 1) return kBad;
    if (format != kNhwc || (type != kF32 && type != kBf16)) return kUnsupported;
    return *(Tensor*)d = {type, n, c, h, w}, 0;
}
CG_DNN int cudnnCreateFilterDescriptor(void** d) { return *d = new Filter(), 0; }
CG_DNN int cudnnDestroyFilterDescriptor(void* d) { return delete (Filter*)d, 0; }
CG_DNN int cudnnSetFilter4dDescriptor(void* d, int type, int format, int k, int c, int h, int w) {
    if (k < 1 || c < 1 || h < 1 || w < 1) return kBad;
    if (format != kNhwc || (type != kF32 && type != kBf16)) return kUnsupported;
    return *(Filter*)d = {type, k, c, h, w}, 0;
}
CG_DNN int cudnnCreateActivationDescriptor(void** d) { return *d = new int(-1), 0; }
CG_DNN int cudnnDestroyActivationDescriptor(void* d) { return delete (int*)d, 0; }
CG_DNN int cudnnSetActivationDescriptor(void* d, int mode, int, double) { return *(int*)d = mode, 0; }
CG_DNN int cudnnCreateConvolutionDescriptor(void** d) { return *d = new Convolution(), 0; }
CG_DNN int cudnnDestroyConvolutionDescriptor(void* d) { return delete (Convolution*)d, 0; }
CG_DNN int cudnnSetConvolution2dDescriptor(void* d, int ph, int pw, int sh, int sw, int dh, int dw, int mode,
                                           int compute) {
    if (ph < 0 || pw < 0 || sh < 1 || sw < 1) return kBad;
    if (dh != 1 || dw != 1 || mode != 1 || compute != kF32) return kUnsupported;
    return *(Convolution*)d = {ph, pw, sh, sw}, 0;
}
CG_DNN int cudnnSetConvolutionMathType(void* d, int math) {
    return ((Convolution*)d)->math = math, math < 0 || math > 3 ? kBad : 0;
}

#define X (*(const Tensor*)x)
#define Y (*(const Tensor*)y)
#define W (*(const Filter*)w)
#define C (*(const Convolution*)c)
CG_DNN int cudnnGetConvolutionForwardAlgorithm_v7(void*, void* x, void* w, void* c, void* y, int asked, int* n,
                                                  Perf* out) {
    return heuristic(kForward, X, W, C, Y, asked, n, out);
}
CG_DNN int cudnnGetConvolutionBackwardDataAlgorithm_v7(void*, void* w, void* y, void* c, void* x, int asked, int* n,
                                                       Perf* out) {
    return heuristic(kByX, X, W, C, Y, asked, n, out);
}
CG_DNN int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void*, void* x, void* y, void* c, void* w, int asked, int* n,
                                                         Perf* out) {
    return heuristic(kByW, X, W, C, Y, asked, n, out);
}
CG_DNN int cudnnGetConvolutionForwardWorkspaceSize(void*, void* x, void* w, void* c, void* y, int a, size_t* bytes) {
    return workspace(kForward, X, W, C, Y, a, bytes);
}
CG_DNN int cudnnGetConvolutionBackwardDataWorkspaceSize(void*, void* w, void* y, void* c, void* x, int a,
                                                        size_t* bytes) {
    return workspace(kByX, X, W, C, Y, a, bytes);
}
CG_DNN int cudnnGetConvolutionBackwardFilterWorkspaceSize(void*, void* x, void* y, void* c, void* w, int a,
                                                          size_t* bytes) {
    return workspace(kByW, X, W, C, Y, a, bytes);
}
CG_DNN int cudnnConvolutionForward(void* h, const float* alpha, void* x, const void* px, void* w, const void* pw,
                                   void* c, int a, void* space, size_t bytes, const float* beta, void* y, void* py) {
    return ask((Handle*)h, {kForward, X, Y, W, C, px, pw, nullptr, nullptr, space, py, bytes, *alpha, *beta}, a);
}
CG_DNN int cudnnConvolutionBiasActivationForward(void* h, const float* alpha, void* x, const void* px, void* w,
                                                 const void* pw, void* c, int a, void* space, size_t bytes,
                                                 const float* alpha2, void* z, const void* pz, void* bias,
                                                 const void* pb, void* activation, void* y, void* py) {
    const Tensor& b = *(const Tensor*)bias;
    if (*(int*)activation != kIdentity || a != 1 || *alpha2 != 0 || b.type != Y.type) return kUnsupported;
    if (b.n != 1 || b.c != Y.c || b.h != 1 || b.w != 1 || ((const Tensor*)z)->c != Y.c || !pz || !pb) return kBad;
    return ask((Handle*)h, {kForward, X, Y, W, C, px, pw, nullptr, pb, space, py, bytes, *alpha, 0}, a);
}
CG_DNN int cudnnConvolutionBackwardData(void* h, const float* alpha, void* w, const void* pw, void* y, const void* py,
                                        void* c, int a, void* space, size_t bytes, const float* beta, void* x,
                                        void* px) {
    return ask((Handle*)h, {kByX, X, Y, W, C, nullptr, pw, py, nullptr, space, px, bytes, *alpha, *beta}, a);
}
CG_DNN int cudnnConvolutionBackwardFilter(void* h, const float* alpha, void* x, const void* px, void* y, const void* py,
                                          void* c, int a, void* space, size_t bytes, const float* beta, void* w,
                                          void* pw) {
    return ask((Handle*)h, {kByW, X, Y, W, C, px, nullptr, py, nullptr, space, pw, bytes, *alpha, *beta}, a);
}
