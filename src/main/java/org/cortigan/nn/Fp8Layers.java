// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import org.cortigan.graph.Value;
import org.cortigan.op.Ops;

/** The linear layers that compute in FP8 if training does. */
public enum Fp8Layers {
    /**
     * Those that save more time in their products than the conversions to FP8 take, by the figures of an H200: the
     * products save 6 in out rows FLOPs at twice the rate, the conversions move 4 (in + out) rows bytes. With 790
     * TFLOP/s in bf16 and 4.3 TB/s both are equal at in out / (in + out) = 245; launches and tails move that to about
     * 320. ViT-B (384 to 614) is above, ViT-S (192 to 307) below.
     */
    LARGE,
    /** All that fit ({@link Ops#fitsFp8}). */
    ALL;

    private static final double WORTH = 320;

    /** Whether a layer from x [..., in] with the weight [out, in] computes in FP8. */
    boolean take(Value x, Value weight) {
        double out = weight.dim(0), in = weight.dim(1);
        return Ops.fitsFp8(x, weight) && (this == ALL || in * out / (in + out) >= WORTH);
    }
}
