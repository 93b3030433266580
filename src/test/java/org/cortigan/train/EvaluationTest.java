// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.DoubleBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.PhotographScores;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.jni.Memory;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.PearsonMoments;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares the correlation computed on the device of the predictions with the host's. */
class EvaluationTest {
    /** Data of which a batch of responses is larger than the inputs that are copied with every run. */
    static final TrainingData WIDE = new TrainerTest.Toy(15, 40, 41, 16);

    static Model trained(Path folder, Device device) {
        Recipe r = DeviceTrainingTest.recipe();
        RunFolder.create(folder);
        try (Trainer t = new Trainer(r, WIDE, device, folder)) {
            t.run();
        }
        return Model.load(RunFolder.last(folder));
    }

    /**
     * Evaluates in batches of 4, the last of which is smaller; repeatedly, because a predictor evaluates after every
     * epoch.
     */
    static void agrees(Model m, Device d) {
        TrainingData data =
                new Changed(WIDE, (i, responses, at) -> responses.putFloat(at, 0.1f)); // one vertex is constant
        int[] all = IntStream.range(0, data.count()).toArray();
        try (Predictor plain = m.predictor(d, 4);
                Predictor p = m.evaluator(d, 4, "")) {
            // The host gets the reference's predictions rounded to f32.
            double[] tolerance = new double[plain.columns()];
            Arrays.fill(tolerance, 1e-12);
            if (d.reference()) tolerance = roundingOfR(plain, data);
            PearsonAccumulator want = Ensemble.evaluate(plain, data, all), got = Ensemble.evaluate(p, data, all);
            assertTrue(p.evaluates() && !plain.evaluates());
            assertEquals(15, got.images());
            close(want, got, tolerance, d);
            assertEquals(1, got.constantTargets(), d.name());
            assertEquals(want.constantPredictions(), got.constantPredictions());
            int[] few = {3, 9};
            close(Ensemble.evaluate(plain, data, few), Ensemble.evaluate(p, data, few), tolerance, d);
            assertArrayEquals(got.r(), Ensemble.evaluate(p, data, all).r(), d.name());
            assertEquals(0, Ensemble.evaluate(p, data, new int[0]).images());
            for (Predictor x : List.of(plain, p)) {
                InputException e = assertThrows(
                        InputException.class, () -> Ensemble.evaluate(x, Changed.withNan(data, 6, 1), all));
                assertTrue(e.getMessage().contains("target, image row 6, vertex 1"), e.getMessage());
            }
            assertArrayEquals(got.r(), Ensemble.evaluate(p, data, all).r(), "the refused batch left no trace");
        }
    }

    private static void close(PearsonAccumulator want, PearsonAccumulator got, double[] tolerance, Device d) {
        double[] w = want.r(), g = got.r();
        for (int v = 0; v < w.length; v++) assertEquals(w[v], g[v], tolerance[v], d.name() + ", vertex " + v);
    }

    /**
     * How far rounding predictions p to f32 moves r of each vertex: an error e moves it by at most 2 |e| / |p - mean
     * p|, and e is at most 2^-24 |p|.
     */
    private static double[] roundingOfR(Predictor predictor, TrainingData data) {
        int n = data.count(), v = predictor.columns();
        double[] sum = new double[v], squares = new double[v];
        for (int i = 0; i < n; i++) {
            data.image(i, predictor.imageBytesOfBatch());
            predictor.run();
            float[] p = new float[v];
            predictor.read(p, 0, 1);
            for (int k = 0; k < v; k++) {
                sum[k] += p[k];
                squares[k] += (double) p[k] * p[k];
            }
        }
        double[] bound = new double[v];
        Arrays.setAll(bound, k -> 2 * 0x1p-24 * Math.sqrt(squares[k] / (squares[k] - sum[k] * sum[k] / n)));
        return bound;
    }

    @Test
    void momentsOfADeviceMatchTheHostsCorrelation(@TempDir Path dir) {
        long live = Memory.live();
        Model m = trained(dir, CpuDevice.best(2));
        for (Device d : new Device[] {CpuDevice.best(2), CpuDevice.doubleReference(), new SimDevice(false)})
            try (d) {
                agrees(m, d);
            }
        assertEquals(live, Memory.live());
    }

