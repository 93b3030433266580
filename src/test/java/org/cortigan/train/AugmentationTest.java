// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.SplittableRandom;
import org.cortigan.exec.CpuDevice;
import org.cortigan.nn.Shard;
import org.junit.jupiter.api.Test;

class AugmentationTest {
    private static final int SIDE = 10;

    private static byte[] apply(Augmentation a, byte[] photograph, long seed) {
        ByteBuffer out = ByteBuffer.allocate(photograph.length);
        a.apply(photograph, SIDE, new SplittableRandom(seed), out);
        assertFalse(out.hasRemaining());
        return out.array();
    }

    /** A photograph whose values name their place: x in red, y in green, 50 in blue. */
    private static byte[] places() {
        byte[] b = new byte[3 * SIDE * SIDE];
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                b[3 * (y * SIDE + x)] = (byte) x;
                b[3 * (y * SIDE + x) + 1] = (byte) y;
                b[3 * (y * SIDE + x) + 2] = 50;
            }
        return b;
    }

    private static int clamp(int at) {
        return Math.max(0, Math.min(SIDE - 1, at));
    }

    @Test
    void shiftsRepeatTheEdgesAndFlipNothing() {
        Set<String> seen = new HashSet<>();
        for (int seed = 0; seed < 500; seed++) {
            byte[] out = apply(new Augmentation(0.2, 0, 0), places(), seed);
            int dx = SIDE / 2 - out[3 * (SIDE / 2 * SIDE + SIDE / 2)];
            int dy = SIDE / 2 - out[3 * (SIDE / 2 * SIDE + SIDE / 2) + 1];
            assertTrue(Math.abs(dx) <= 2 && Math.abs(dy) <= 2, dx + " " + dy);
            seen.add(dx + " " + dy);
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    int at = 3 * (y * SIDE + x);
                    byte[] want = {(byte) clamp(x - dx), (byte) clamp(y - dy), 50};
                    assertArrayEquals(want, Arrays.copyOfRange(out, at, at + 3));
                }
        }
        assertEquals(25, seen.size(), "shifts by -2 to 2 along both axes");
    }

    @Test
    void contrastChangesAboutTheMeanAndBrightnessAddsToAll() {
        byte[] half = new byte[3 * SIDE * SIDE];
        for (int i = 0; i < half.length; i++) half[i] = (byte) (i % 2 == 0 ? 80 : 160);
        double[] least = {1, 1}, most = {-1, -1};
        for (int seed = 0; seed < 500; seed++) {
            byte[] contrast = apply(new Augmentation(0, 0.5, 0), half, seed);
            int dark = contrast[0] & 0xff, light = contrast[1] & 0xff;
            assertEquals(240, dark + light, 1, "the mean of 120 stays");
            double factor = (light - dark) / 80.0 - 1;
            byte[] brightness = apply(new Augmentation(0, 0, 0.2), half, seed);
            double offset = ((brightness[0] & 0xff) - 80) / 255.0;
            assertEquals(80, (brightness[1] & 0xff) - (brightness[0] & 0xff));
            least = new double[] {Math.min(least[0], factor), Math.min(least[1], offset)};
            most = new double[] {Math.max(most[0], factor), Math.max(most[1], offset)};
        }
        // The extremes of 500 uniform numbers are within 3 % of the range with a probability above 1 - 1e-6.
        assertArrayEquals(new double[] {-0.5, -0.2}, least, 0.03);
        assertArrayEquals(new double[] {0.5, 0.2}, most, 0.03);
    }

    @Test
    void valuesEndAtBlackAndWhite() {
        byte[] photograph = new byte[3 * SIDE * SIDE];
        for (int i = 0; i < photograph.length; i++) photograph[i] = (byte) (i % 256);
        Augmentation strong = new Augmentation(0, 1, 1);
        int saturated = 0;
        for (int seed = 0; seed < 50; seed++) {
            byte[] out = apply(strong, photograph, seed);
            for (int i = 1; i < 256; i++) assertTrue((out[i] & 0xff) >= (out[i - 1] & 0xff), "levels keep their order");
            for (byte b : out) if (b == 0 || b == -1) saturated++;
        }
        assertTrue(saturated > 0);
    }

    /** The photographs of an epoch by their index; there are as many as steps of one photograph. */
    private static byte[][] epoch(Augmentation a, long epoch, long seed) {
        TrainerTest.Toy toy = new TrainerTest.Toy(6, 3, 3, SIDE);
        int[] all = {0, 1, 2, 3, 4, 5};
        byte[][] seen = new byte[6][];
        try (BatchLoader loader = new BatchLoader(
                CpuDevice.best(1),
                toy,
                new BatchLoader.Batching(all, 1, 1, Shard.WHOLE, SIDE, false, false, a, seed, null),
                BatchLoader.Content.PHOTOGRAPHS,
                6 * epoch,
                6 * epoch + 6)) {
            for (int i = 0; i < 6; i++) {
                BatchLoader.Batch b = loader.next();
                seen[b.imageRows[0]] = new byte[3 * SIDE * SIDE];
                b.images.get(0, seen[b.imageRows[0]]);
                loader.done(b);
            }
        }
        return seen;
    }

    @Test
    void aBatchDependsOnSeedEpochAndPhotographAlone() {
        Augmentation a = new Augmentation(0.3, 0.5, 0.2);
        byte[][] first = epoch(a, 3, 1);
        assertArrayEquals(first, epoch(a, 3, 1));
        byte[][] next = epoch(a, 4, 1), other = epoch(a, 3, 2);
        for (int i = 0; i < 6; i++) {
            assertFalse(Arrays.equals(first[i], next[i]), "photograph " + i + " in another epoch");
            assertFalse(Arrays.equals(first[i], other[i]), "photograph " + i + " with another seed");
        }
        byte[] plain = new byte[3 * SIDE * SIDE];
        new TrainerTest.Toy(6, 3, 3, SIDE).image(2, ByteBuffer.wrap(plain));
        assertArrayEquals(plain, epoch(new Augmentation(0, 0, 0), 3, 1)[2]);
    }
}
