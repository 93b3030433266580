// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.SplittableRandom;
import org.cortigan.config.Settings;

/**
 * Random changes of training photographs that keep retinotopy: every object stays nearly where it was seen, so that the
 * responses still belong to the photograph. There are no flips.
 *
 * @param shift largest shift along each axis, as a fraction of the side
 * @param contrast largest change of the contrast about the photograph's mean, as a fraction
 * @param brightness largest change of all values, as a fraction of white
 */
record Augmentation(double shift, double contrast, double brightness) {
    private static final int WHITE = 255;

    /** From the section {@code train.augment} of a recipe. */
    static Augmentation of(Settings s) {
        return new Augmentation(s.number("shift", 0, 0.5), s.number("contrast", 0, 1), s.number("brightness", 0, 1));
    }

    /** Whether it changes anything. */
    boolean isOn() {
        return shift > 0 || contrast > 0 || brightness > 0;
    }

    /**
     * Writes the changed photograph at the buffer's position, which advances. Shifting repeats the edges.
     *
     * @param photograph u8 [side, side, 3]
     */
    void apply(byte[] photograph, int side, SplittableRandom random, ByteBuffer into) {
        int most = (int) Math.round(shift * side);
        int right = random.nextInt(-most, most + 1), down = random.nextInt(-most, most + 1);
        double factor = 1 + contrast * symmetric(random), offset = brightness * WHITE * symmetric(random);
        byte[] level = levels(mean(photograph), factor, offset);
        for (int y = 0; y < side; y++) {
            int row = within(y - down, side) * side;
            for (int x = 0; x < side; x++) {
                int from = 3 * (row + within(x - right, side));
                for (int c = 0; c < 3; c++) into.put(level[photograph[from + c] & 0xff]);
            }
        }
    }

    /** A number from -1 to 1. */
    private static double symmetric(SplittableRandom random) {
        return 2 * random.nextDouble() - 1;
    }

    private static int within(int at, int side) {
        return Math.max(0, Math.min(side - 1, at));
    }

    private static double mean(byte[] photograph) {
        long sum = 0;
        for (byte b : photograph) sum += b & 0xff;
        return (double) sum / photograph.length;
    }

    /** The new value of every value of a pixel. */
    private static byte[] levels(double mean, double factor, double offset) {
        byte[] level = new byte[WHITE + 1];
        for (int v = 0; v <= WHITE; v++) {
            long changed = Math.round(mean + factor * (v - mean) + offset);
            level[v] = (byte) Math.max(0, Math.min(WHITE, changed));
        }
        return level;
    }
}
