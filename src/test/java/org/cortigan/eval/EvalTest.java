// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Locale;
import java.util.SplittableRandom;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;

/** Compares metrics with hand calculation and checks properties that hold for any data. */
class EvalTest {
    private static float[] gaussian(int n, long seed, double offset) {
        SplittableRandom r = new SplittableRandom(seed);
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) (offset + r.nextGaussian());
        return f;
    }

    /** The textbook formula in double for one vertex. */
    private static double pearson(float[] p, float[] t, int images, int vertices, int v) {
        double mp = 0, mt = 0, a = 0, b = 0, c = 0;
        for (int i = 0; i < images; i++) {
            mp += p[i * vertices + v] / (double) images;
            mt += t[i * vertices + v] / (double) images;
        }
        for (int i = 0; i < images; i++) {
            double x = p[i * vertices + v] - mp, y = t[i * vertices + v] - mt;
            a += x * y;
            b += x * x;
            c += y * y;
        }
        return a / Math.sqrt(b * c);
    }

    private static double[] r(float[] p, float[] t, int vertices, int... blocks) {
        PearsonAccumulator acc = new PearsonAccumulator(vertices);
        int at = 0;
        for (int n : blocks) {
            acc.add(
                    Arrays.copyOfRange(p, at * vertices, (at + n) * vertices),
                    Arrays.copyOfRange(t, at * vertices, (at + n) * vertices),
                    n);
            at += n;
        }
        return acc.r();
    }

    @Test
    void streamedPearsonEqualsThatOfTheWholeSplitEvenFarFromZero() {
        for (double offset : new double[] {0, 1000}) {
            float[] p = gaussian(37 * 11, 1, offset), t = gaussian(37 * 11, 2, -offset);
            double[] whole = r(p, t, 11, 37), blocks = r(p, t, 11, 1, 16, 20);
            for (int v = 0; v < 11; v++) {
                assertEquals(pearson(p, t, 37, 11, v), whole[v], 1e-12);
                assertEquals(whole[v], blocks[v], 1e-12);
            }
        }
    }

    @Test
    void theMeanOfBatchCorrelationsDiffersFromTheCorrelation() {
        float[] p = {0, 1, 10, 11}, t = {0, 1, 1, 0};
        // The first batch has r = 1, the second r = -1: mean 0. Over all four images the covariance would be 0 too, so
        // the second batch's responses are shifted.
        t[2] = 5;
        t[3] = 4;
        double whole = r(p, t, 1, 4)[0];
        assertEquals(
                0,
                (r(new float[] {0, 1}, new float[] {0, 1}, 1, 2)[0]
                                + r(new float[] {10, 11}, new float[] {5, 4}, 1, 2)[0])
                        / 2,
                1e-12);
        // by hand: centred p -5.5 -4.5 4.5 5.5, t -2.5 -1.5 2.5 1.5
        assertEquals(40.0 / Math.sqrt(101 * 17), whole, 1e-12);
        assertEquals(whole, r(p, t, 1, 2, 2)[0], 1e-12);
    }

    @Test
    void constantVerticesHaveRZeroAndAreCounted() {
        PearsonAccumulator acc = new PearsonAccumulator(3);
        acc.add(new float[] {1, 1, 1, 1, 2, 3}, new float[] {1, 5, 2, 2, 5, 4}, 2);
        assertArrayEquals(new double[] {0, 0, 1}, acc.r(), 1e-12);
        assertEquals(1, acc.constantPredictions());
        assertEquals(1, acc.constantTargets());
    }

    @Test
    void challengeScoreMatchesHandCalculation() {
        NoiseCeiling nc = NoiseCeiling.of("nc", new float[] {0.5f, 0.25f, 0, 0.5f}, NoiseCeiling.Unit.FRACTION);
        // 0.25/0.5 -> 50; 0.81/0.25 > 1 -> 100; any r at ceiling 0 -> 100; negative r -> 0
        assertArrayEquals(
                new double[] {50, 100, 100, 0}, Metrics.challengeScores(new double[] {0.5, 0.9, 0.1, -0.7}, nc), 1e-9);
        assertEquals((2 * Math.sqrt(0.5) + 0.5) / 4, Metrics.boundOfMeanR(nc), 1e-9);
        assertTrue(assertThrows(
                        InputException.class, () -> NoiseCeiling.of("nc", new float[] {40}, NoiseCeiling.Unit.FRACTION))
                .getMessage()
                .toLowerCase(Locale.ROOT)
                .contains("percent"));
    }

    @Test
    void predictionsInDoubleKeepTheirCorrelationFarFromZero() {
        float[] t = gaussian(37 * 11, 2, 0);
        double[] p = new double[t.length];
        SplittableRandom random = new SplittableRandom(1);
        Arrays.setAll(p, i -> t[i] + random.nextGaussian());
        PearsonAccumulator near = new PearsonAccumulator(11), far = new PearsonAccumulator(11);
        near.add(p, t, 37);
        far.add(Arrays.stream(p).map(x -> x + 1e9).toArray(), t, 37);
        // A double near 1e9 has an absolute precision of 2^-24.
        assertArrayEquals(near.r(), far.r(), 1e-6);
    }

    @Test
    void studentIntervalMatchesHandCalculation() {
        // mean 2, s = 1, n = 3, t(2) at 95 % = 4.302653
        Bootstrap.Interval i = Bootstrap.meanInterval(new double[] {1, 2, 3}, 0.95);
        assertEquals(2, i.mean(), 1e-12);
        assertEquals(2 - 4.302653 / Math.sqrt(3), i.low(), 1e-5);
    }
}
