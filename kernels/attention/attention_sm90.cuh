// SPDX-License-Identifier: Apache-2.0
// Patch attention on wgmma, for sm_90a only. attention.cu calls it after choose_attention("wgmma").
#pragma once
#include <string>

#include "attention/attention.h"
namespace cg::cuda {
/// Chooses "mma" (the default) or "wgmma" for all later launches. Throws on another name or if wgmma is not built.
void choose_attention(const std::string& which);
namespace sm90 {
/// True if this library has the kernels.
bool built();
/// True if the kernels serve these shapes; all others run on mma.sync.
bool takes(i64 T, i64 D);
void attention(const AttentionArgs& g, void* stream);
void attention_grad(const AttentionGradArgs& g, void* stream);
}  // namespace sm90
}  // namespace cg::cuda
