// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import org.cortigan.graph.DType;

/** Precision of matrix products and convolutions. All of them accumulate in f32. */
public enum Precision {
    /** f32 operands. */
    FP32(DType.F32),
    /** f32 operands, rounded to NVIDIA's TF32 (10 bits of mantissa) for the multiplication. */
    TF32(DType.F32),
    /** bf16 operands. */
    BF16(DType.BF16),
    /**
     * bf16, except that the products of large linear layers of ViT blocks read FP8 operands while training: E4M3
     * activations and weights, E5M2 gradients, each with a scale from earlier steps.
     */
    FP8(DType.BF16);

    private final DType compute;

    Precision(DType compute) {
        this.compute = compute;
    }

    /** Element type of the operands in memory. */
    public DType compute() {
        return compute;
    }
}
