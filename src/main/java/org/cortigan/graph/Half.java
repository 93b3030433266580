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

    /** The binary16 nearest to {@code x}, ties to even; from 65520 on an infinity, NaN stays a (quiet) NaN. */
    public static short toF16(float x) {
        int bits = Float.floatToRawIntBits(x), sign = bits >>> 16 & 0x8000;
        float magnitude = Math.abs(x);
        if (Float.isNaN(x)) return (short) (sign | 0x7e00);
        if (magnitude >= 65520) return (short) (sign | 0x7c00);
        // Multiples of 2^-24, of which the largest is the smallest normal number.
        if (magnitude < 0x1p-14f) return (short) (sign | (int) Math.rint(magnitude * 0x1p24f));
        int rounded = (bits & 0x7fffffff) + 0xfff + (bits >>> 13 & 1);
        return (short) (sign | rounded - (112 << 23) >>> 13);
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
