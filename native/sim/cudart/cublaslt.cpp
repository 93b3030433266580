// SPDX-License-Identifier: Apache-2.0
// cuBLASLt on the CPU, for tests of the code that calls it: column-major products with the descriptors, layouts,
// epilogues and pointer modes that org.cortigan.cuda uses, queued on the streams of cudart.cpp.
// Stricter than the documentation:
//   - no f32 bias with a bf16 result, no bias gradient of f32 matrices
//   - no algorithms but those that the heuristic returned
//   - every call overwrites the whole workspace
//   - a bias needs its address in every query
//   - every address is a multiple of 256 bytes, which the heuristic assumes
//   - FP8 as on Hopper: k along the rows of both operands, extents and leading dimensions that are multiples of 16
//     bytes, a factor of each operand, not two E5M2 operands, no sums, a bias in bf16, a result in bf16 or f32
// A leading dimension that is no multiple of 16 bytes makes a product slow.
// Errors on demand: "cublasLtMatmul" and "cublasLtMatmulAlgoGetHeuristic" return a status, "cublasLt kernel" fails
// while it runs.
#include <initializer_list>

#include "numbers.h"

#define CG_LT extern "C" __attribute__((visibility("default")))
extern "C" void cg_cudart_pass(double ms);

namespace {

constexpr int kF32 = 0, kBf16 = 14, kE4m3 = 28, kE5m2 = 29, kTf32 = 77, kInvalid = 7, kUnsupported = 15, kBias = 4,
              kSums = 512;
struct Operation {
    int compute, trans_a = 0, trans_b = 0, device_scalars = 0, epilogue = 1, bias_type = -1;
    const void* bias = nullptr;  // the bias to add; with kSums, the address of the bias gradient
    const float *scale_a = nullptr, *scale_b = nullptr;
};
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t ld;
};
struct Algorithm {
    uint64_t word[8];
};
struct Result {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
struct Job {
    Operation op;
    Layout a, b, d;
    const void *A, *B, *alpha, *beta;
    float host_alpha, host_beta;
    void *D, *workspace;
    size_t bytes;
};

bool is_fp8(int type) { return type == kE4m3 || type == kE5m2; }
int64_t bytes_of(int type) { return type == kF32 ? 4 : type == kBf16 ? 2 : 1; }
float element(const void* p, int type, int64_t i) {
    if (is_fp8(type)) return cg::fp8::decode(type == kE4m3 ? cg::Fp8::E4M3 : cg::Fp8::E5M2, ((const uint8_t*)p)[i]);
    return get(p, type == kBf16, i);
}

/// Runs a Job. Jobs stay until the process ends, because a recording may replay them.
void run(void* data) {
    Job* j = (Job*)data;
    const Operation& o = j->op;
    if (j->bytes) memset(j->workspace, 0xFF, j->bytes);
    for (const Layout* l : {&j->a, &j->b, &j->d})
        if (l->ld * bytes_of(l->type) % 16) cg_cudart_pass(1);
    double alpha = o.device_scalars ? *(const float*)j->alpha : j->host_alpha;
    if (is_fp8(j->a.type)) alpha *= (double)*o.scale_a * *o.scale_b;
    const double beta = o.device_scalars ? *(const float*)j->beta : j->host_beta;
    const int64_t inner = (int64_t)(o.trans_a ? j->a.rows : j->a.columns);
    if (o.epilogue == kSums)
        for (int64_t c = 0; c < (int64_t)j->d.columns; c++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++)
                sum += get(j->B, j->b.type == kBf16, o.trans_b ? c + k * j->b.ld : k + c * j->b.ld);
            ((float*)o.bias)[c] = (float)sum;
        }
    for (int64_t c = 0; c < (int64_t)j->d.columns; c++)
        for (int64_t r = 0; r < (int64_t)j->d.rows; r++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++) {
                float x = element(j->A, j->a.type, o.trans_a ? k + r * j->a.ld : r + k * j->a.ld);
                float y = element(j->B, j->b.type, o.trans_b ? c + k * j->b.ld : k + c * j->b.ld);
                if (o.compute == kTf32) x = tf32(x), y = tf32(y);
                sum += (double)x * y;
            }
            double v = alpha * sum;
            const int64_t at = r + c * j->d.ld;
            if (beta != 0) v += beta * get(j->D, j->d.type == kBf16, at);
            if (o.epilogue == kBias) v += get(o.bias, (o.bias_type < 0 ? j->d.type : o.bias_type) == kBf16, r);
            put(j->D, j->d.type == kBf16, at, v);
        }
}

