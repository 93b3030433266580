// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.graph.DType;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Training, checkpoints and predictions of models with low-rank updates. */
class LoraTrainingTest {
    private static final CpuDevice CPU = CpuDevice.best(1);

    private static Recipe recipe(String... options) {
        Recipe r = TrainerTest.recipe(
                "model.generator.vit.lora_rank=2",
                "model.generator.vit.lora_targets=[qkv, proj, fc1, fc2]",
                "train.epochs=2");
        for (String o : options) r = r.with(o);
        return r;
    }

    private static Map<String, float[]> run(Recipe r, Path folder, Path from, int stop) {
        try (Trainer t = new Trainer(r, TrainerTest.TOY, CPU, folder)) {
            if (from != null) t.resume(from);
            t.addListener(Listeners.stopAt(t, stop));
            t.run();
            Map<String, float[]> all = new LinkedHashMap<>();
            for (String v : t.variables()) all.put(v, t.variable(v));
            return all;
        }
    }

    /** The features that the readout reads, of four photographs. */
    private static float[] features(Model m, Device d) {
        ByteBuffer photographs = ByteBuffer.allocate(4 * 3 * 16 * 16);
        for (int i = 0; i < 4; i++) TrainerTest.TOY.image(i, photographs);
        try (Predictor p = m.featureExtractor(d, 4)) {
            return p.predict(photographs.array());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"optimizer.ema=0", "optimizer.ema=0.9"})
    void aLoadedModelHasTheUpdatesInItsWeights(String ema, @TempDir Path dir) {
        run(recipe(ema), dir, null, -1);
        Path last = RunFolder.last(dir);
        Model merged = Model.load(last);
        ModelConfig config;
        Map<String, float[]> own = new HashMap<>(), without = new HashMap<>();
        try (SafeTensors t = SafeTensors.open(last)) {
            config = Model.config(t);
            for (Weights.Spec s : config.generatorWeights(DType.F32).specs()) {
                own.put(s.name(), t.floats((ema.endsWith("0.9") ? Weights.AVERAGE : "") + s.name()));
                without.put(
                        s.name(),
                        s.name().contains("lora_B") ? new float[own.get(s.name()).length] : own.get(s.name()));
            }
        }
        assertEquals(2 * 4 * 2, own.keySet().stream().filter(Lora::isUpdate).count(), "two blocks of four layers");
        assertTrue(merged.names().stream().noneMatch(Lora::isUpdate));
        assertTrue(
                merged.config().toMap().toString().contains("lora_rank=0"),
                merged.config().toMap().toString());
        Device d = CpuDevice.doubleReference();
        float[] want = features(Model.of(config, own::get), d), got = features(merged, d);
        float[] base = features(Model.of(config, without::get), d);
        double scale = 0, updated = 0;
        for (int i = 0; i < want.length; i++) {
            scale = Math.max(scale, Math.abs(want[i]));
            updated = Math.max(updated, Math.abs(want[i] - base[i]));
        }
        // A merged weight is rounded once, by up to 2^-24 of itself. Eight layers follow each other, and norms and
        // softmax multiply a relative change by a few.
        double tolerance = 8 * 8 * 0x1p-24 * scale;
        assertArrayEquals(want, got, (float) tolerance);
        assertTrue(updated > 100 * tolerance, "the updates matter: " + updated);
    }

    @Test
    void aRunBeginsAsWithoutUpdates() {
        double[] first = new double[2];
        for (int k = 0; k < 2; k++) {
            int at = k;
            try (Trainer t = new Trainer(
                    recipe("model.generator.vit.lora_rank=" + 4 * k, "train.epochs=1"), TrainerTest.TOY, CPU, null)) {
                t.addListener(Listeners.onStep((step, loss) -> {
                    if (step == 1) first[at] = loss;
                }));
                t.run();
            }
        }
        assertEquals(first[0], first[1]);
    }

    @Test
    void aResumedRunGivesTheSameBits(@TempDir Path dir) {
        Recipe r = recipe("optimizer.ema=0.9", "train.accumulate=2");
        Map<String, float[]> whole = run(r, null, null, -1);
        RunFolder.create(dir);
        run(r, dir, null, 2);
        Map<String, float[]> rest = run(r, null, RunFolder.last(dir), -1);
        assertEquals(whole.keySet(), rest.keySet());
        whole.forEach((k, v) -> assertArrayEquals(v, rest.get(k), k));
    }

    @Test
    void subjectsShareTheUpdates() {
        Map<String, TrainingData> data = new LinkedHashMap<>();
        data.put("a", TrainerTest.TOY);
        data.put("b", new TrainerTest.Toy(20, 4, 5, 16));
        try (Trainer t = new Trainer(recipe("loss.gan_weight=0"), data, CPU, null, line -> {})) {
            long updates = t.variables().stream()
                    .filter(v -> v.startsWith("generator.") && Lora.isUpdate(v))
                    .count();
            assertEquals(2 * 4 * 2, updates);
        }
    }

    @Test
    void anAverageOfRunsHasMergedWeights(@TempDir Path dir) {
        run(recipe("train.epochs=1", "loss.gan_weight=0"), dir, null, -1);
        Path last = RunFolder.last(dir), average = dir.resolve("average.safetensors");
        ModelSoup.write(List.of(last, last), average, line -> {});
        Model one = Model.load(last), mean = Model.load(average);
        assertEquals(one.names(), mean.names());
        for (String name : one.names()) assertArrayEquals(one.values(name), mean.values(name), name);
    }

    @Test
    void badValuesAreRefusedByKey() {
        String[][] bad = {
            {"lora_rank=-1", "lora_rank", "at least 0"},
            {"lora_rank=17", "lora_rank", "above the width 16"},
            {"lora_alpha=0", "lora_alpha", "above 0"},
            {"lora_targets=[]", "lora_targets", "names no layer"},
            {"lora_targets=[qkv, head]", "lora_targets", "'head' is unknown"},
            {"lora_targets=[1]", "lora_targets", "list of names"},
            {"lora_targets=qkv", "lora_targets", "list of names"}
        };
        for (String[] b : bad) {
            InputException e = assertThrows(
                    InputException.class,
                    () -> StepSettings.of(
                            recipe("model.generator.vit." + b[0]),
                            List.of(new ModelConfig.Subject("", 9, 11)),
                            Precision.FP32),
                    b[0]);
            assertTrue(
                    e.getMessage().contains("model.generator.vit." + b[1])
                            && e.getMessage().contains(b[2]),
                    e.getMessage());
        }
    }
}
