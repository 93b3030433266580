// SPDX-License-Identifier: Apache-2.0
// Splits of products along k: where a product has few tiles and a long k, several blocks compute parts of it, which go
// to scratch and are summed in order. The parts depend on the sizes alone, so results are the same on every GPU.
#pragma once

#include <algorithm>
#include <vector>

#include "device.cuh"

namespace cg::cuda::split {

struct Extent {
    i64 M, N, K;
};

/// Tiles of BM x BN. No block gets more of k than an equal share of all products' work among `blocks`, nor is a part
/// shorter than `least`; a product has at most `most` parts.
struct Rule {
    i64 BM, BN, blocks, least, most;
};

constexpr i64 tiles(const Rule& r, const Extent& e) { return ceil_div(e.M, r.BM) * ceil_div(e.N, r.BN); }

/// The number of parts of each of n products.
template <class E>
std::vector<int> parts(const Rule& r, i64 n, E&& extent) {
    i64 work = 0;
    for (i64 i = 0; i < n; i++) work += tiles(r, extent(i)) * extent(i).K;
    const i64 share = std::max(ceil_div(work, r.blocks), r.least);
    std::vector<int> s;
    for (i64 i = 0; i < n; i++) s.push_back((int)std::min(std::max<i64>(ceil_div(extent(i).K, share), 1), r.most));
    return s;
}

/// Bytes of the parts, [parts][M][N] in float; 0 for a product in one part.
inline i64 bytes(const Extent& e, i64 parts) { return parts > 1 ? align_up(parts * e.M * e.N * 4, 256) : 0; }

template <class E>
i64 scratch(const Rule& r, i64 n, E&& extent) {
    const std::vector<int> s = parts(r, n, extent);
    i64 all = 0;
    for (i64 i = 0; i < n; i++) all += bytes(extent(i), s[i]);
    return all;
}

/// Gives n problems their parts in scratch. problem(i) is a reference to one's M, N, K, splits and part.
template <class P>
void place(const Rule& r, i64 n, P&& problem, void* scratch) {
    auto extent = [&](i64 i) { return Extent{problem(i).M, problem(i).N, problem(i).K}; };
    const std::vector<int> s = parts(r, n, extent);
    char* at = (char*)scratch;
    for (i64 i = 0; i < n; i++) {
        problem(i).splits = s[i];
        problem(i).part = (float*)at;
        at += bytes(extent(i), s[i]);
    }
}

}  // namespace cg::cuda::split