bool fits(const Operation& o, const Layout& a, const Layout& b, const Layout& d) {
    const uint64_t m = o.trans_a ? a.columns : a.rows, k = o.trans_a ? a.rows : a.columns;
    const uint64_t k2 = o.trans_b ? b.columns : b.rows, n = o.trans_b ? b.rows : b.columns;
    return m == d.rows && n == d.columns && k == k2 && (a.type == b.type || (is_fp8(a.type) && is_fp8(b.type))) &&
           (o.epilogue == 1 || (o.bias && aligned(o.bias)));
}
bool supports_fp8(const Operation& o, const Layout& a, const Layout& b, const Layout& d) {
    if (!o.trans_a || o.trans_b || !o.scale_a || !o.scale_b || (a.type == kE5m2 && b.type == kE5m2)) return false;
    for (const Layout* l : {&a, &b, &d})
        if (l->rows % 16 || l->columns % 16 || l->ld * bytes_of(l->type) % 16) return false;
    return !is_fp8(d.type) && o.compute != kTf32 && o.epilogue != kSums &&
           (o.epilogue != kBias || o.bias_type == kBf16);
}
bool supported(const Operation& o, const Layout& a, const Layout& b, const Layout& d) {
    if (is_fp8(a.type)) return supports_fp8(o, a, b, d);
    if (a.type == kF32 && d.type == kBf16) return false;
    if (o.epilogue == kSums) return a.type == kBf16 && d.type == kF32 && o.bias_type == kF32;
    return o.epilogue != kBias || d.type == kF32 || o.bias_type < 0 || o.bias_type == d.type;
}
size_t workspace_of(uint64_t number) { return number == 1 ? 4096 : 0; }

}  // namespace

