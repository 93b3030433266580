// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Samples of a Gaussian world: a response is R times its conditional mean plus noise, with unit variance. */
class SampleAccumulatorTest {
    private static final int VERTICES = 120, IMAGES = 1000, BLOCK = 100;

    /** Five standard errors of a mean r over all vertices, each of 1 / sqrt(images). */
    private static final double TOLERANCE = 5 / Math.sqrt((double) VERTICES * IMAGES);

    /**
     * @param spread deviation of the samples over that of the responses around their mean
     * @param scale of the vertices: factors from 1 to this one
     */
    private static SampleAccumulator accumulated(
            double r, int[] counts, boolean antithetic, double spread, double scale) {
        float[] deviations = new float[VERTICES];
        for (int v = 0; v < VERTICES; v++) deviations[v] = (float) factor(v, scale);
        SampleAccumulator acc = new SampleAccumulator(deviations, counts, antithetic);
        SplittableRandom random = new SplittableRandom(5);
        double noise = Math.sqrt(1 - r * r);
        float[] mean = new float[BLOCK * VERTICES], target = new float[mean.length];
        float[] sample = new float[mean.length], deviation = new float[mean.length];
        for (int block = 0; block < IMAGES / BLOCK; block++) {
            for (int i = 0; i < mean.length; i++) {
                mean[i] = (float) (r * random.nextGaussian());
                target[i] = (float) (factor(i, scale) * (mean[i] + noise * random.nextGaussian()));
            }
            acc.begin(target, BLOCK);
            for (int k = 0; k < acc.samples(); k++) {
                for (int i = 0; i < mean.length; i++) {
                    deviation[i] =
                            antithetic && k % 2 == 1 ? -deviation[i] : (float) (spread * noise * random.nextGaussian());
                    sample[i] = (float) (factor(i, scale) * (mean[i] + deviation[i]));
                }
                acc.add(sample);
            }
        }
        return acc;
    }

    private static double factor(int i, double scale) {
        return 1 + (scale - 1) * (i % VERTICES) / VERTICES;
    }

    /** r of the mean of K samples if a sample has the distribution of the responses, whose mean has r. */
    private static double law(double r, int samples) {
        return r * r / Math.sqrt(r * r + (1 - r * r) / samples);
    }

    @Test
    void calibratedSamplesFollowTheLaw() {
        for (double r : new double[] {0.3, 0.5}) {
            int[] counts = {1, 2, 4, 8};
            SampleScores s = accumulated(r, counts, false, 1, 20).scores(new int[0]);
            assertEquals(r * r, s.means().get(0).meanR(), TOLERANCE, "one sample has r squared");
            for (int i = 0; i < counts.length; i++)
                assertEquals(law(r, counts[i]), s.means().get(i).meanR(), TOLERANCE, "K = " + counts[i]);
            assertEquals(1, s.spread(), 0.02);
            assertEquals(r, s.extrapolatedR(), 2 * TOLERANCE);
        }
    }

    /**
     * Five standard errors of the skill of eight calibrated samples. By Poincare's inequality the variance of a score
     * is at most the mean squared length of its gradient in the normal numbers that it is made of. Signs of distances
     * of normal numbers with one in common have the mean product 1/3: with residual deviation s this is s^2 (1/8 +
     * 7/8/3 + (1 + 1/7 + 6/7/3 - 2/3) / 8) = 0.72^2 s^2 for the samples, and 1/3 = 0.58^2 for the climatology, whose
     * mean score is 1 / sqrt(pi).
     */
    private static double skillTolerance(double s) {
        return 5 * (0.72 + 0.58) * s * Math.sqrt(Math.PI) / Math.sqrt((double) VERTICES * IMAGES);
    }

    /** The mean score of a calibrated normal forecast is proportional to its deviation. */
    @Test
    void calibratedSamplesHaveTheSkillOfTheirResidual() {
        for (double r : new double[] {0, 0.5, 0.8}) {
            double residual = Math.sqrt(1 - r * r);
            Crps crps = accumulated(r, new int[] {8}, false, 1, 20)
                    .scores(new int[0])
                    .crps();
            assertEquals(1 - residual, crps.skill(), skillTolerance(residual), "r = " + r);
        }
        double calibrated = 1 - Math.sqrt(1 - 0.25), tolerance = skillTolerance(Math.sqrt(0.75));
        for (double spread : new double[] {0.3, 2})
            assertTrue(
                    accumulated(0.5, new int[] {8}, false, spread, 1)
                                    .scores(new int[0])
                                    .crps()
                                    .skill()
                            < calibrated - tolerance,
                    "a wrong spread scores worse");
    }

