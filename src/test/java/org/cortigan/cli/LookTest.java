// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.io.Csv;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyWriter;
import org.cortigan.io.SafeTensors;
import org.cortigan.train.RunFolder;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/**
 * The files of an evaluation that look at single photographs and into the model, of a subject with missing vertices.
 */
@Tag("slow")
class LookTest {
    /** Vertices of the left and the right hemisphere in the files, and one of the right without responses. */
    private static final int LEFT = 400, RIGHT = 420, MISSING = 7;

    private static final int IMAGES = 24, TEST = 14;

    @TempDir
    static Path dir;

    private static Path data;

    @BeforeAll
    static void write() {
        data = dir.resolve("data");
        SmallSubject.write(data, IMAGES, TEST);
        for (Path file : List.of(
                data.resolve("subj01/training_split/training_fmri/rh_training_fmri.npy"),
                data.resolve("subj01_held_out/rh_test_fmri.npy"))) {
            float[] y = read(file);
            for (int i = MISSING; i < y.length; i += RIGHT) y[i] = Float.NaN;
            NpyWriter.save(file, y, y.length / RIGHT, RIGHT);
        }
    }

    private static float[] read(Path npy) {
        try (NpyFile f = NpyFile.open(npy)) {
            return f.toFloatArray();
        }
    }

    private static void ok(Object... args) {
        StringWriter err = new StringWriter();
        CommandLine c =
                Main.commandLine().setOut(new PrintWriter(new StringWriter())).setErr(new PrintWriter(err));
        int code = c.execute(Arrays.stream(args).map(Object::toString).toArray(String[]::new));
        assertEquals(0, code, err.toString());
    }

    private static Path trained(String recipe, String... options) {
        Path run = dir.resolve(recipe);
        List<Object> args = new ArrayList<>(List.of("train", "-c", recipe, "--data", data, "--run", run));
        for (String o : new String[] {"train.epochs=1", "train.batch=8"}) args.addAll(List.of("-o", o));
        for (String o : options) args.addAll(List.of("-o", o));
        ok(args.toArray());
        return run;
    }

    private static List<?> list(SafeTensors t, String key) {
        return (List<?>) Json.parse(t.metadata().getOrDefault(key, ""), key);
    }

    private static double[] pattern(float[] left, float[] right, int image, float[] mean) {
        double[] y = new double[LEFT + RIGHT - 1];
        for (int v = 0; v < y.length; v++)
            y[v] = v < LEFT ? left[image * LEFT + v] : right[image * RIGHT + v - LEFT + (v - LEFT >= MISSING ? 1 : 0)];
        for (int v = 0; v < y.length; v++) y[v] -= mean[v];
        return y;
    }

    private static double pearson(double[] p, double[] t) {
        double mp = Arrays.stream(p).average().orElseThrow(),
                mt = Arrays.stream(t).average().orElseThrow();
        double pp = 0, tt = 0, pt = 0;
        for (int i = 0; i < p.length; i++) {
            pp += (p[i] - mp) * (p[i] - mp);
            tt += (t[i] - mt) * (t[i] - mt);
            pt += (p[i] - mp) * (t[i] - mt);
        }
        return pt / Math.sqrt(pp * tt);
    }

    /** The lines of all vertices of both hemispheres: r of each photograph. */
    private static double[] r(Path evaluation) {
        return Csv.read(evaluation.resolve("photographs.csv")).stream()
                .filter(l -> l.get(2).equals("both") && l.get(4).equals("all vertices"))
                .mapToDouble(l -> Double.parseDouble(l.get(6)))
                .toArray();
    }

