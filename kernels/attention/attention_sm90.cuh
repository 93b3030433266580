// SPDX-License-Identifier: Apache-2.0
// Patch attention on wgmma, for sm_90a alone: what attention.cu calls where it was chosen (choose_attention).
#pragma once
#include <string>

#include "attention/attention.h"
namespace cg::cuda {
/// "mma" (at first) or "wgmma", for all launches from now on.
void choose_attention(const std::string& which);
namespace sm90 {
/// Whether this library has the kernels.
bool built();
/// Whether they serve these shapes; others go to mma.sync.
bool takes(i64 T, i64 D);
void attention(const AttentionArgs& g, void* stream);
void attention_grad(const AttentionGradArgs& g, void* stream);
}  // namespace sm90
}  // namespace cg::cuda