    @Test
    void overconfidentSamplesSpreadLess() {
        SampleScores s = accumulated(0.4, new int[] {4}, false, 0.5, 1).scores(new int[0]);
        assertEquals(0.25, s.spread(), 0.01);
        assertEquals(0.4, s.extrapolatedR(), TOLERANCE);
    }

    @Test
    void antitheticPairsHaveTheMean() {
        SampleScores s = accumulated(0.4, new int[] {1, 2, 4}, true, 1, 5).scores(new int[0]);
        assertEquals(0.16, s.means().get(0).meanR(), TOLERANCE);
        assertEquals(0.4, s.means().get(1).meanR(), TOLERANCE);
        assertEquals(0.4, s.means().get(2).meanR(), TOLERANCE);
        assertEquals(1, s.spread(), 0.02);
        assertEquals(s.means().get(2).meanR(), s.extrapolatedR(), TOLERANCE);
    }

    @Test
    void verticesThatWereNotMeasuredDoNotCount() {
        SampleAccumulator a = new SampleAccumulator(new float[] {1, 1}, new int[] {1}, false);
        a.begin(new float[] {1, 0, 2, 0, 4, 0}, 3);
        a.add(new float[] {1, 3, 2, 1, 4, 2});
        assertEquals(0.5, a.scores(new int[0]).means().get(0).meanR(), 1e-12);
        assertEquals(1, a.scores(new int[] {1}).means().get(0).meanR(), 1e-12);
    }

    @Test
    void unknownWithoutEnoughSamples() {
        SampleScores one = accumulated(0.4, new int[] {1}, false, 1, 1).scores(new int[0]);
        assertTrue(Double.isNaN(one.spread()) && Double.isNaN(one.extrapolatedR()));
        assertEquals(0.16, one.means().get(0).meanR(), TOLERANCE);
        assertEquals(2, one.lines().size());
        SampleScores pair = accumulated(0.4, new int[] {2}, true, 1, 1).scores(new int[0]);
        assertEquals(1, pair.spread(), 0.02);
        assertTrue(Double.isNaN(pair.extrapolatedR()), "one pair does not tell how pairs vary");
        SampleScores three = accumulated(0.4, new int[] {3}, true, 1, 1).scores(new int[0]);
        assertTrue(Double.isNaN(three.spread()), "the third has no partner");
        SampleAccumulator constant = new SampleAccumulator(new float[] {1}, new int[] {1, 2}, false);
        constant.begin(new float[] {1, 1}, 2);
        constant.add(new float[] {1, 2});
        constant.add(new float[] {2, 1});
        assertTrue(Double.isNaN(constant.scores(new int[0]).spread()), "a constant response has no correlation");
        assertEquals(0, constant.ofAll().r()[0]);
    }

    @Test
    void blocksOfImagesDoNotMatter() {
        float[] target = {1, 2, 4, 7}, first = {1, 3, 2, 5}, second = {0, 1, 4, 4};
        SampleAccumulator whole = new SampleAccumulator(new float[] {1}, new int[] {1, 2}, false);
        whole.begin(target, 4);
        whole.add(first);
        whole.add(second);
        SampleAccumulator halves = new SampleAccumulator(new float[] {1}, new int[] {1, 2}, false);
        for (int at = 0; at < 4; at += 2) {
            halves.begin(Arrays.copyOfRange(target, at, at + 2), 2);
            halves.add(Arrays.copyOfRange(first, at, at + 2));
            halves.add(Arrays.copyOfRange(second, at, at + 2));
        }
        SampleScores a = whole.scores(new int[0]), b = halves.scores(new int[0]);
        assertEquals(a.spread(), b.spread(), 1e-12);
        assertEquals(a.extrapolatedR(), b.extrapolatedR(), 1e-12);
        assertEquals(a.means().get(1).meanR(), b.means().get(1).meanR(), 1e-12);
        // By hand: sums of squares of targets 21, of means (0.5, 2, 3, 4.5) 8.5, products 13.
        assertEquals(13 / Math.sqrt(21 * 8.5), a.means().get(1).meanR(), 1e-12);
        // Variances of the two samples 0.5, 2, 2, 0.5: 1.25 on average, half of it in their mean's variance 8.5 / 3.
        assertEquals(13 / Math.sqrt(21 * (8.5 - 3 * 1.25 / 2)), a.extrapolatedR(), 1e-12);
        assertEquals(1.25 / ((8.5 + 21 - 2 * 13) / 3 - 1.25 / 2), a.spread(), 1e-12);
    }
}
