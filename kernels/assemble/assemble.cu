// SPDX-License-Identifier: Apache-2.0
// A thread copies one vector of a row: 16, 8 or 4 bytes, the widest that every piece's bounds allow, else one element.
// It searches the list of pieces, which is a kernel parameter. Deterministic: a copy.
// Versions: 16 bytes or one element; this one.
// Floor: bytes over bandwidth.
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

/// All offsets, strides and lengths count elements of W.
template <class W>
__global__ void __launch_bounds__(256) assemble_rows(W* y, i64 width, const Pieces __grid_constant__ p) {
    await_inputs();
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

/// Copies in units of W if every piece begins and ends on a multiple of W in every row.
template <class W, class T>
bool run_by(const AssembleArgs& g, Stream s) {
    constexpr i64 n = sizeof(W) / sizeof(T);
    auto on = [](const void* p) { return (uintptr_t)p % sizeof(W) == 0; };
    bool fits = on(g.y);
    for (i64 k = 0; k < g.n; k++) {
        const AssembleRow& r = g.rows[k];
        if (r.len > 0)
            fits = fits && r.len % n == 0 && (!r.src || (on(r.src) && r.offset % n == 0 && r.stride % n == 0));
    }
    if (fits) run<W>(g, n, s);
    return fits;
}

}  // namespace

template <class T>
void assemble(const AssembleArgs& g, Stream s) {
    if (run_by<int4, T>(g, s) || run_by<int2, T>(g, s) || run_by<int, T>(g, s)) return;
    if constexpr (sizeof(T) < 4) run_by<T, T>(g, s);
}

CG_CUDA(assemble, AssembleArgs)

}  // namespace cg::cuda