CG_LT int cublasLtCreate(void** h) { return *h = new int(1), 0; }
CG_LT int cublasLtDestroy(void* h) { return delete (int*)h, 0; }
CG_LT size_t cublasLtGetVersion() { return 130000; }
CG_LT const char* cublasLtGetStatusName(int s) {
    switch (s) {
        case kInvalid: return "CUBLAS_STATUS_INVALID_VALUE";
        case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
        case kUnsupported: return "CUBLAS_STATUS_NOT_SUPPORTED";
        default: return "CUBLAS_STATUS_UNKNOWN";
    }
}
CG_LT const char* cublasLtGetStatusString(int) { return "simulated"; }
CG_LT int cublasLtMatmulDescCreate(void** d, int compute, int) {
    auto* o = new Operation();
    o->compute = compute;
    return *d = o, 0;
}
CG_LT int cublasLtMatmulDescDestroy(void* d) { return delete (Operation*)d, 0; }
CG_LT int cublasLtMatmulDescSetAttribute(void* d, int attribute, const void* value, size_t bytes) {
    auto* o = (Operation*)d;
    int v = 0;
    if (bytes == 4) memcpy(&v, value, 4);
    switch (attribute) {
        case 2: return o->device_scalars = v, v > 1 ? kUnsupported : 0;
        case 3: return o->trans_a = v, 0;
        case 4: return o->trans_b = v, 0;
        case 7: return o->epilogue = v, v == 1 || v == kBias || v == kSums ? 0 : kUnsupported;
        case 8: return memcpy(&o->bias, value, 8), bytes == 8 ? 0 : kInvalid;
        case 17: return memcpy(&o->scale_a, value, 8), bytes == 8 ? 0 : kInvalid;
        case 18: return memcpy(&o->scale_b, value, 8), bytes == 8 ? 0 : kInvalid;
        case 26: return o->bias_type = v, 0;
        default: return kUnsupported;
    }
}
CG_LT int cublasLtMatrixLayoutCreate(void** l, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    if (ld < (int64_t)rows) return kInvalid;
    return *l = new Layout{type, rows, columns, ld}, 0;
}
CG_LT int cublasLtMatrixLayoutDestroy(void* l) { return delete (Layout*)l, 0; }
CG_LT int cublasLtMatmulPreferenceCreate(void** p) { return *p = new int(0), 0; }
CG_LT int cublasLtMatmulPreferenceDestroy(void* p) { return delete (int*)p, 0; }
CG_LT int cublasLtMatmulPreferenceSetAttribute(void*, int attribute, const void*, size_t bytes) {
    return (attribute == 1 && bytes == 8) || (attribute == 3 && bytes == 4) ? 0 : kUnsupported;
}
CG_LT int cublasLtMatmulAlgoGetHeuristic(void*, void* d, void* a, void* b, void*, void* y, void*, int asked,
                                         Result* out, int* n) {
    *n = 0;
    if (const int e = cg_cudart_fault("cublasLtMatmulAlgoGetHeuristic")) return e;
    if (!fits(*(Operation*)d, *(Layout*)a, *(Layout*)b, *(Layout*)y)) return kInvalid;
    if (!supported(*(Operation*)d, *(Layout*)a, *(Layout*)b, *(Layout*)y)) return kUnsupported;
    for (; *n < asked && *n < 2; ++*n) {
        memset(&out[*n], 0, sizeof *out);
        out[*n].algorithm.word[0] = 0xC0FFEE00u + (unsigned)*n;
        out[*n].algorithm.word[7] = 0x8000000000000001u;
        out[*n].workspace = workspace_of((uint64_t)*n);
    }
    return 0;
}
static bool known(const Algorithm* g) {
    return g->word[0] >> 8 == 0xC0FFEE && (g->word[0] & 255) < 2 && g->word[7] == 0x8000000000000001u;
}
CG_LT int cublasLtMatmulAlgoCheck(void*, void* d, void* a, void* b, void*, void* y, const Algorithm* g, Result* out) {
    if (!known(g) || !fits(*(Operation*)d, *(Layout*)a, *(Layout*)b, *(Layout*)y)) return kInvalid;
    if (!supported(*(Operation*)d, *(Layout*)a, *(Layout*)b, *(Layout*)y)) return kUnsupported;
    out->algorithm = *g;
    out->workspace = workspace_of(g->word[0] & 255);
    return 0;
}
CG_LT int cublasLtMatmul(void*, void* d, const void* alpha, const void* A, void* a, const void* B, void* b,
                         const void* beta, const void* C, void*, void* D, void* y, const Algorithm* g, void* workspace,
                         size_t bytes, void* stream) {
    if (!known(g) || bytes < workspace_of(g->word[0] & 255) || C != D) return kInvalid;
    if (!fits(*(Operation*)d, *(Layout*)a, *(Layout*)b, *(Layout*)y)) return kInvalid;
    for (const void* p : {A, B, C, (const void*)D, (const void*)workspace})
        if (!aligned(p)) return kInvalid;
    if (const int e = cg_cudart_fault("cublasLtMatmul")) return e;
    if (cg_cudart_fault("cublasLt kernel")) return cg_cudart_ask(stream, crash, nullptr);
    auto* j =
        new Job{*(Operation*)d, *(Layout*)a, *(Layout*)b, *(Layout*)y, A, B, alpha, beta, 0, 0, D, workspace, bytes};
    if (!j->op.device_scalars) j->host_alpha = *(const float*)alpha, j->host_beta = *(const float*)beta;
    return cg_cudart_ask(stream, run, j);
}
