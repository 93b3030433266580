// SPDX-License-Identifier: Apache-2.0
package org.cortigan.prof;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;
import org.cortigan.exec.Storage;
import org.cortigan.graph.DType;
import org.cortigan.graph.Half;

/**
 * Random contents for tensors that are timed: products of zeros run faster than products of data, because they switch
 * fewer transistors. One tile of standard normal numbers is repeated, so that filling gigabytes on a device is as fast
 * as copying them there.
 */
public final class Noise {
    private static final int TILE = 1 << 20;
    private static final float[] NORMAL = new float[TILE];

    static {
        SplittableRandom r = new SplittableRandom(1);
        for (int i = 0; i < TILE; i++) NORMAL[i] = (float) r.nextGaussian();
    }

    private Noise() {}

    /**
     * Fills an f32 or bf16 tensor.
     *
     * @param positive whether to use the numbers' absolute values, for second moments and scales
     * @throws IllegalArgumentException for another type
     */
    public static void fill(Storage x, boolean positive) {
        DType t = x.type().dtype();
        if (!t.isFloat()) throw new IllegalArgumentException("noise for " + x.type());
        int n = (int) Math.min(TILE, x.type().shape().elements());
        ByteBuffer tile = ByteBuffer.allocate(n * t.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < n; i++) {
            float v = positive ? Math.abs(NORMAL[i]) : NORMAL[i];
            if (t == DType.BF16) tile.putShort(2 * i, Half.toBf16(v));
            else tile.putFloat(4 * i, v);
        }
        x.writeTiled(tile);
    }
}
