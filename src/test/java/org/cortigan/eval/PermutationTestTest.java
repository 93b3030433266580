// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.ForkJoinPool;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;

class PermutationTestTest {
    private static float[] gaussian(int n, long seed) {
        SplittableRandom r = new SplittableRandom(seed);
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) r.nextGaussian();
        return f;
    }

    private static PermutationTest test(float[] p, float[] t, int vertices, int permutations) {
        PermutationTest test = new PermutationTest(vertices, new PermutationTest.Design(permutations, 7));
        int rows = t.length / vertices, half = rows / 2;
        test.add(p, t, half);
        test.add(
                Arrays.copyOfRange(p, half * vertices, p.length),
                Arrays.copyOfRange(t, half * vertices, t.length),
                rows - half);
        return test;
    }

    @Test
    void pIsUniformUnderTheNullHypothesis() {
        int vertices = 2000, permutations = 199;
        Significance s = test(gaussian(40 * vertices, 1), gaussian(40 * vertices, 2), vertices, permutations)
                .run();
        double[] sorted = Arrays.stream(s.p()).sorted().toArray();
        double distance = 0; // of Kolmogorov and Smirnov
        for (int i = 0; i < vertices; i++) distance = Math.max(distance, Math.abs(sorted[i] - (i + 0.5) / vertices));
        // 1.95 / sqrt(n) is the critical distance at 0.001; p is a multiple of 1 / 200.
        assertTrue(distance < 1.95 / Math.sqrt(vertices) + 1.0 / (permutations + 1), "distance " + distance);
        assertEquals(0, s.countBelow(0.05));
    }

    @Test
    void aStrongCorrelationHasTheSmallestPAndItsOppositeTheLargest() {
        int images = 60, vertices = 70;
        float[] t = gaussian(images * vertices, 3), p = gaussian(images * vertices, 4);
        for (int i = 0; i < images; i++) {
            p[i * vertices] = t[i * vertices];
            p[i * vertices + 1] = -t[i * vertices + 1];
            p[i * vertices + 2] = 5; // constant
        }
        Significance s = test(p, t, vertices, 500).run();
        assertEquals(1.0 / 501, s.p()[0]);
        assertEquals(1, s.p()[1]);
        assertEquals(1, s.p()[2]);
        assertTrue(s.q()[0] >= s.p()[0] && s.q()[0] <= vertices * s.p()[0]);
    }

    /** Of three images, each of the six orders is equally likely, so p is a known share. */
    @Test
    void pMatchesTheCountOfOrders() {
        float[] p = {1, 2, 4}, t = {1, 2, 4};
        double got = test(p, t, 1, 60_000).run().p()[0];
        assertEquals(1.0 / 6, got, 0.006); // 4 standard deviations of a share of 60,000
        // Of equal values, exchanging the two leaves r as it is: two of six orders.
        assertEquals(2.0 / 6, test(new float[] {1, 1, 4}, t, 1, 60_000).run().p()[0], 0.008);
    }

    @Test
    void aLargeOffsetChangesNothing() {
        int vertices = 50, images = 40;
        float[] p = gaussian(images * vertices, 5), t = gaussian(images * vertices, 6);
        double[] far = new double[p.length];
        for (int i = 0; i < p.length; i++) far[i] = p[i] + 1e6;
        PermutationTest near = new PermutationTest(vertices, new PermutationTest.Design(300, 7));
        PermutationTest shifted = new PermutationTest(vertices, new PermutationTest.Design(300, 7));
        near.add(p, t, images);
        shifted.add(far, t, images);
        assertArrayEquals(near.run().p(), shifted.run().p());
    }

    @Test
    void theResultDependsOnTheSeedAlone() throws Exception {
        int vertices = 300;
        float[] p = gaussian(30 * vertices, 8), t = gaussian(30 * vertices, 9);
        double[] all = test(p, t, vertices, 100).run().p();
        ForkJoinPool one = new ForkJoinPool(1);
        try {
            assertArrayEquals(
                    all, one.submit(() -> test(p, t, vertices, 100).run().p()).get());
        } finally {
            one.shutdown();
        }
        PermutationTest other = new PermutationTest(vertices, new PermutationTest.Design(100, 8));
        other.add(p, t, 30);
        assertFalse(Arrays.equals(all, other.run().p()));
    }

    @Test
    void tooFewImagesAreRefused() {
        InputException e = assertThrows(
                InputException.class,
                () -> test(new float[] {1, 2}, new float[] {1, 2}, 1, 10).run());
        assertTrue(e.getMessage().contains("2 images"), e.getMessage());
    }
}
