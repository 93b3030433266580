// SPDX-License-Identifier: Apache-2.0
// Convolutions over vertices: implementations of all kernels of conv2d, grouped or not (conv1d.cu).
#pragma once
#include "device.cuh"
#include "kernels_all.h"
namespace cg::cuda::conv1d {
/// Whether all convolutions have H = KH = 1 without padding along H and offsets that fit 32 bits.
template <class Args>
bool takes(const Args& g);
/// Bytes, before the addresses are known; 0 for shapes that are not taken.
template <class Args>
i64 scratch(const Args& g);
template <class Args>
void run(const Args& g, Stream s);
}  // namespace cg::cuda::conv1d
