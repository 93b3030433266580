// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

/**
 * The 8-bit floating-point formats of Micikevicius et al. 2022, "FP8 formats for deep learning". The largest number of
 * both is 1.75 * 2^{@link #exponent}.
 */
public enum Fp8 {
    /** 3 bits of mantissa, up to 448, no infinity: for activations and weights. */
    E4M3(DType.F8E4M3, 3, 7, 8),
    /** 2 bits of mantissa, up to 57344: for gradients. */
    E5M2(DType.F8E5M2, 2, 15, 15);

    private final DType dtype;
    private final int mantissa;
    private final int bias;
    private final int exponent;

    Fp8(DType dtype, int mantissa, int bias, int exponent) {
        this.dtype = dtype;
        this.mantissa = mantissa;
        this.bias = bias;
        this.exponent = exponent;
    }

    /**
     * The format of an element type.
     *
     * @throws IllegalArgumentException for any other type than the two of FP8
     */
    public static Fp8 of(DType t) {
        for (Fp8 f : values()) if (f.dtype == t) return f;
        throw new IllegalArgumentException(t + " is no format of FP8");
    }

    /** The element type of tensors in this format. */
    public DType dtype() {
        return dtype;
    }

    /** The exponent of the largest number. */
    public int exponent() {
        return exponent;
    }

    /** The exact value of a stored number. */
    public float decode(byte stored) {
        int magnitude = stored & 0x7f, e = magnitude >> mantissa, fraction = magnitude & (1 << mantissa) - 1;
        float v;
        if (magnitude > (this == E4M3 ? 0x7e : 0x7c)) v = Float.NaN;
        else if (this == E5M2 && magnitude == 0x7c) v = Float.POSITIVE_INFINITY;
        else if (e == 0) v = Math.scalb((float) fraction, 1 - bias - mantissa);
        else v = Math.scalb((float) (fraction + (1 << mantissa)), e - bias - mantissa);
        return stored < 0 ? -v : v;
    }
}
