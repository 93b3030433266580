// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

/** Conversions of the 16-bit floating-point formats: bfloat16 and IEEE 754 binary16. */
public final class Half {
    private Half() {}

    /** The bfloat16 nearest to {@code x}, ties to even; overflow rounds to infinity, NaN stays a (quiet) NaN. */
    public static short toBf16(float x) {
        int bits = Float.floatToRawIntBits(x);
        if (Float.isNaN(x)) {
            // Rounding could turn a NaN into infinity: truncate, and set the quiet bit so that it stays a NaN.
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    /** The exact value of a bfloat16. */
    public static float fromBf16(short h) {
        return Float.intBitsToFloat(h << 16);
    }

    /** The exact value of a binary16, subnormals included. */
    public static float fromF16(short h) {
        int exponent = h >>> 10 & 0x1f;
        int mantissa = h & 0x3ff;
        if (exponent == 0) {
            float magnitude = mantissa * 0x1p-24f;
            return h < 0 ? -magnitude : magnitude;
        }
        int bits = exponent == 0x1f ? 0x7f800000 | mantissa << 13 : exponent + 112 << 23 | mantissa << 13;
        return Float.intBitsToFloat((h & 0x8000) << 16 | bits);
    }
}
