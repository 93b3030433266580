// A thread takes one vector of a row (16 bytes where every piece's borders allow it, else one element) and looks for its
// piece among the few that are parameters of the kernel. Deterministic: a copy. Versions: only this one, not measured on
// a GPU yet.
#include "device.cuh"
#include "kernels_all.h"

namespace cg::cuda {

namespace {

constexpr int kPieces = 256;

struct Piece {
    const void* src;
    i64 offset, stride, begin;
};
struct Pieces {
    Piece piece[kPieces];
    int n;
};

/// All numbers in W's.
template <class W>
__global__ void __launch_bounds__(256) assemble_rows(W* y, i64 width, const __grid_constant__ Pieces p) {
    const i64 i = (i64)blockIdx.x * 256 + threadIdx.x, o = blockIdx.y;
    if (i >= width) return;
    int k = 0;
    while (k + 1 < p.n && p.piece[k + 1].begin <= i) k++;
    const Piece& q = p.piece[k];
    y[o * width + i] = q.src ? ((const W*)q.src)[q.offset + o * q.stride + i - q.begin] : W();
}

template <class W>
void run(const AssembleArgs& g, i64 elements, Stream s) {
    Pieces p;
    p.n = 0;
    i64 at = 0;
    for (i64 k = 0; k < g.n; k++) {
        const AssembleRow& r = g.rows[k];
        if (r.len == 0) continue;
        CG_CHECK(p.n < kPieces, "more than " + std::to_string(kPieces) + " pieces");
        p.piece[p.n++] = Piece{r.src, r.offset / elements, r.stride / elements, at};
        at += r.len / elements;
    }
    for (i64 o = 0; o < g.outer; o += 65535) {
        const i64 rows = g.outer - o < 65535 ? g.outer - o : 65535;
        Pieces q = p;
        for (int k = 0; k < q.n; k++) q.piece[k].offset += o * q.piece[k].stride;
        CG_LAUNCH((assemble_rows<W>), grid(ceil_div(at, 256), rows), 256, 0, s, (W*)g.y + o * at, at, q);
    }
}

}  // namespace

template <class T>
void assemble(const AssembleArgs& g, Stream s) {
    bool vectors = aligned16(g.y);
    for (i64 k = 0; k < g.n; k++) {
        const AssembleRow& r = g.rows[k];
        if (r.len == 0) continue;
        vectors = vectors && r.len % kVec<T> == 0 && (!r.src || (aligned16(r.src) && r.offset % kVec<T> == 0 && r.stride % kVec<T> == 0));
    }
    if (vectors) run<int4>(g, kVec<T>, s);
    else run<T>(g, 1, s);
}

CG_CUDA(assemble, AssembleArgs)

}  // namespace cg::cuda
