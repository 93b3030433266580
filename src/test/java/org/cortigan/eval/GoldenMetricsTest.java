// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.cortigan.io.Tensors.doubles;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.Csv;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.SafeTensors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares metrics with scipy's and numpy's (tools/golden_metrics.py). */
class GoldenMetricsTest {
    private static final Path FILE = Path.of("src/test/resources/metrics/metrics.safetensors");
    private static final int N = 57, V = 40;

    private static PearsonAccumulator accumulated(SafeTensors t) {
        PearsonAccumulator acc = new PearsonAccumulator(V);
        float[] p = t.floats("prediction"), y = t.floats("target");
        for (int at = 0; at < N; at += 10) { // in pieces, as a data set is streamed
            int n = Math.min(10, N - at);
            acc.add(Arrays.copyOfRange(p, at * V, (at + n) * V), Arrays.copyOfRange(y, at * V, (at + n) * V), n);
        }
        return acc;
    }

    @Test
    void correlationAndScoreMatchScipy() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            PearsonAccumulator acc = accumulated(t);
            double[] r = acc.r();
            // At offsets of 1000 and 3000 a float has an absolute precision of 2^-13, but both sides start from the
            // same floats. They differ only by double rounding of centred sums, 57 * 2^-52 * (3000 / 1)^2.
            assertArrayEquals(doubles(t, "r"), r, 57 * 0x1p-52 * 9e6);
            assertEquals(1, acc.constantPredictions());
            assertEquals(1, acc.constantTargets());
            NoiseCeiling nc = NoiseCeiling.of("golden", t.floats("noise_ceiling"), NoiseCeiling.Unit.FRACTION);
            assertArrayEquals(doubles(t, "scores"), Metrics.challengeScores(r, nc), 1e-4);
        }
    }

    @Test
    void theReportHasEveryRegionAndItsFiles(@TempDir Path dir) throws IOException {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            double[] r = doubles(t, "r");
            List<VertexGroup> groups = List.of(
                    new VertexGroup("a", "One", "lh", new int[] {0, 1, 2}),
                    new VertexGroup("a", "One", "rh", new int[] {4}),
                    new VertexGroup("a", "None, \"x\"\n\33[2J", "rh", new int[0]));
            NoiseCeiling nc = NoiseCeiling.of("golden", t.floats("noise_ceiling"), NoiseCeiling.Unit.FRACTION);
            Evaluation e = Evaluation.of("test", accumulated(t), 25, groups, nc, null);
            assertEquals(Arrays.stream(r).average().orElseThrow(), e.meanR(), 1e-6);
            Evaluation.Row one = e.rows().get(3),
                    right = e.rows().get(4),
                    none = e.rows().get(5);
            assertEquals((r[0] + r[1] + r[2]) / 3, one.figure(Metric.MEAN_R), 1e-6);
            assertEquals(
                    r[29], right.figure(Metric.MEDIAN_R), 1e-6); // vertex 4 of the right hemisphere has index 25 + 4
            assertEquals(0, none.vertices());
            assertFalse(none.has(Metric.MEAN_R));
            assertTrue(
                    e.table().contains("1 vertices with a constant prediction and 1 with a constant response"),
                    e.table());
            e.write(dir);
            try (NpyFile l = NpyFile.open(dir.resolve("lh_correlation.npy"));
                    NpyFile h = NpyFile.open(dir.resolve("rh_correlation.npy"))) {
                assertEquals(25, l.rows());
                assertEquals((float) r[25], h.toFloatArray()[0], 1e-6f);
            }
            List<List<String>> csv = Csv.parse(Files.readString(dir.resolve("roi.csv")));
            for (int i = 0; i < 6; i++) {
                assertEquals(csv.get(0).size(), csv.get(i + 1).size());
                assertEquals(e.rows().get(i).roi(), csv.get(i + 1).get(2));
            }
            assertTrue(e.table().contains("None, \"x\"\\u000a\\u001b[2J"), e.table());
            Map<String, Object> j = Json.readObject(dir.resolve("metrics.json"));
            assertEquals(6, ((List<?>) j.get("rows")).size());
            assertNull(Json.object(((List<?>) j.get("rows")).get(5), "row").get("mean_r"));
            Evaluation without = Evaluation.of("test", accumulated(t), 25, groups, null, null);
            assertFalse(without.rows().get(0).has(Metric.BOUND));
            assertTrue(without.table().contains("unknown"));
        }
    }
}
