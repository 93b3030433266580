// SPDX-License-Identifier: Apache-2.0
// Attention on wgmma, for sm_90a only: an implementation in attention.cu's lists, of kernels in attention_sm90.cu
// (patch attention in one pass) and attention_tiled_sm90.cu (any length).
#pragma once
#include "attention/attention.h"
namespace cg::cuda {
struct Queue;
}
namespace cg::cuda::sm90 {
/// Whether the kernels compute these arguments, and sooner than mma.sync does; false on a device of another compute
/// capability than 9.0.
bool takes(const AttentionArgs& g);
bool takes_grad(const AttentionGradArgs& g);
void attention(const AttentionArgs& g, Queue* stream);
void attention_grad(const AttentionGradArgs& g, Queue* stream);

/// The tiled kernels, and whether they have the head width.
bool tiled_fits(i64 D);
bool tiled_fits_grad(i64 D);
void attention_tiled(const AttentionArgs& g, Queue* stream);
void attention_tiled_grad(const AttentionGradArgs& g, Queue* stream);
}  // namespace cg::cuda::sm90