    @Test
    void positionsAndLayersAndScoresOfPhotographs() {
        Path run = trained("vit-position-tiny"), out = dir.resolve("position"), predicted = dir.resolve("predicted");
        ok("evaluate", run, "--data", data, "--out", out);
        ok("predict", run, "--data", data, "--out", predicted);
        try (SafeTensors t = SafeTensors.open(out.resolve("readout.safetensors"));
                SafeTensors m = SafeTensors.open(RunFolder.best(run))) {
            assertEquals(
                    List.of("layers.lh", "layers.rh", "positions.lh", "positions.rh"),
                    t.names().stream().sorted().toList());
            assertEquals(List.of("block 2", "block 4"), list(t, "layers"));
            float[] raw = m.floats("generator.head.position"), a = m.floats("generator.head.layers");
            for (String h : List.of("lh", "rh")) {
                int n = h.equals("lh") ? LEFT : RIGHT;
                assertArrayEquals(new long[] {n, 2}, t.entry("positions." + h).shape());
                assertArrayEquals(new long[] {n, 2}, t.entry("layers." + h).shape());
                float[] at = t.floats("positions." + h), shares = t.floats("layers." + h);
                for (int v = 0; v < n; v++) {
                    boolean absent = h.equals("rh") && v == MISSING;
                    int own = 2 * (h.equals("lh") ? v : LEFT + v - (v > MISSING ? 1 : 0));
                    for (int k = 0; k < 2; k++) {
                        assertEquals(absent ? Float.NaN : Math.tanh(raw[own + k]), at[2 * v + k], 0x1p-24);
                        double share = 1 / (1 + Math.exp(a[own + 1 - k] - a[own + k]));
                        assertEquals(absent ? Float.NaN : share, shares[2 * v + k], 0x1p-24);
                    }
                }
            }
            // Predictions in f32 have the mean added: |r| moves by no more than some roundings of them.
            float[] mean = m.floats("generator.response_mean");
            float[] pl = read(predicted.resolve("lh_pred_test.npy")), pr = read(predicted.resolve("rh_pred_test.npy"));
            Path measured = data.resolve("subj01_held_out");
            float[] tl = read(measured.resolve("lh_test_fmri.npy")), tr = read(measured.resolve("rh_test_fmri.npy"));
            double[] r = r(out);
            assertEquals(TEST, r.length);
            for (int i = 0; i < TEST; i++) {
                double[] p = pattern(pl, pr, i, mean), y = pattern(tl, tr, i, mean);
                double size = Math.sqrt(Arrays.stream(p).map(x -> x * x).sum()), rounding = 0;
                for (int v = 0; v < p.length; v++) rounding += Math.pow(Math.ulp((float) (p[v] + mean[v])), 2);
                assertEquals(pearson(p, y), r[i], 4 * Math.sqrt(rounding) / size + 0x1p-24);
            }
        }
    }

    @Test
    void attentionOfTheBestAndTheWorstPhotographs() throws Exception {
        Path run = trained("dinov2-roi-queries-tiny", "model.generator.vit.layers=[2, 4]"),
                out = dir.resolve("queries");
        Path predicted = dir.resolve("attended");
        ok("evaluate", run, "--data", data, "--out", out);
        ok("predict", run, "--data", data, "--out", predicted, "--attention");
        List<String> regions = Files.readAllLines(predicted.resolve("regions.txt"));
        int queries = regions.size(), cells = 64;
        float[] maps = read(predicted.resolve("attention.npy")); // [TEST, queries, 2, 8, 8]
        try (SafeTensors t = SafeTensors.open(out.resolve("readout.safetensors"))) {
            assertEquals(
                    List.of("attention", "layers.lh", "layers.rh"),
                    t.names().stream().sorted().toList());
            assertEquals(regions, list(t, "queries"));
            assertArrayEquals(
                    new long[] {12, queries, 8, 8}, t.entry("attention").shape());
            double[] r = r(out);
            List<?> images = list(t, "images");
            float[] attention = t.floats("attention");
            double last = 1;
            for (int k = 0; k < 12; k++) {
                int image = ((Number) images.get(k)).intValue();
                assertTrue(r[image] <= last, "the best first");
                last = r[image];
                assertTrue(list(t, "photographs").get(k).toString().startsWith("test-00"));
                for (int q = 0; q < queries; q++)
                    for (int c = 0; c < cells; c++) {
                        int from = (image * queries + q) * 2 * cells + c;
                        // Batches of other sizes may sum products in another order.
                        assertEquals(maps[from] + maps[from + cells], attention[(k * queries + q) * cells + c], 1e-5);
                    }
            }
            float[] lh = t.floats("layers.lh"), rh = t.floats("layers.rh");
            for (int v = 0; v < LEFT; v++) assertEquals(1, lh[2 * v] + lh[2 * v + 1], 0x1p-22);
            assertTrue(Float.isNaN(rh[2 * MISSING]) && !Float.isNaN(rh[2 * MISSING + 2]));
        }
        Path dense = trained("vit-gan-tiny", "loss.gan_weight=0", "model.discriminator.type=none");
        ok("evaluate", dense, "--data", data, "--out", out, "--split", "validation");
        assertFalse(
                Files.exists(out.resolve("readout.safetensors")), "a dense readout of one layer has nothing to show");
        assertTrue(Files.readString(out.resolve("photographs.csv")).contains(",train-00"));
        ok("baseline", "--data", data, "--out", out);
        assertFalse(Files.exists(out.resolve("photographs.csv")), "it is of another evaluation");
    }
}
