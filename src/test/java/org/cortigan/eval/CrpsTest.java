// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;
import org.cortigan.cortex.MissingVertices;
import org.junit.jupiter.api.Test;

class CrpsTest {
    /** Simpson's rule. */
    private static double integral(DoubleUnaryOperator f, double from, double to, int halves) {
        double h = (to - from) / halves, sum = 0;
        for (int i = 0; i <= halves; i++)
            sum += (i == 0 || i == halves ? 1 : i % 2 == 1 ? 4 : 2) * f.applyAsDouble(from + i * h);
        return sum * h / 3;
    }

    private static double density(double x) {
        return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    }

    /** The definition: the integral over x of (P(X <= x) - [y <= x])^2. Beyond 14 deviations nothing is left. */
    @Test
    void ofANormalDistributionIsTheIntegralThatDefinesIt() {
        int n = 2000;
        for (double y : new double[] {0, 0.3, -1, 2.5, -4, 8.9, 9, -9.1, 12}) {
            double below = integral(x -> Math.pow(cumulative(x), 2), -14, y, n);
            double above = integral(x -> Math.pow(cumulative(-x), 2), y, 14, n);
            // Steps h of at most 0.013: h^4 / 180 times a fourth derivative below 10 times a range of 28.
            assertEquals(below + above, Crps.ofNormal(y), 5e-8, "at " + y);
        }
        assertEquals(1e6 - 1 / Math.sqrt(Math.PI), Crps.ofNormal(-1e6), 1e-9);
    }

    private static double cumulative(double x) {
        return x < -14 ? 0 : 0.5 + Math.signum(x) * integral(CrpsTest::density, 0, Math.abs(x), 1000);
    }

    /** At y = 0 it is 2 phi(0) - 1 / sqrt(pi); its mean over y ~ N(0, 1) is that of a calibrated forecast. */
    @Test
    void ofANormalDistributionMatchesKnownValues() {
        assertEquals((Math.sqrt(2) - 1) / Math.sqrt(Math.PI), Crps.ofNormal(0), 1e-15);
        double mean = integral(y -> density(y) * Crps.ofNormal(y), -14, 14, 2000);
        assertEquals(1 / Math.sqrt(Math.PI), mean, 1e-12);
    }

    @Test
    void aSeriesThatEndsAgreesWithTheTailAroundIt() {
        // The score has the slope 1 in z there.
        assertEquals(Crps.ofNormal(Math.nextDown(9.0)), Crps.ofNormal(9), 1e-14);
    }

    @Test
    void byHand() {
        // |1 - 3|, |2 - 3|, |6 - 3|: 2; distances 1, 5, 4 over 3 * 2.
        assertEquals(2 - 10.0 / 6, Crps.ofSamples(new double[] {6, 1, 2}, 3), 1e-15);
        Crps c = new Crps(new double[] {1, 3, 8}, new double[] {4, 4, 8});
        assertEquals(0.25, c.skill(), 1e-15, "the ratio of the means, not the mean of the ratios");
        assertEquals(0.5, c.of(new int[] {0, 1}).skill(), 1e-15);
    }

    private static float[] random(SplittableRandom random, int n, double scale) {
        float[] x = new float[n];
        for (int i = 0; i < n; i++) x[i] = (float) (scale * random.nextGaussian());
        return x;
    }

    /** Blocks of several sizes, more vertices than a task has, and vertices of different units. */
    @Test
    void ofAllPhotographsIsTheMeanOverPairs() {
        int vertices = 1100, k = 5;
        float[] deviations = new float[vertices];
        for (int v = 0; v < vertices; v++) deviations[v] = 0.01f + v;
        int[] rows = {3, 5, 2};
        SampleAccumulator acc = new SampleAccumulator(deviations, new int[] {1, k}, false);
        SplittableRandom random = new SplittableRandom(3);
        double[] want = new double[vertices], climatology = new double[vertices];
        for (int n : rows) {
            float[] y = random(random, n * vertices, 100);
            float[][] s = new float[k][];
            acc.begin(y, n);
            for (int i = 0; i < k; i++) acc.add(s[i] = random(random, n * vertices, 50));
            for (int at = 0; at < n * vertices; at++) {
                double errors = 0, distances = 0;
                for (int i = 0; i < k; i++) {
                    errors += Math.abs((double) s[i][at] - y[at]) / k;
                    for (int j = 0; j < i; j++) distances += Math.abs((double) s[i][at] - s[j][at]) / (k * (k - 1));
                }
                int v = at % vertices;
                want[v] += (errors - distances) / 10 / deviations[v];
                climatology[v] += Crps.ofNormal((double) y[at] / deviations[v]) / 10;
            }
        }
        Crps got = acc.scores(new int[0]).crps();
        for (int v = 0; v < vertices; v++) {
            // Sums of 10 photographs and 25 numbers below 500, each rounded by 2^-53.
            assertEquals(want[v], got.samples()[v], 10 * 25 * 500 * 0x1p-53 / deviations[v], "vertex " + v);
            assertEquals(climatology[v], got.climatology()[v], 1e-13 * climatology[v], "vertex " + v);
        }
    }

