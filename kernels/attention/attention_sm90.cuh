// SPDX-License-Identifier: Apache-2.0
// Patch attention on wgmma, for sm_90a only: an implementation in attention.cu's lists.
#pragma once
#include "attention/attention.h"
namespace cg::cuda::sm90 {
/// Whether the kernels compute these shapes; false on a device of another compute capability than 9.0.
bool takes(const AttentionArgs& g);
bool takes_grad(const AttentionGradArgs& g);
void attention(const AttentionArgs& g, void* stream);
void attention_grad(const AttentionGradArgs& g, void* stream);
}  // namespace cg::cuda::sm90
