// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Checks every format of an evaluation and of a comparison byte for byte, because scripts outside this project read
 * them.
 */
class ReportsTest {
    private static final Path EXPECTED = Path.of("src/test/resources/reports");

    private static final float[] PREDICTION = {
        1, 2, 3, 4, 7, 6, //
        2, 1, 5, 4, 5, 8, //
        3, 5, 2, 4, 3, 7, //
        4, 3, 1, 4, 2, 9, //
    };
    private static final float[] RESPONSE = {
        2, 1, 4, 3, 6, 5, //
        3, 3, 6, 1, 7, 5, //
        5, 4, 1, 2, 2, 5, //
        6, 2, 2, 5, 1, 5, //
    };
    private static final List<VertexGroup> GROUPS = List.of(
            new VertexGroup("prf-visualrois", "V1v", "lh", new int[] {0, 2}),
            new VertexGroup("floc-faces", "FFA-1", "rh", new int[] {1}),
            new VertexGroup("floc-faces", "OFA", "rh", new int[0]));

    @TempDir
    Path folder;

    private static Evaluation evaluation(NoiseCeiling ceiling) {
        PearsonAccumulator accumulator = new PearsonAccumulator(6);
        accumulator.add(PREDICTION, RESPONSE, 4);
        return Evaluation.of("run on the test split", accumulator, 3, GROUPS, ceiling, null);
    }

    /** With -Dcortigan.expected=write, writes the expected file instead, for a reviewer to read. */
    private static void same(String file, String actual) throws IOException {
        if ("write".equals(System.getProperty("cortigan.expected"))) Files.writeString(EXPECTED.resolve(file), actual);
        assertEquals(Files.readString(EXPECTED.resolve(file)), actual, file);
    }

    private void same(String name, Evaluation evaluation) throws IOException {
        same(name + ".txt", evaluation.table());
        evaluation.write(folder);
        same(name + ".csv", Files.readString(folder.resolve("roi.csv")));
        same(name + ".json", Files.readString(folder.resolve("metrics.json")));
        assertEquals(Files.readString(folder.resolve("metrics.json")), Json.pretty(evaluation.json()));
    }

    @Test
    void evaluationWithNoiseCeilings() throws IOException {
        float[] ceilings = {0.5f, 0, 0.9f, 0.25f, 0.4f, 1};
        same("evaluation", evaluation(NoiseCeiling.of("test", ceilings, NoiseCeiling.Unit.FRACTION)));
    }

    @Test
    void evaluationWithoutNoiseCeilings() throws IOException {
        same("evaluation-without-ceilings", evaluation(null));
    }

    @Test
    void evaluationWithAnUnknownNoiseCeilingAndSignificance() throws IOException {
        PearsonAccumulator accumulator = new PearsonAccumulator(6);
        accumulator.add(PREDICTION, RESPONSE, 4);
        float[] ceilings = {0.5f, 0, Float.NaN, 0.25f, 0.4f, 1};
        same(
                "evaluation-significance",
                Evaluation.of(
                        "run on the test split",
                        accumulator,
                        3,
                        GROUPS,
                        NoiseCeiling.of("test", ceilings, NoiseCeiling.Unit.FRACTION),
                        Significance.of(new double[] {0.001, 0.5, 0.01, 1, 0.02, 1}, 999)));
        for (String file : List.of("lh_p.npy", "rh_q.npy")) assertTrue(Files.exists(folder.resolve(file)));
        evaluation(null).write(folder);
        for (String file : List.of("lh_p.npy", "rh_q.npy"))
            assertFalse(Files.exists(folder.resolve(file)), "those of an earlier evaluation are deleted");
    }

    @Test
    void evaluationOfSamples() throws IOException {
        PearsonAccumulator accumulator = new PearsonAccumulator(6);
        accumulator.add(PREDICTION, RESPONSE, 4);
        Crps crps =
                new Crps(new double[] {0.5, 0.25, 0.375, 0.625, 0.5, 0.125}, new double[] {0.5, 0.5, 0.5, 0.5, 1, 1});
        SampleScores scores = new SampleScores(
                List.of(new SampleScores.Score(1, 0.25, 0.2), new SampleScores.Score(2, 0.5, 0.4)),
                0.9,
                0.75,
                false,
                crps);
        same(
                "evaluation-samples",
                Evaluation.of(
                        "run on the test split",
                        accumulator,
                        3,
                        GROUPS,
                        null,
                        null,
                        MissingVertices.NONE,
                        new int[] {5},
                        new Evaluation.Prediction("mean of 2 samples", scores),
                        null));
    }

    private static ComparisonTable.Row row(
            String name, boolean ridge, double[] r, Double bound, double[] score, String... notes) {
        List<Long> seeds = List.of(0L, 1L, 5L).subList(0, r.length);
        Map<Metric, double[]> figures = new EnumMap<>(Metric.class);
        figures.put(Metric.MEAN_R, r);
        if (bound != null)
            figures.put(Metric.BOUND, Arrays.stream(r).map(x -> bound).toArray());
        figures.put(Metric.SCORE, score);
        return new ComparisonTable.Row(
                name,
                2,
                ridge
                        ? new ComparisonTable.Setup(
                                "100 components, ridge", null, "squared error + L2", null, null, "none")
                        : new ComparisonTable.Setup(
                                "ViT", 1_234_567L, "correlation + L1, GAN", 20, r.length > 2, "2 MLP, per hemisphere"),
                "test, 8 images",
                ridge ? List.of() : seeds,
                ridge ? new double[0] : new double[] {90, 150},
                figures,
                List.of(notes));
    }

    private static ComparisonTable comparison() {
        return new ComparisonTable(
                List.of("data: /d, subjects [2], seeds [0, 1, 5]", "in every recipe: train.weight<1"),
                List.of(
                        row("a", false, new double[] {0.3, 0.32, 0.34}, 0.5, new double[] {40, 41.5, 44}),
                        row(
                                "a without GAN",
                                false,
                                new double[] {0.61, 0.52},
                                0.5,
                                new double[] {90, 80},
                                "seed 5: x | \"y\""),
                        row(
                                "b",
                                false,
                                new double[0],
                                null,
                                new double[0],
                                "seed 0: not run yet",
                                "seed 1: not run yet"),
                        row("ridge baseline", true, new double[] {0.125}, 0.5, new double[] {12.5})),
                List.of(
                        new ComparisonTable.Difference("a", "a without GAN", 2, new double[] {-0.31, -0.2}),
                        new ComparisonTable.Difference("a", "b", 2, new double[] {0.1, 0.12, 0.11}),
                        new ComparisonTable.Difference("b", "a", 2, new double[] {0.25}),
                        new ComparisonTable.Difference("b", "b", 2, new double[0])));
    }

    @Test
    void comparisonOfRuns() throws IOException {
        same("comparison.md", comparison().markdown());
        same("comparison.csv", comparison().csv());
        same("comparison.html", comparison().html());
    }

    @Test
    void comparisonOfRunsWithoutNoiseCeilings() throws IOException {
        ComparisonTable table = new ComparisonTable(
                List.of(), List.of(row("a", false, new double[] {0.3}, null, new double[0])), List.of());
        same("comparison-without-ceilings.md", table.markdown());
        same("comparison-without-ceilings.csv", table.csv());
        same("comparison-without-ceilings.html", table.html());
    }
}