    /** The scores of photographs come from the predictions of a device, whose moments they leave as they are. */
    @Test
    void scoresOfPhotographsChangeNoCorrelation(@TempDir Path dir) {
        Model m = trained(dir, CpuDevice.best(2));
        int[] images = {2, 3, 5, 7, 11, 13};
        for (Device d : new Device[] {CpuDevice.best(2), new SimDevice(false)})
            try (d;
                    Predictor plain = m.predictor(d, 4);
                    Predictor p = m.evaluator(d, 4, "")) {
                PhotographScores host = scores(images), device = scores(images);
                Ensemble onHost = new Ensemble(List.of(plain)), onDevice = new Ensemble(List.of(p));
                double[] want = onDevice.evaluate(size -> WIDE, images).r();
                assertArrayEquals(
                        want,
                        onDevice.evaluate(size -> WIDE, images, null, null, device)
                                .r(),
                        d.name());
                onHost.evaluate(size -> WIDE, images, null, null, host);
                String csv = new String(device.csv(), StandardCharsets.UTF_8);
                assertEquals(new String(host.csv(), StandardCharsets.UTF_8), csv, d.name());
                for (int image : images) assertTrue(csv.contains(image + "," + image + ".png,both,,all vertices,81,"));
                assertFalse(csv.contains(",\n"), "every photograph has an r");
            }
    }

    private static PhotographScores scores(int[] images) {
        List<String> files = Arrays.stream(images).mapToObj(i -> i + ".png").toList();
        return new PhotographScores(images, files, 40, 81, List.of(), new int[0]);
    }

    private static List<Device> devices() {
        List<Device> d = new ArrayList<>();
        for (CpuDevice.Isa isa : CpuDevice.Isa.values())
            if (isa.ordinal() <= CpuDevice.best(1).isa().ordinal()) d.add(CpuDevice.of(isa, 2));
        d.add(new SimDevice(false));
        return d;
    }

    /**
     * Checks the moments to the rounding of double. Predictions and targets are near 1000; column 2 is constant in
     * both.
     */
    @Test
    void momentsAreExactAndConstantColumnsAreExactlyConstant() {
        int b = 70, v = 37;
        int[] blocks = {70, 1, 0, 64, 33};
        for (Device d : devices()) {
            Graph g = new Graph();
            g.output(
                    "moments",
                    g.apply(
                                    new PearsonMoments(),
                                    g.input("p", DType.F32, b, v),
                                    g.input("t", DType.F32, b, v),
                                    g.input("rows", DType.I32, 2),
                                    g.variable("m", DType.F64, PearsonMoments.ROWS, v))
                            .output(0));
            PearsonAccumulator want = new PearsonAccumulator(v), got = new PearsonAccumulator(v);
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                for (int k = 0, before = 0; k < blocks.length; before += blocks[k++]) {
                    float[] p = data(1 + k, b, v), t = data(100 + k, b, v);
                    s.input("p").write(p);
                    s.input("t").write(t);
                    s.input("rows").set(0, before);
                    s.input("rows").set(1, blocks[k]);
                    s.run();
                    want.add(p, t, blocks[k]);
                }
                DoubleBuffer m = s.output("moments").snapshot().asDoubleBuffer();
                for (int row = 0; row < PearsonMoments.ROWS; row++)
                    for (int i = 0; i < v; i++)
                        if (row < 2 && i != 2) assertEquals(1000, m.get(row * v + i), 1);
                        else if (row < 2) assertEquals(0.1f, m.get(row * v + i), d.name());
                        else if (i == 2) assertEquals(0, m.get(row * v + i), d.name());
                        else assertNotEquals(0, m.get(row * v + i));
                assertTrue(got.merge(m, want.images()));
                // a sum of 168 squares of differences; the numbers are a thousand times as large as their differences
                assertArrayEquals(want.r(), got.r(), 168 * 1000 * 0x1p-52, d.name());
                assertEquals(1, got.constantPredictions());
                s.input("rows").set(1, 1);
                s.input("p").fill(Double.POSITIVE_INFINITY);
                s.run();
                assertFalse(got.merge(s.output("moments").snapshot().asDoubleBuffer(), 1), "infinite");
                assertEquals(168, got.images());
            }
        }
    }

    private static float[] data(long seed, int b, int v) {
        float[] f = CaseInputs.gaussian(new SplittableRandom(seed), b * v);
        for (int i = 0; i < f.length; i++) f[i] = i % v == 2 ? 0.1f : f[i] + 1000;
        return f;
    }
}
