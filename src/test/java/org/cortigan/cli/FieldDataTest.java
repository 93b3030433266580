// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyWriter;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Data as labs have them: vertices outside the measured volume, test responses where the organisers put them. */
class FieldDataTest {
    private static final int LEFT = 400;

    @TempDir
    static Path dir;

    /** A subject without the vertices 5 and 9 of the left hemisphere. */
    private static Path without;

    /** The same subject with these vertices, whose responses are NaN. */
    private static Path missing;

    private record Result(String out, String err) {}

    private static Result ok(Object... args) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        int code = c.execute(Stream.of(args).map(Object::toString).toArray(String[]::new));
        assertEquals(0, code, err.toString());
        return new Result(out.toString(), err.toString());
    }

    @BeforeAll
    static void write() throws Exception {
        without = dir.resolve("without");
        missing = dir.resolve("missing");
        for (Path data : List.of(without, missing)) {
            SmallSubject.write(data, 24, 6);
            Path subject = data.resolve("subj01");
            Path organisers = Files.createDirectories(subject.resolve("test_split/test_fmri"));
            for (String h : List.of("lh", "rh"))
                Files.move(
                        data.resolve("subj01_held_out").resolve(h + "_test_fmri.npy"),
                        organisers.resolve(h + "_test_fmri.npy"));
            responses(subject.resolve("training_split/training_fmri/lh_training_fmri.npy"), data == missing);
            responses(organisers.resolve("lh_test_fmri.npy"), data == missing);
            if (data == without) {
                vector(subject.resolve("lh_noise_ceiling.npy"));
                try (Stream<Path> masks = Files.list(subject.resolve("roi_masks"))) {
                    for (Path m : masks.filter(p -> p.toString().matches(".*lh\\.[a-z-]+_challenge_space\\.npy"))
                            .toList()) vector(m);
                }
            }
        }
        Files.writeString(
                dir.resolve("tiny.yaml"),
                "model: {generator: {type: cnn, image: 64, cnn: {channels: [8], hidden: 8}}}\n"
                        + "train: {epochs: 1, batch: 8}\n");
    }

    private static void responses(Path file, boolean nan) {
        int images;
        float[] all;
        try (NpyFile f = NpyFile.open(file)) {
            images = (int) f.rows();
            all = f.toFloatArray();
        }
        float[] some = new float[images * (LEFT - 2)];
        int at = 0;
        for (int i = 0; i < all.length; i++) {
            if (i % LEFT == 5 || i % LEFT == 9) all[i] = Float.NaN;
            else some[at++] = all[i];
        }
        NpyWriter.save(file, nan ? all : some, images, nan ? LEFT : LEFT - 2);
    }

    /** Takes the two vertices out of a mask or of noise ceilings. */
    private static void vector(Path file) {
        float[] all;
        try (NpyFile f = NpyFile.open(file)) {
            all = f.toFloatArray();
        }
        float[] some = new float[LEFT - 2];
        int at = 0;
        for (int v = 0; v < LEFT; v++) if (v != 5 && v != 9) some[at++] = all[v];
        NpyWriter.save(file, some, some.length);
    }

    private static float[] floats(Path file) {
        try (NpyFile f = NpyFile.open(file)) {
            return f.toFloatArray();
        }
    }

    private static Map<String, Object> json(Path folder) {
        Map<String, Object> all = Json.readObject(folder.resolve("metrics.json"));
        // These name the folders of the case.
        for (String key : List.of("label", "subject_folder", "run", "command")) all.remove(key);
        return all;
    }

    /** Everything is as if the files had never had the vertices; files that are written have a place for them. */
    @Test
    void missingVerticesAreLeftOut() {
        Path[] evaluations = new Path[2], ridges = new Path[2];
        for (Path data : List.of(without, missing)) {
            int k = data == missing ? 1 : 0;
            Path run = dir.resolve("run" + k);
            evaluations[k] = dir.resolve("evaluation" + k);
            ridges[k] = dir.resolve("ridge" + k);
            String said =
                    ok("train", "-c", dir.resolve("tiny.yaml"), "--data", data, "--run", run, "--device", "cpu").err;
            assertEquals(
                    k == 1,
                    said.contains("2 of 400 vertices have no responses (NaN or infinite) and are left out: 5, 9"),
                    said);
            Result r = ok("evaluate", run, "--data", data, "--out", evaluations[k], "--device", "cpu");
            assertEquals(
                    k == 1, r.out.contains("2 vertices have no responses (NaN or infinite) and are left out"), r.out);
            ok("baseline", "--data", data, "--features", "pixels", "--out", ridges[k]);
        }
        for (Path[] pair : List.of(evaluations, ridges)) {
            Map<String, Object> a = json(pair[0]), b = json(pair[1]);
            assertEquals(0L, ((Number) a.remove("missing_vertices")).longValue());
            assertEquals(2L, ((Number) b.remove("missing_vertices")).longValue());
            assertEquals(a.toString(), b.toString());
            float[] r = floats(pair[1].resolve("lh_correlation.npy"));
            assertEquals(LEFT, r.length);
            assertTrue(Float.isNaN(r[5]) && Float.isNaN(r[9]));
            assertEquals(floats(pair[0].resolve("lh_correlation.npy"))[10], r[12]);
        }
        for (String value : List.of("zero", "nan")) {
            Path out = dir.resolve(value);
            String said = ok(
                            "predict",
                            dir.resolve("run1"),
                            "--data",
                            missing,
                            "--out",
                            out,
                            "--missing",
                            value,
                            "--device",
                            "cpu")
                    .err;
            assertTrue(said.contains("2 vertices had no responses in the training data"), said);
            float[] p = floats(out.resolve("lh_pred_test.npy"));
            assertEquals(6 * LEFT, p.length);
            float want = value.equals("nan") ? Float.NaN : 0;
            assertEquals(want, p[5]);
            assertEquals(want, p[5 * LEFT + 9]);
            assertTrue(p[6] != 0 && Float.isFinite(p[6]));
        }
    }

    /** A vertex that only the test split did not measure has a prediction, but no figure. */
    @Test
    void verticesThatOnlyTheTestSplitDidNotMeasureHaveNoFigure() throws Exception {
        Path heldOut = Files.createDirectories(dir.resolve("held-out"));
        Path organisers = missing.resolve("subj01/test_split/test_fmri");
        Files.copy(organisers.resolve("rh_test_fmri.npy"), heldOut.resolve("rh_test_fmri.npy"));
        float[] y = floats(organisers.resolve("lh_test_fmri.npy"));
        for (int i = 0; i < 6; i++) y[LEFT * i + 17] = Float.NEGATIVE_INFINITY;
        NpyWriter.save(heldOut.resolve("lh_test_fmri.npy"), y, 6, LEFT);
        Path out = dir.resolve("ridge-held-out"), all = dir.resolve("ridge-all");
        ok("baseline", "--data", missing, "--features", "pixels", "--out", all);
        ok("baseline", "--data", missing, "--features", "pixels", "--held-out", heldOut, "--out", out);
        float[] r = floats(out.resolve("lh_correlation.npy")), before = floats(all.resolve("lh_correlation.npy"));
        double sum = 0;
        for (int v = 0; v < LEFT; v++) {
            boolean none = v == 5 || v == 9 || v == 17;
            assertEquals(none, Float.isNaN(r[v]), "vertex " + v);
            if (none) continue;
            assertEquals(before[v], r[v]);
            sum += r[v];
        }
        Map<String, Object> j = json(out);
        assertEquals(3L, ((Number) j.get("missing_vertices")).longValue());
        Map<?, ?> left = (Map<?, ?>) ((List<?>) j.get("rows")).get(1);
        assertEquals(397L, ((Number) left.get("vertices")).longValue());
        assertEquals(sum / 397, ((Number) left.get("mean_r")).doubleValue(), 1e-6);
    }

    /** The same responses in float64, big-endian and Fortran order train the same bits. */
    @Test
    void formsOfTheFileDoNotMatter() throws Exception {
        Path data = dir.resolve("forms");
        SmallSubject.write(data, 24, 6);
        Path file = data.resolve("subj01/training_split/training_fmri/rh_training_fmri.npy");
        byte[][] last = new byte[2][];
        for (int k = 0; k < 2; k++) {
            Path run = dir.resolve("form" + k);
            String said =
                    ok("train", "-c", dir.resolve("tiny.yaml"), "--data", data, "--run", run, "--device", "cpu").err;
            assertEquals(k == 1, said.contains("Fortran") && said.contains("big-endian") && said.contains("F64"), said);
            try (org.cortigan.io.SafeTensors t = org.cortigan.io.SafeTensors.open(run.resolve("last.safetensors"))) {
                float[] head = t.floats("generator.head.weight");
                ByteBuffer bytes = ByteBuffer.allocate(4 * head.length);
                bytes.asFloatBuffer().put(head);
                last[k] = bytes.array();
            }
            if (k == 1) break;
            float[] y = floats(file);
            ByteBuffer columns = ByteBuffer.allocate(8 * y.length).order(ByteOrder.BIG_ENDIAN);
            for (int v = 0; v < 420; v++) for (int i = 0; i < 24; i++) columns.putDouble(y[420 * i + v]);
            byte[] header = "{'descr': '>f8', 'fortran_order': True, 'shape': (24, 420)}".getBytes("US-ASCII");
            ByteBuffer npy = ByteBuffer.allocate(10 + header.length + 8 * y.length);
            npy.put((byte) 0x93)
                    .put("NUMPY\1\0".getBytes("US-ASCII"))
                    .put((byte) header.length)
                    .put((byte) 0);
            Files.write(file, npy.put(header).put(columns.array()).array());
        }
        assertFalse(Arrays.equals(last[0], new byte[last[0].length]));
        assertTrue(Arrays.equals(last[0], last[1]));
    }
}
