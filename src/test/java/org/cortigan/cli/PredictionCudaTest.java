// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.cuda.SimulatedCuda;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Evaluates and predicts in every precision on a simulated card, with simulated NVIDIA libraries. */
@Tag("cuda")
class PredictionCudaTest {
    private final StringWriter out = new StringWriter(), err = new StringWriter();

    private int run(Object... args) {
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        return c.execute(Arrays.stream(args).map(Object::toString).toArray(String[]::new));
    }

    private static final String OWN = "cortigan.cuda.ownProducts", CACHE = "cortigan.cuda.cache";
    private final String own = System.getProperty(OWN), cache = System.getProperty(CACHE);

    @TempDir
    Path dir;

    @BeforeEach
    void useLibraries() {
        SimulatedCuda.reset();
        System.setProperty(OWN, "false"); // Our own kernels know no tf32.
        System.setProperty(CACHE, dir.resolve("cache").toString());
    }

    @AfterEach
    void restore() {
        System.setProperty(OWN, own);
        System.setProperty(CACHE, cache);
    }

    private static float[] left(Path folder, String name) {
        try (NpyFile f = NpyFile.open(folder.resolve("lh_" + name + ".npy"))) {
            return f.toFloatArray();
        }
    }

    @Test
    void precisionsChangePredictionsLittleAndAreNamed() throws Exception {
        Path data = dir.resolve("data"), run = dir.resolve("run"), recipe = dir.resolve("tiny.yaml");
        SmallSubject.write(data, 24, 6);
        Files.writeString(
                recipe,
                "model: {generator: {image: 32, vit: {patch: 8, width: 32, depth: 2,"
                        + " heads: 2}}}\nloss: {gan_weight: 0}\ntrain: {epochs: 2, batch: 8, validation: 0.25}\n");
        assertEquals(0, run("train", "-c", recipe, "--data", data, "--run", run, "--device", "cpu"), err::toString);
        float[] fp32 = new float[0];
        for (String p : new String[] {"fp32", "tf32", "bf16"}) {
            Path evaluation = dir.resolve("evaluation-" + p), predictions = dir.resolve("predictions-" + p);
            String name = "products in " + p;
            Object[] common = {"--device", "cuda:0", "--precision", p, "--data", data, "--out"};
            Object[] evaluate = concat(new Object[] {"evaluate", run, "--split", "validation"}, common, evaluation);
            out.getBuffer().setLength(0);
            assertEquals(0, run(evaluate), err::toString);
            boolean named = !p.equals("fp32");
            assertEquals(named, out.toString().contains("prediction: " + name), out::toString);
            Map<String, Object> metrics = Json.readObject(evaluation.resolve("metrics.json"));
            assertEquals(named ? name : null, metrics.get("prediction"));
            assertEquals(named, Files.readString(evaluation.resolve("roi.csv")).contains("," + name));
            assertEquals(0, run(concat(new Object[] {"predict", run}, common, predictions)), err::toString);
            Map<String, Object> about = Json.readObject(predictions.resolve("predictions.json"));
            assertEquals(named ? name : null, about.get("prediction"));
            float[] y = left(predictions, "pred_test");
            if (!named) fp32 = y;
            double difference = 0, size = 0;
            for (int i = 0; i < y.length; i++) {
                difference += Math.pow(y[i] - fp32[i], 2);
                size += Math.pow(fp32[i], 2);
            }
            // Some 24 roundings in a row and those of the weights add up like a random walk; tf32 has 3 bits more.
            double bound = Math.sqrt(2 * 24) * (p.equals("bf16") ? 0x1p-8 : 0x1p-11);
            assertTrue(Math.sqrt(difference / size) < bound, p + ": " + Math.sqrt(difference / size) + ", " + bound);
            if (named) assertNotEquals(0, difference, p);
        }
        assertEquals(0, SimulatedCuda.live());
        for (String command : new String[] {"evaluate", "predict"}) {
            assertEquals(
                    1,
                    run(command, run, "--data", data, "--out", dir.resolve("no"), "--precision", "fp8"),
                    out::toString);
            String last = err.toString().strip().lines().reduce((a, b) -> b).orElse("");
            assertTrue(last.contains("--precision fp8") && last.contains("Use bf16, tf32 or fp32"), last);
        }
    }

    private static Object[] concat(Object[] first, Object[] second, Object last) {
        Object[] all = Arrays.copyOf(first, first.length + second.length + 1);
        System.arraycopy(second, 0, all, first.length, second.length);
        all[all.length - 1] = last;
        return all;
    }
}
