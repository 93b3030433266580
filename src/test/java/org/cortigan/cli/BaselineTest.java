// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.eval.RowSource;
import org.cortigan.experiment.FeatureSource;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyWriter;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** Runs the command baseline on a small simulated subject. */
@Tag("slow")
class BaselineTest {
    private static final int IMAGES = 240, TEST_IMAGES = 60;

    @TempDir
    static Path dir;

    private static Path data;

    private record Result(int code, String out, String err) {
        Map<String, Object> json() {
            return Json.object(Json.parse(out, "out"), "out");
        }

        double meanR() {
            Object row = ((List<?>) json().get("rows")).get(0);
            return ((Number) ((Map<?, ?>) row).get("mean_r")).doubleValue();
        }
    }

    @BeforeAll
    static void simulate() {
        data = dir.resolve("data");
        SmallSubject.write(data, IMAGES, TEST_IMAGES);
    }

    private static Result run(Object... options) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        String[] args = new String[3 + options.length];
        args[0] = "baseline";
        args[1] = "--data";
        args[2] = data.toString();
        for (int i = 0; i < options.length; i++) args[3 + i] = options[i].toString();
        int code = c.execute(args);
        return new Result(code, out.toString(), err.toString());
    }

    private static Result ok(Object... options) {
        Result r = run(options);
        assertEquals(0, r.code, r.err);
        return r;
    }

    private static String label(Object... options) {
        return ok(options).out.lines().findFirst().orElseThrow();
    }

    /** Asserts exit code 1 and one line that contains all names. */
    private static void refused(String[] names, Object... options) {
        Result r = run(options);
        assertEquals(1, r.code, r.out + r.err);
        assertFalse(r.err.contains("\tat "), r.err);
        String last = r.err.strip().lines().reduce((a, b) -> b).orElse("");
        for (String n : names) assertTrue(last.contains(n), last);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "; gabor, one lambda by GCV",
                "--features pixels --components 20; pixels, 20 components, one lambda by GCV",
                "--features gabor,pixels; gabor + pixels, one lambda by GCV",
                "--features gabor --features pixels --banded; gabor + pixels in bands, one lambda by GCV",
                "--lambda roi --selection loo; gabor, a lambda for each ROI by leave-one-out",
                "--lambda VERTEX --selection kfold --folds 4; gabor, a lambda for each vertex by 4 folds",
                "--lambdas 100,1e4; gabor, one lambda by GCV",
                "--lambdas 1000; gabor, one lambda",
                "--no-standardise --features pixels; pixels, not scaled, one lambda by GCV",
                "--gabor-side 32 --gabor-response log; gabor log of 32 pixels, one lambda by GCV"
            })
    void theLabelNamesTheSettings(String options, String settings) {
        Object[] args = options == null ? new Object[0] : options.split(" ");
        String label = label(args);
        assertTrue(label.contains("ridge on " + settings + ", test split"), label);
    }

    @Test
    void settingsAndPenaltiesAreWritten() {
        Path out = dir.resolve("out");
        Result r = ok("--features", "pixels", "--lambdas", "500", "--out", out, "--json");
        Map<String, Object> written = Json.readObject(out.resolve("ridge.json"));
        assertEquals(
                written.toString(), Json.object(r.json().get("ridge"), "ridge").toString());
        assertEquals(List.of("pixels"), written.get("features"));
        assertEquals(
                500, ((Number) Json.object(written.get("lambdas"), "lambdas").get("max")).doubleValue());
        assertTrue(Files.exists(out.resolve("lh_correlation.npy")));
    }

    @Test
    void significanceOfEachVertexIsWritten() {
        Path out = dir.resolve("significance");
        Result r = ok("--features", "pixels", "--permutations", 19, "--out", out);
        assertTrue(r.out.contains("q < 0.05"), r.out);
        try (NpyFile p = NpyFile.open(out.resolve("lh_p.npy"))) {
            for (float value : p.toFloatArray()) assertEquals(Math.round(value * 20) / 20.0, value, 1e-6);
        }
        assertTrue(Files.exists(out.resolve("rh_q.npy")));
        refused(new String[] {"--permutations -1"}, "--permutations", -1);
    }

    @Test
    void featuresFromFilesGiveTheSameResult() {
        try (AlgonautsSubject subject = AlgonautsSubject.open(data, 1)) {
            FeatureSource pixels =
                    FeatureSource.pixels(new FeatureSource.Photographs(subject, dir.resolve("cache"), line -> {}));
            save(pixels.training(), "pixels_training.npy");
            save(pixels.test(), "pixels_test.npy");
        }
        double inside = ok("--features", "pixels", "--json").meanR();
        assertEquals(
                inside,
                ok("--features", dir.resolve("pixels_training.npy"), "--json").meanR());
        double joined = ok("--features", "gabor,pixels", "--json").meanR();
        assertEquals(
                joined,
                ok("--features", "gabor," + dir.resolve("pixels_training.npy"), "--json")
                        .meanR());
        double validated =
                ok("--features", "pixels", "--split", "validation", "--json").meanR();
        assertEquals(
                validated,
                ok("--features", dir.resolve("pixels_training.npy"), "--split", "validation", "--json")
                        .meanR());
    }

    private static void save(RowSource features, String name) {
        float[] all = new float[features.rows() * features.columns()];
        features.read(0, features.rows(), all);
        NpyWriter.save(dir.resolve(name), all, features.rows(), features.columns());
    }

    private static Path npy(String name, float value, long rows, long columns) {
        float[] values = new float[(int) (rows * columns)];
        for (int i = 0; i < values.length; i++) values[i] = i * i % 17;
        if (values.length > 0) values[values.length - 1] = value;
        NpyWriter.save(dir.resolve(name), values, rows, columns);
        return dir.resolve(name);
    }

    @Test
    void wrongFilesAreRefused() {
        refused(
                new String[] {"short.npy", "[240, features]", "240 training"},
                "--features",
                npy("short.npy", 0, 239, 3));
        refused(new String[] {"none.npy", "at least one column"}, "--features", npy("none.npy", 0, 240, 0));
        refused(new String[] {"nan.npy, row 239, column 2", "NaN"}, "--features", npy("nan.npy", Float.NaN, 240, 3));
        Path good = npy("good.npy", 0, 240, 3);
        refused(new String[] {"good_test.npy", "--test-features"}, "--features", good);
        refused(
                new String[] {"wide.npy", "4 features", "good.npy has 3"},
                "--features",
                good,
                "--test-features",
                npy("wide.npy", 0, 60, 4));
        refused(
                new String[] {"constant"},
                "--features",
                constant("flat_train.npy", IMAGES),
                "--test-features",
                constant("flat_test.npy", TEST_IMAGES));
    }

    private static Path constant(String name, int rows) {
        float[] ones = new float[rows * 2];
        Arrays.fill(ones, 1);
        NpyWriter.save(dir.resolve(name), ones, rows, 2);
        return dir.resolve(name);
    }

    @Test
    void wrongOptionsAreRefused() {
        refused(new String[] {"--features gbor", "gabor, pixels or auto"}, "--features", "gbor");
        refused(new String[] {"twice"}, "--features", "gabor,gabor");
        refused(new String[] {"Give auto alone"}, "--features", "auto,pixels");
        refused(new String[] {"--lambda: is chosen by"}, "--features", "auto", "--lambda", "vertex");
        refused(new String[] {"--banded", "one set"}, "--banded");
        refused(new String[] {"--components -1"}, "--components", "-1");
        refused(new String[] {"--folds 1"}, "--selection", "kfold", "--folds", "1");
        refused(new String[] {"--folds 3", "kfold"}, "--folds", "3");
        refused(new String[] {"--lambdas", "-1.0"}, "--lambdas", "10,-1");
        refused(new String[] {"--gabor-side 50"}, "--gabor-side", "50");
        refused(new String[] {"--test-features", "0 npy files"}, "--test-features", "x.npy");
        refused(new String[] {"--recipe vit-gan", "safetensors"}, "--recipe", "vit-gan");
        refused(new String[] {"--validation 1.5"}, "--split", "validation", "--validation", "1.5");
        refused(new String[] {"holds out no images"}, "--split", "validation", "--validation", "0.001");
        assertEquals(2, run("--lambda", "some").code);
    }

    @Test
    void withoutTestResponsesTheValidationSplitIsUsed() {
        String label = label("--split", "validation", "--validation", "0.25", "--seed", "3");
        assertTrue(label.contains("validation split"), label);
        Result r = ok("--split", "validation", "--validation", "0.25", "--json");
        assertEquals(60, ((Number) r.json().get("images")).intValue());
    }

    @Test
    void autoChoosesGaborFeaturesOnASimulatedCortex() {
        Path out = dir.resolve("auto");
        Result r = ok("--features", "auto", "--gabor-side", 32, "--out", out);
        assertTrue(r.err.contains("chosen: gabor"), r.err);
        List<?> candidates =
                (List<?>) Json.readObject(out.resolve("ridge.json")).get("candidates");
        assertEquals(7, candidates.size(), "four feature sets, two more kinds of lambda, principal components");
        assertTrue(r.out.contains("ridge on gabor"), r.out);
    }
}
