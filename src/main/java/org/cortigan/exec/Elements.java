// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Fp8;
import org.cortigan.graph.Half;

/** Single elements of a tensor in a little-endian buffer, with conversion from and to double. */
final class Elements {
    private Elements() {}

    /** Writes element i, rounded to the stored type. */
    static void put(DType stored, ByteBuffer bytes, int i, double value) {
        switch (stored) {
            case F32 -> bytes.putFloat(4 * i, (float) value);
            case BF16 -> bytes.putShort(2 * i, Half.toBf16((float) value));
            case F64 -> bytes.putDouble(8 * i, value);
            case I32 -> bytes.putInt(4 * i, (int) value);
            case U8 -> bytes.put(i, (byte) value);
            case F8E4M3, F8E5M2 -> throw new IllegalArgumentException("only kernels write " + stored);
        }
    }

    static double get(DType stored, ByteBuffer bytes, int i) {
        return switch (stored) {
            case F32 -> bytes.getFloat(4 * i);
            case BF16 -> Half.fromBf16(bytes.getShort(2 * i));
            case F64 -> bytes.getDouble(8 * i);
            case I32 -> bytes.getInt(4 * i);
            case U8 -> bytes.get(i) & 0xff;
            case F8E4M3, F8E5M2 -> Fp8.of(stored).decode(bytes.get(i));
        };
    }
}