    /** Vertex 1 has one response for all photographs, and that of vertex 2 did not vary in training. */
    @Test
    void aConstantResponseHasNoSkillAndAnUnknownDeviationDoesNotCount() {
        SampleAccumulator acc = new SampleAccumulator(new float[] {2, 0.5f, Float.NaN}, new int[] {2}, false);
        float[] y = {1, 3, 5, -2, 3, 6, 4, 3, 7};
        acc.begin(y, 3);
        acc.add(new float[] {0, 3, 4, 1, 3, 4, 3, 3, 4});
        acc.add(new float[] {2, 3, 6, 0, 3, 6, 7, 3, 6});
        SampleScores scores = acc.scores(new int[0]);
        Crps crps = scores.crps();
        // Mean errors 1, 2.5 and 2 less half of the distances 2, 1 and 4, in units of 2.
        double samples = (0 + 2 + 0) / 3.0 / 2;
        double climatology = (Crps.ofNormal(0.5) + Crps.ofNormal(-1) + Crps.ofNormal(2)) / 3;
        assertEquals(samples, crps.samples()[0], 1e-15);
        assertEquals(climatology, crps.climatology()[0], 1e-15);
        assertEquals(Crps.ofNormal(6), crps.climatology()[1], 1e-14);
        assertEquals(0, crps.of(new int[] {1}).skill(), "samples that hit it are no skill");
        assertTrue(Double.isNaN(crps.samples()[2]) && Double.isNaN(crps.climatology()[2]));
        assertTrue(Double.isNaN(crps.of(new int[] {2}).skill()));
        double far = crps.climatology()[1];
        assertEquals(1 - (samples + far) / (climatology + far), crps.skill(), 1e-14);
        String table = Evaluation.of(
                        "run",
                        acc.ofAll(),
                        2,
                        List.of(),
                        null,
                        null,
                        MissingVertices.NONE,
                        new int[0],
                        new Evaluation.Prediction("mean of 2 samples", scores),
                        null)
                .table();
        assertTrue(table.contains(" CRPS skill") && table.contains("1 vertices varied too little in training"), table);
    }

    @Test
    void isUnknownForOneSampleAndForAntitheticOnes() {
        float[] y = {1, 2, 3}, s = {2, 2, 1};
        for (boolean antithetic : new boolean[] {false, true}) {
            SampleAccumulator acc =
                    new SampleAccumulator(new float[] {1}, antithetic ? new int[] {4} : new int[] {1}, antithetic);
            acc.begin(y, 3);
            for (int i = 0; i < acc.samples(); i++) acc.add(s);
            SampleScores scores = acc.scores(new int[0]);
            assertNull(scores.crps());
            assertEquals(antithetic, scores.json().get("antithetic"));
            String why = antithetic ? "because antithetic samples" : "of one sample: give --samples 2 or more";
            String lines = scores.lines().toString();
            assertTrue(lines.contains("CRPS skill: unknown" + (antithetic ? ", " : " ") + why), lines);
        }
        SampleAccumulator two = new SampleAccumulator(new float[] {1}, new int[] {2}, false);
        two.begin(y, 3);
        for (int i = 0; i < 2; i++) two.add(s);
        SampleScores scores = two.scores(new int[0]);
        // Equal samples: the mean error, 1, 0 and 2.
        assertEquals(1, scores.crps().samples()[0], 1e-15);
        assertTrue(scores.lines().stream().noneMatch(line -> line.contains("CRPS")), scores.toString());
    }
}
