// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Tensors of golden files in the types that {@link SafeTensors} gives as raw bytes only. */
public final class Tensors {
    private Tensors() {}

    /** The values of a tensor of F64. */
    public static double[] doubles(SafeTensors t, String name) {
        ByteBuffer b = bytes(t, name);
        double[] values = new double[b.remaining() / Double.BYTES];
        b.asDoubleBuffer().get(values);
        return values;
    }

    /** The values of a tensor of I32. */
    public static int[] ints(SafeTensors t, String name) {
        ByteBuffer b = bytes(t, name);
        int[] values = new int[b.remaining() / Integer.BYTES];
        b.asIntBuffer().get(values);
        return values;
    }

    private static ByteBuffer bytes(SafeTensors t, String name) {
        ByteBuffer b = ByteBuffer.allocate((int) t.entry(name).bytes()).order(ByteOrder.LITTLE_ENDIAN);
        t.read(name, b);
        return b.flip();
    }
}
