// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.cortigan.io.Tensors.doubles;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.io.SafeTensors;
import org.junit.jupiter.api.Test;

/** Compares with scikit-learn, scipy and numpy (tools/golden_evaluation.py). */
class GoldenEvaluationTest {
    private static final Path FILE = Path.of("src/test/resources/metrics/evaluation.safetensors");
    private static final int N = 57, V = 40;

    private static void close(double[] want, double[] got) {
        assertEquals(want.length, got.length);
        // Both are 1 minus a ratio: its rounding counts relative to the larger of the two.
        for (int v = 0; v < want.length; v++)
            assertEquals(want[v], got[v], 1e-12 * Math.max(1, Math.abs(want[v])), "vertex " + v);
    }

    @Test
    void explainedVarianceAndR2MatchScikitLearn() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            float[] p = t.floats("prediction"), y = t.floats("target");
            PearsonAccumulator acc = new PearsonAccumulator(V);
            for (int at = 0; at < N; at += 10) { // in pieces, as a data set is streamed
                int n = Math.min(10, N - at);
                acc.add(Arrays.copyOfRange(p, at * V, (at + n) * V), Arrays.copyOfRange(y, at * V, (at + n) * V), n);
            }
            close(doubles(t, "explained_variance"), acc.explainedVariance());
            close(doubles(t, "r2"), acc.r2());
        }
    }

    @Test
    void falseDiscoveryRatesMatchScipy() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            assertArrayEquals(doubles(t, "q"), Significance.falseDiscoveryRates(doubles(t, "p")), 1e-15);
        }
    }

    @Test
    void noiseCeilingsOfTrialsMatchNumpy() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            float[] trials = t.floats("trials"); // [3, 50, 6]
            TrialVariance variance = new TrialVariance(6, 3);
            for (int i = 0; i < 50; i++) {
                float[] image = new float[18];
                for (int k = 0; k < 3; k++) System.arraycopy(trials, (k * 50 + i) * 6, image, k * 6, 6);
                variance.add(image);
            }
            NoiseCeiling got = variance.noiseCeiling(AveragedTrials.of(3));
            double[] want = doubles(t, "noise_ceiling");
            for (int v = 0; v < 6; v++) assertEquals(want[v], got.fraction(v), 1e-12, "vertex " + v);
            assertEquals(1, got.fraction(5), "without noise");
        }
    }

    @Test
    void noiseCeilingsOfNcsnrMatchNumpy() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            double[] seen = doubles(t, "seen"), want = doubles(t, "noise_ceiling_seen");
            NoiseCeiling got = NoiseCeiling.fromNcsnr(
                    "golden",
                    t.floats("ncsnr"),
                    AveragedTrials.ofSeen((int) seen[0], (int) seen[1], (int) seen[2]),
                    "Check");
            // ncsnr is rounded to float.
            for (int v = 0; v < 5; v++) assertEquals(want[v], got.fraction(v), 1e-7, "vertex " + v);
            // Images that were all seen three times have means of three trials.
            assertEquals(1.0 / 3, AveragedTrials.ofSeen(10, 0, 0).noiseShare(), 1e-15);
        }
    }
}
