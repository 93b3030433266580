// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.train.States.state;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.NullDevice;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.jni.Memory;
import org.cortigan.model.Backbone;
import org.cortigan.model.DiscriminatorNetwork;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ReadoutHead;
import org.cortigan.op.Adam;
import org.cortigan.plan.PlanReport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TrainerTest {
    private static final CpuDevice CPU = CpuDevice.best(2);

    /** Data whose responses are smooth functions of the photograph's brightness in four quarters. */
    record Toy(int count, int leftVertices, int rightVertices, int size) implements TrainingData {
        @Override
        public void image(int i, ByteBuffer into) {
            byte[] b = new byte[size * size * 3];
            SplittableRandom r = new SplittableRandom(i);
            int[] level = {r.nextInt(256), r.nextInt(256), r.nextInt(256), r.nextInt(256)};
            for (int y = 0; y < size; y++)
                for (int x = 0; x < size; x++)
                    for (int c = 0; c < 3; c++)
                        b[(y * size + x) * 3 + c] = (byte) level[2 * y / size * 2 + 2 * x / size];
            into.put(b);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            SplittableRandom r = new SplittableRandom(i);
            double[] level = {r.nextInt(256), r.nextInt(256), r.nextInt(256), r.nextInt(256)};
            for (int v = 0; v < leftVertices + rightVertices; v++)
                into.putFloat((float) Math.sin(level[v % 4] / 80 + v));
        }
    }

    static final Toy TOY = new Toy(60, 9, 11, 16);

    static Recipe recipe(String... options) {
        Recipe r = Recipe.of("toy", Map.of(), "test");
        for (String o : new String[] {
            "model.generator.image=16", "model.generator.vit.patch=8", "model.generator.vit.width=16",
                    "model.generator.vit.depth=2",
            "model.generator.vit.heads=2", "model.discriminator.mlp.hidden=[8, 4]", "train.batch=8", "train.epochs=4",
            "train.validation=0.2", "optimizer.learning_rate=0.003"
        }) r = r.with(o);
        for (String o : options) r = r.with(o);
        return r;
    }

    /** Options that make a network small, by its section. Networks without an entry have their default size. */
    private static final Map<String, List<String>> SMALL = Map.of(
            "model.generator.cnn", List.of("channels=[4, 8]", "hidden=12"),
            "model.generator.unet", List.of("channels=[4, 8, 8]", "decoder=2", "hidden=12"),
            "model.generator.gabor", List.of("levels=2", "grids=[1, 2]", "orientations=3", "hidden=[6, 7]"),
            "model.generator.sd", List.of("latent=patch", "layers=[mid, up1]"),
            "model.discriminator.conv", List.of("channels=[3, 4]"),
            "model.discriminator.vit", List.of("patch=4", "width=8", "depth=1", "heads=2"));

    /** Options for a small network of a type. */
    private static String[] small(String part, String type) {
        List<String> all = new ArrayList<>(List.of(part + "type=" + type));
        String section = part + (type.equals("patch") ? "conv" : type);
        for (String o : SMALL.getOrDefault(section, List.of())) all.add(section + "." + o);
        if (type.equals("sd")) all.addAll(DiffusionTrainingTest.SMALL_UNET);
        return all.toArray(new String[0]);
    }

    private static void same(Map<String, float[]> a, Map<String, float[]> b) {
        assertEquals(a.keySet(), b.keySet());
        a.forEach((k, v) -> assertArrayEquals(v, b.get(k), k));
    }

    private static Map<String, float[]> stateAfterRun(Recipe r) {
        try (Trainer t = new Trainer(r, TOY, CPU, null)) {
            assertTrue(t.run());
            return state(t);
        }
    }

    @Test
    void trainingLearnsAndIsReproducible() {
        List<EpochResult> seen = new ArrayList<>();
        Recipe r = recipe("train.epochs=30");
        try (Trainer t = new Trainer(r, TOY, CPU, null)) {
            t.addListener(Listeners.onEpoch(seen::add));
            t.run();
            same(state(t), stateAfterRun(r));
        }
        assertEquals(30, seen.size());
        assertTrue(
                seen.get(29).validationMeanR() > 0.5,
                "validation r " + seen.get(29).validationMeanR());
        assertTrue(seen.get(29).means().get("pixel") < seen.get(0).means().get("pixel"));
    }

    @Test
    @Tag("slow")
    void everyKindOfModelTrains(@TempDir Path dir) {
        String[][] mixtures = {
            {
                "model.generator.vit.pool=mean",
                "model.discriminator.per=all",
                "model.discriminator.spectral_norm=torch",
                "loss.gan=hinge"
            },
            {
                "model.discriminator.type=vit",
                "model.discriminator.vit.patch=4",
                "model.discriminator.vit.width=8",
                "model.discriminator.vit.depth=1",
                "model.discriminator.vit.heads=2",
                "loss.gan=bce",
                "model.discriminator.spectral_norm=none"
            },
            {
                "model.discriminator.type=conv",
                "model.discriminator.conv.channels=[3, 4]",
                "model.discriminator.condition=image"
            },
            {
                "model.discriminator.type=vit",
                "model.discriminator.vit.patch=4",
                "model.discriminator.vit.width=8",
                "model.discriminator.vit.heads=2",
                "model.discriminator.vit.depth=1",
                "model.discriminator.condition=image"
            },
            {
                "model.discriminator.condition=image",
                "optimizer.ema=0.9",
                "loss.correlation_axis=vertices",
                "loss.pixel=mse"
            },
            {
                "model.discriminator.type=patch",
                "model.discriminator.conv.stride=1",
                "model.discriminator.conv.channels=[3]",
                "model.generator.readout=factorised",
                "model.generator.features=4"
            },
            {
                "model.generator.type=unet",
                "model.generator.unet.channels=[4, 8, 8]",
                "model.generator.unet.decoder=1",
                "model.generator.unet.norm=batch",
                "model.generator.readout=position",
                "model.generator.features=8",
                "optimizer.ema=0.9"
            },
            {"model.generator.vit.layers=[1, 2]", "model.generator.features=8", "model.discriminator.weighting=vertices"
            },
            {"model.discriminator.type=none", "optimizer.type=adam", "optimizer.schedule=linear", "loss.pixel=smooth_l1"
            }
        };
        List<String[]> kinds = new ArrayList<>(List.of(mixtures));
        for (String type : Backbone.types().names()) kinds.add(small("model.generator.", type));
        for (String type : DiscriminatorNetwork.types().names()) kinds.add(small("model.discriminator.", type));
        for (String[] k : kinds)
            for (String precision : CPU.supportsBf16() ? new String[] {"fp32", "bf16"} : new String[] {"fp32"}) {
                Recipe r = recipe(k).with("train.precision", precision);
                List<EpochResult> seen = new ArrayList<>();
                try (Trainer t = new Trainer(r, TOY, CPU, null)) {
                    t.addListener(Listeners.onEpoch(seen::add));
                    assertTrue(t.run());
                }
                String what = String.join(" ", k) + " " + precision;
                EpochResult last = seen.get(seen.size() - 1);
                assertEquals(0, last.skipped(), what);
                assertTrue(
                        last.means().get("loss") < seen.get(0).means().get("loss") * 1.05, what + ": " + last.means());
            }
    }

    @Test
    @Tag("slow")
    void everyGeneratorTrainsWithEveryReadout(@TempDir Path dir) {
        for (String type : Backbone.types().names())
            for (ReadoutHead readout : ReadoutHead.values()) {
                String[] g = small("model.generator.", type);
                // A position readout of Gabor energies is linear and learns more slowly.
                int epochs = type.equals("gabor") ? 24 : 12;
                Recipe r = recipe(g)
                        .with("model.generator.vit.pool=mean")
                        .with("model.generator.vit.layers=[1, 2]")
                        .with("model.generator.features", 6)
                        .with("model.generator.query_heads", 2)
                        .with("model.generator.queries", "hemisphere")
                        .with("train.epochs", epochs)
                        .with("model.generator.readout", readout.name().toLowerCase(Locale.ROOT));
                if (readout == ReadoutHead.DIFFUSION) r = r.with(DiffusionTrainingTest.SMALL);
                double[] loss = new double[2];
                Path folder = dir.resolve(g[0] + readout);
                RunFolder.create(folder);
                try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
                    t.addListener(Listeners.onEpoch(e -> {
                        loss[e.epoch() == 1 ? 0 : 1] = e.means().get("pixel");
                    }));
                    t.run();
                }
                assertTrue(loss[1] < 0.95 * loss[0], g[0] + " " + readout + ": " + loss[0] + " to " + loss[1]);
                try (Predictor p = Model.load(RunFolder.last(folder)).predictor(CPU, 2)) {
                    assertEquals(20, p.columns());
                }
            }
    }

    @Test
    @Tag("slow")
    void aResumedRunEqualsAnUninterruptedRunBitForBit(@TempDir Path dir) {
        String[] unet = {
            "model.generator.type=unet",
            "model.generator.unet.channels=[4, 8]",
            "model.generator.unet.decoder=1",
            "model.generator.unet.norm=batch"
        };
        for (String o :
                new String[] {"optimizer.ema=0.9", CPU.supportsBf16() ? "train.precision=bf16" : "train.epochs=3"}) {
            Recipe r = recipe(o, "model.discriminator.spectral_norm=torch");
            if (o.contains("ema")) for (String u : unet) r = r.with(u);
            Recipe used = r;
            Map<String, float[]> want = stateAfterRun(r);
            Path folder = dir.resolve(Integer.toHexString(o.hashCode()));
            RunFolder.create(folder);
            for (int stopAt : new int[] {3, 10, 12, 23}) {
                try (Trainer t = new Trainer(used, TOY, CPU, folder)) {
                    if (Files.exists(RunFolder.last(folder))) t.resume(RunFolder.last(folder));
                    t.addListener(Listeners.stopAt(t, stopAt));
                    boolean complete = t.run();
                    assertEquals(t.step() == t.steps(), complete);
                }
            }
            try (Trainer t = new Trainer(used, TOY, CPU, folder)) {
                t.resume(RunFolder.last(folder));
                t.run();
                same(want, state(t));
            }
        }
    }

    @Test
    void dropoutAndAugmentationResumeBitForBit(@TempDir Path folder) {
        Recipe r = recipe(
                "model.generator.dropout=0.4",
                "train.augment.shift=0.1",
                "train.augment.contrast=0.2",
                "train.augment.brightness=0.1");
        Map<String, float[]> want = stateAfterRun(r);
        for (int stopAt : new int[] {3, 7, 13, 99})
            try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
                if (Files.exists(RunFolder.last(folder))) t.resume(RunFolder.last(folder));
                t.addListener(Listeners.stopAt(t, stopAt));
                t.run();
                if (stopAt == 99) same(want, state(t));
            }
        for (String off : List.of("model.generator.dropout=0", "train.augment.shift=0"))
            assertFalse(
                    Arrays.equals(
                            want.get("generator.head.weight"),
                            stateAfterRun(r.with(off)).get("generator.head.weight")),
                    off + " changes the run");
    }

    @Test
    void aRunWithoutProgressEndsEarlyAndStaysComplete(@TempDir Path folder) {
        // A learning rate of 0 never improves on the first epoch.
        Recipe r = recipe("train.epochs=20", "train.patience=3", "optimizer.learning_rate=0");
        List<String> said = new ArrayList<>();
        List<EpochResult> epochs = new ArrayList<>();
        for (int part = 0; part < 3; part++)
            try (Trainer t = new Trainer(r, Map.of("", TOY), CPU, folder, said::add)) {
                if (part > 0) t.resume(RunFolder.last(folder));
                t.addListener(Listeners.onEpoch(epochs::add));
                if (part == 0) t.addListener(Listeners.stopAt(t, 2 * t.stepsPerEpoch() + 1));
                assertEquals(part > 0, t.run());
                assertEquals(part > 0, t.endsEarly());
                if (part > 0) assertEquals(4 * t.stepsPerEpoch(), t.step());
            }
        assertEquals(4, epochs.size());
        assertEquals(
                "the run is complete after epoch 4 of 20: validation mean r has not improved since epoch 1"
                        + " (train.patience: 3)",
                said.get(0));
        try (Trainer t = new Trainer(r.with("train.patience", 5), TOY, CPU, null)) {
            t.resume(RunFolder.last(folder));
            assertTrue(t.run());
            assertEquals(6 * t.stepsPerEpoch(), t.step(), "more patience goes on");
        }
    }

    @Test
    void aPatientRunEqualsARunToTheEnd() {
        same(stateAfterRun(recipe()), stateAfterRun(recipe("train.patience=4")));
    }

    @Test
    void theReadoutHasAWeightDecayOfItsOwn() {
        for (String[] decay : new String[][] {{"-1", "0.05"}, {"0.3", "0.3"}, {"0", "0.0"}}) {
            Recipe r = recipe("optimizer.readout_weight_decay=" + decay[0]);
            StepSettings settings = StepSettings.of(r, List.of(CHALLENGE_SUBJECT), Precision.FP32);
            StepGraph step = new StepGraph(settings, CHALLENGE_SUBJECT, regions(r), 2, 0);
            Map<String, Set<Double>> used = new TreeMap<>();
            for (Node n : step.graph().nodes())
                if (n.op() instanceof Adam adam)
                    for (int k = 0; k < adam.slots().size(); k++) {
                        Leaf p = (Leaf)
                                n.input(adam.storage(adam.output(k))).node().op();
                        used.computeIfAbsent(group(p.id()), g -> new TreeSet<>())
                                .add(adam.slots().get(k).decay());
                    }
            double own = Double.parseDouble(decay[1]);
            assertEquals(new TreeSet<>(List.of(0.0, own)), used.get("readout"), decay[0]);
            assertEquals(Set.of(0.0, 0.05), used.get("backbone"), decay[0]);
            assertEquals(Set.of(0.0, 0.05), used.get("discriminators"), decay[0]);
        }
    }

    private static String group(String parameter) {
        if (!parameter.startsWith(Generator.PREFIX)) return "discriminators";
        return parameter.startsWith(Generator.PREFIX + "head.") ? "readout" : "backbone";
    }

    @Test
    void aCheckpointOfAnotherModelIsRefusedAndNothingChanges(@TempDir Path dir) {
        try (Trainer t = new Trainer(recipe("train.epochs=1"), TOY, CPU, dir)) {
            t.run();
        }
        for (String[] other : new String[][] {
            {"model.generator.vit.width=32"},
            {"train.batch=4"},
            {"model.discriminator.mlp.hidden=[8, 5]"},
            {"train.seed=7"},
            {"optimizer.ema=0.5"},
            {"model.generator.dropout=0.1"}
        })
            try (Trainer t = new Trainer(recipe(other), TOY, CPU, null)) {
                Map<String, float[]> before = state(t);
                InputException e = assertThrows(InputException.class, () -> t.resume(RunFolder.last(dir)));
                assertTrue(e.getMessage().contains("last.safetensors"), e.getMessage());
                same(before, state(t));
            }
        try (Trainer t = new Trainer(recipe(), new Toy(60, 9, 12, 16), CPU, null)) {
            InputException e = assertThrows(InputException.class, () -> t.resume(RunFolder.last(dir)));
            assertTrue(e.getMessage().contains("9 + 11 vertices"), e.getMessage());
        }
    }

    @Test
    void aCheckpointWithFlatKeysResumesWhateverTheUnusedNetworksAre() {
        Recipe same = recipe(
                "train.epochs=2",
                "model.generator.type=cnn",
                "model.generator.cnn.channels=[4, 8]",
                "model.generator.cnn.hidden=12",
                "model.generator.vit.width=32",
                "model.discriminator.type=conv",
                "model.discriminator.per=all",
                "model.discriminator.spectral_norm=torch",
                "model.discriminator.conv.channels=[3, 4]",
                "model.discriminator.mlp.hidden=[5]");
        Path checkpoint = Path.of("src/test/resources/checkpoints/0.1-cnn-conv.safetensors");
        try (Trainer t = new Trainer(same, TOY, CPU, null)) {
            t.resume(checkpoint);
            assertEquals(12, t.step());
        }
        try (Trainer t = new Trainer(same.with("model.generator.cnn.hidden", 13), TOY, CPU, null)) {
            InputException e = assertThrows(InputException.class, () -> t.resume(checkpoint));
            assertTrue(e.getMessage().contains("cnn.hidden is 13, the checkpoint has 12"), e.getMessage());
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, 0.999})
    void aLoadedModelPredictsWhatTheTrainerValidated(double ema, @TempDir Path dir) {
        double[] validated = new double[1];
        Map<String, double[]> perVertex = new LinkedHashMap<>();
        try (Trainer t = new Trainer(recipe("optimizer.ema=" + ema), TOY, CPU, dir)) {
            t.addListener(new TrainerListener() {
                @Override
                public void epoch(EpochResult e) {
                    validated[0] = e.validationMeanR();
                }

                @Override
                public void validated(EpochResult e, Map<String, double[]> r) {
                    assertEquals(validated[0], e.validationMeanR(), "epoch() comes before validated()");
                    perVertex.putAll(r);
                }
            });
            t.run();
        }
        assertEquals(Set.of(""), perVertex.keySet());
        Model m = Model.load(RunFolder.last(dir));
        int[] held = ImageSplit.of(recipe(), TOY.count()).validation();
        try (Predictor p = m.predictor(CPU, 8)) {
            double[] r = Ensemble.evaluate(p, TOY, held).r();
            assertEquals(validated[0], Metrics.mean(r), 1e-12);
            assertArrayEquals(r, perVertex.get(""), 1e-12);
            // arrays and direct buffers give the same predictions
            ByteBuffer rgb = ByteBuffer.allocateDirect(3 * p.imageBytes());
            for (int i = 0; i < 3; i++) TOY.image(i, rgb);
            rgb.flip();
            byte[] bytes = new byte[rgb.remaining()];
            rgb.get(0, bytes);
            float[] a = p.predict(bytes), b = new float[a.length];
            FloatBuffer out = ByteBuffer.allocateDirect(4 * a.length)
                    .order(ByteOrder.nativeOrder())
                    .asFloatBuffer();
            p.predict(rgb, out);
            out.get(0, b);
            assertArrayEquals(a, b);
            assertThrows(IllegalArgumentException.class, () -> p.predict(new byte[17]));
        }
    }

    @Test
    @Tag("slow")
    void severalSubjectsShareABackbone(@TempDir Path dir) {
        Map<String, Toy> sets = new LinkedHashMap<>();
        sets.put("subj01", TOY);
        sets.put("subj06", new Toy(40, 5, 8, 16));
        Recipe r = recipe("train.epochs=20", "optimizer.ema=0.9", "model.generator.dropout=0.1");
        double[][] validated = new double[1][];
        Map<String, float[]> want;
        try (Trainer t = new Trainer(r, sets, CPU, dir.resolve("whole"), s -> {})) {
            RunFolder.create(dir.resolve("whole"));
            assertEquals(60 * 4 / 5 / 8 + 40 * 4 / 5 / 8, t.stepsPerEpoch());
            t.addListener(new TrainerListener() {
                @Override
                public void validated(EpochResult e, Map<String, double[]> r) {
                    assertEquals(List.of("subj01", "subj06"), List.copyOf(r.keySet()));
                    r.forEach((subject, values) ->
                            assertEquals(e.means().get("validation_mean_r." + subject), Metrics.mean(values), 1e-12));
                }
            });
            t.addListener(Listeners.onEpoch(e -> {
                validated[0] = new double[] {
                    e.means().get("validation_mean_r.subj01"), e.means().get("validation_mean_r.subj06")
                };
                assertEquals((validated[0][0] + validated[0][1]) / 2, e.validationMeanR(), 1e-12);
                assertTrue(e.means().containsKey("subj06.d.loss.rh"), e.means().toString());
                for (String loss : List.of("loss", "pixel", "correlation"))
                    assertEquals(
                            (e.means().get("subj01." + loss) + e.means().get("subj06." + loss)) / 2,
                            e.means().get(loss),
                            1e-12);
            }));
            t.run();
            want = state(t);
        }
        assertTrue(
                want.containsKey("generator.head.subj06.weight") && want.containsKey("generator.subject.subj01"),
                want.keySet().toString());
        assertTrue(validated[0][0] > 0.4 && validated[0][1] > 0.4, validated[0][0] + " " + validated[0][1]);
        Path folder = dir.resolve("parts");
        RunFolder.create(folder);
        for (long stopAt : new long[] {4, 21, Long.MAX_VALUE})
            try (Trainer t = new Trainer(r, sets, CPU, folder, s -> {})) {
                if (Files.exists(RunFolder.last(folder))) t.resume(RunFolder.last(folder));
                t.addListener(Listeners.stopAt(t, stopAt));
                t.run();
                if (stopAt == Long.MAX_VALUE) same(want, state(t));
            }
        Model m = Model.load(RunFolder.last(folder));
        try (Predictor p = m.predictor(CPU, 8, "subj06")) {
            assertEquals(13, p.columns());
            Toy six = sets.get("subj06");
            double[] rs = Ensemble.evaluate(
                            p, six, ImageSplit.of(r, six.count()).validation())
                    .r();
            assertEquals(validated[0][1], Metrics.mean(rs), 1e-12);
        }
        InputException e = assertThrows(InputException.class, () -> m.predictor(CPU, 8, "subj02"));
        assertTrue(e.getMessage().contains("subj02") && e.getMessage().contains("subj01"), e.getMessage());
    }

    @Test
    void aLoadedModelServesManyThreads(@TempDir Path dir) throws Exception {
        try (Trainer t = new Trainer(recipe("train.epochs=1"), TOY, CPU, dir)) {
            t.run();
        }
        Model m = Model.load(RunFolder.best(dir));
        byte[] rgb = new byte[16 * 16 * 3];
        new SplittableRandom(1).nextBytes(rgb);
        float[] want;
        try (Predictor p = m.predictor(CPU, 1)) {
            want = p.predict(rgb);
        }
        List<Throwable> failed = Collections.synchronizedList(new ArrayList<>());
        Thread[] threads = new Thread[4];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> {
                try (Predictor p = m.predictor(CPU, 1)) {
                    for (int k = 0; k < 50; k++) assertArrayEquals(want, p.predict(rgb));
                } catch (Throwable e) {
                    failed.add(e);
                }
            });
            threads[i].start();
        }
        for (Thread t : threads) t.join();
        assertEquals(List.of(), failed);
    }

    @Test
    void aStepAllocatesNothingAndNothingLeaks() {
        long live = Memory.live();
        try (Trainer t = new Trainer(recipe("train.epochs=40", "train.validation=0"), TOY, CPU, null)) {
            com.sun.management.ThreadMXBean threads =
                    (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
            long me = Thread.currentThread().getId();
            long[] at = new long[2];
            long per = t.stepsPerEpoch();
            t.addListener(Listeners.onStep((step, loss) -> {
                // two steps of one epoch, long after the JIT has compiled everything
                if (step == 36 * per + 1) at[0] = threads.getThreadAllocatedBytes(me);
                if (step == 36 * per + per - 1) at[1] = threads.getThreadAllocatedBytes(me);
            }));
            t.run();
            // allowed are an iterator over the listeners and the queue's locks, but nothing that grows with the model
            assertTrue(
                    at[1] - at[0] <= 512 * (per - 2), "bytes allocated in " + (per - 2) + " steps: " + (at[1] - at[0]));
        }
        assertEquals(live, Memory.live());
    }

    private static void scale(Storage s, double by) {
        for (int i = 0; i < s.type().shape().elements(); i++) s.set(i, by * s.get(i));
    }

    @Test
    void theCorrelationLossDivergesOnlyWithoutTheGuard() {
        // A head that starts near 0 predicts nearly the same for all photographs. There the gradient of r is unbounded.
        String[] flat = {
            "loss.pixel_weight=0",
            "loss.gan_weight=0",
            "optimizer.clip_norm=0",
            "optimizer.type=adam",
            "optimizer.weight_decay=0",
            "train.epochs=2",
            "optimizer.warmup_epochs=0"
        };
        double[][] norms = new double[2][2];
        for (int guard = 0; guard < 2; guard++) {
            Recipe r = recipe(flat).with("loss.correlation_eps", guard == 1 ? 0.01 : 0);
            int g = guard;
            try (Trainer t = new Trainer(r, TOY, CPU, null)) {
                for (String name : List.of("generator.head.weight", "generator.head.bias"))
                    scale(t.storage(name), 1e-6);
                t.addListener(Listeners.onStep((step, loss) -> {
                    norms[g][0] = Math.max(norms[g][0], t.session().scalar(StepOutput.GENERATOR_NORM.key()));
                }));
                t.run();
            }
        }
        assertTrue(norms[1][0] < 100, "with the guard the largest gradient is " + norms[1][0]);
        assertTrue(!(norms[0][0] < 1000 * norms[1][0]), "without the guard the largest gradient is " + norms[0][0]);
    }

    @Test
    void aSubjectWithFewImagesTakesThemAllInEveryStep() {
        List<String> said = new ArrayList<>();
        List<EpochResult> epochs = new ArrayList<>();
        Map<String, Toy> data = new LinkedHashMap<>();
        data.put("many", TOY);
        data.put("few", new Toy(20, 4, 5, 16));
        try (Trainer t = new Trainer(recipe("train.batch=24", "train.epochs=1"), data, CPU, null, said::add)) {
            t.addListener(Listeners.onEpoch(epochs::add));
            assertEquals(2 + 1, t.stepsPerEpoch()); // 48 and 16 training images
            assertEquals(2 * 24 + 16, t.imagesPerEpoch());
            assertTrue(t.run());
        }
        assertEquals(
                List.of("few: every step takes all 16 training images, which are fewer than train.batch: 24"),
                said.stream().filter(s -> s.contains("train.batch")).toList());
        assertTrue(Double.isFinite(epochs.get(0).validationMeanR()));

        Map<String, float[]> all = stateAfterRun(recipe("train.batch=48"));
        same(all, stateAfterRun(recipe("train.batch=1000")));
    }

    @Test
    void badRecipesAreRefusedByKey() {
        String[][] bad = {
            {"model.generator.vit.patch=7", "model.generator.vit.patch", "7 does not divide"},
            {"model.generator.vit.heads=3", "model.generator.vit.heads", "divisor"},
            {"model.generator.wdth=3", "model.generator.wdth", "Did you mean 'model.generator.vit.width'"},
            {"train.batch=0", "train.batch", "at least 1"},
            {"train.batch=many", "train.batch", "Give a number"},
            {"model.generator.vit.layers=[2, 1]", "model.generator.vit.layers", "ascending"},
            {"model.generator.vit.layers=[3]", "model.generator.vit.layers", "1 to 2"},
            {"model.discriminator.per=floc-faces", "floc-faces", "roi_masks"},
            {"loss.gan=wgan", "loss.gan", "lsgan, bce, hinge"},
            {"optimizer.betas=[0.9]", "optimizer.betas", "Give 2"},
            {"optimizer.betas=[0.9, 1]", "optimizer.betas", "below 1"},
            {"loss.pixel_weight=-1", "loss.pixel_weight", "at least 0"},
            {"optimizer.readout_weight_decay=-0.5", "optimizer.readout_weight_decay", "-1 for weight_decay"},
            {"model.generator.dropout=1", "model.generator.dropout", "from 0.0 to 0.99"},
            {"train.augment.shift=2", "train.augment.shift", "from 0.0 to 0.5"},
            {"train.augment.flip=1", "train.augment.flip", "is unknown"},
            {"train.precision=fp16", "train.precision", "fp32, tf32, bf16, fp8"},
            {"train.precision=fp8", "train.precision", "needs an NVIDIA GPU of architecture 8.9 or newer"},
            {"train.precision=tf32", "train.precision", "needs an NVIDIA GPU, the device is cpu"},
            {"train.data_on_device=yes", "train.data_on_device", "no memory of its own"}
        };
        for (String[] b : bad) {
            InputException e =
                    assertThrows(InputException.class, () -> new Trainer(recipe(b[0]), TOY, CPU, null).close(), b[0]);
            assertTrue(e.getMessage().contains(b[1]) && e.getMessage().contains(b[2]), e.getMessage());
        }
        Toy three = new Toy(3, 4, 5, 16);
        InputException none = assertThrows(
                InputException.class, () -> new Trainer(recipe("train.validation=0.9"), three, CPU, null).close());
        assertTrue(
                none.getMessage().contains("train.validation")
                        && none.getMessage().contains("leaves none of the 3 images for training"),
                none.getMessage());
        Recipe blind = recipe("train.patience=2", "train.validation=0");
        InputException e = assertThrows(InputException.class, () -> new Trainer(blind, TOY, CPU, null).close());
        assertTrue(
                e.getMessage().contains("train.patience") && e.getMessage().contains("train.validation"),
                e.getMessage());
    }

    private static final ModelConfig.Subject CHALLENGE_SUBJECT = new ModelConfig.Subject("", 19004, 20544);

    @Test
    void everyBundledRecipeFits() {
        assertFalse(Recipe.BUNDLED.isEmpty());
        for (String name : Recipe.BUNDLED) {
            Recipe r = Recipe.load(name);
            TrainSettings train = TrainSettings.of(r);
            StepSettings.of(r, List.of(CHALLENGE_SUBJECT), train.precision());
        }
    }

    /** Regions in the number and sizes that a recipe's grouping has: 25 for the functional ROIs. */
    private static List<Region> regions(Recipe r) {
        String per = r.section("model").section("discriminator").text("per");
        if (!per.equals("classes")) return Regions.of(per, Regions.Order.STORED, 19004, 20544);
        List<Region> all = new ArrayList<>();
        for (int k = 0; k < 25; k++)
            all.add(new Region(
                    "r" + k,
                    IntStream.range(1600 * k, 1600 * k + (k == 24 ? 1148 : 1640))
                            .toArray()));
        return all;
    }

    @Test
    @Tag("slow")
    void everyRecipesArenaIsNearItsLowerBound() {
        for (String name : Recipe.BUNDLED) {
            Recipe r = Recipe.load(name).with("model.generator.query_regions", List.of("a", "b", "c"));
            StepSettings settings = StepSettings.of(r, List.of(CHALLENGE_SUBJECT), Precision.FP32);
            int batch = TrainSettings.of(r).batch();
            StepGraph g = new StepGraph(settings, CHALLENGE_SUBJECT, regions(r), batch, 0);
            PlanReport report = Session.plan(g.graph(), new NullDevice()).report();
            assertTrue(report.fragmentation() <= 1.15, name + ": " + report);
        }
    }
}
