// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Half;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Type;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps and predictions on the features of what is frozen. */
class FrozenPartTest {
    private static final CpuDevice CPU = CpuDevice.best(1);
    /** As many photographs as the maps have cells, so that a swap of both axes keeps the shape. */
    private static final int BATCH = 4;

    private static final TrainSettings TRAIN =
            TrainSettings.of(Recipe.of("batch", Map.of("train", Map.of("batch", BATCH)), "batch"));

    private static final ModelConfig.Subject SUBJECT = new ModelConfig.Subject("", 9, 11);

    /** The toy data with a folder for what is computed from their photographs. */
    private record Stored(TrainingData toy, Path folder) implements TrainingData {
        @Override
        public int count() {
            return toy.count();
        }

        @Override
        public int leftVertices() {
            return toy.leftVertices();
        }

        @Override
        public int rightVertices() {
            return toy.rightVertices();
        }

        @Override
        public Optional<Store> store() {
            return Optional.of(new Store(folder, "toy"));
        }

        @Override
        public void image(int i, ByteBuffer into) {
            toy.image(i, into);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            toy.responses(i, into);
        }
    }

    private static Recipe recipe(String... options) {
        return TrainerTest.recipe("train.epochs=2", "train.batch=" + BATCH, "train.freeze=backbone")
                .with(List.of(options));
    }

    private static SubjectSetup setup(Recipe r, DType compute) {
        TrainSettings train = TrainSettings.of(r);
        StepSettings settings = StepSettings.of(r, List.of(SUBJECT), Precision.FP32, compute);
        return SubjectSetup.of(r, train, settings, SUBJECT, TrainerTest.TOY, s -> {});
    }

    private static String[] sd(String latent) {
        return new String[] {
            "model.generator.type=sd",
            "model.generator.sd.latent=" + latent,
            "model.generator.sd.layers=[mid, up1]",
            "model.generator.sd.vae_channels=[8, 16]",
            "model.generator.sd_unet.channels=[8, 16]",
            "model.generator.sd_unet.blocks=1",
            "model.generator.sd_unet.attention_levels=1",
            "model.generator.sd_unet.heads=2",
            "model.generator.sd_unet.context=6",
            "model.generator.sd_unet.groups=4"
        };
    }

    private static Map<String, Recipe> kinds() {
        Map<String, Recipe> kinds = new TreeMap<>();
        Map<String, String[]> backbones = Map.of(
                "vit",
                new String[] {"model.generator.type=vit"},
                "vit mean",
                new String[] {"model.generator.vit.pool=mean"},
                "vit tokens",
                new String[] {"model.generator.vit.pool=tokens", "model.generator.rank=5"},
                "vit layers",
                new String[] {"model.generator.vit.layers=[1, 2]"},
                "vit first",
                new String[] {"model.generator.vit.layers=[1]"},
                "vit block",
                new String[] {"train.freeze=1", "model.generator.vit.layers=[1, 2]"},
                "vit all blocks",
                new String[] {"train.freeze=2"},
                "cnn",
                new String[] {"model.generator.type=cnn", "model.generator.cnn.channels=[4, 8, 8]"},
                "unet",
                new String[] {
                    "model.generator.type=unet",
                    "model.generator.unet.channels=[4, 8, 8]",
                    "model.generator.unet.decoder=1"
                },
                "gabor",
                new String[] {
                    "model.generator.type=gabor",
                    "model.generator.gabor.levels=2",
                    "model.generator.gabor.grids=[1, 2]",
                    "model.generator.gabor.orientations=3",
                    "model.generator.gabor.hidden=[6, 0]",
                    "model.generator.gabor.dropout=0.2",
                    "model.generator.gabor.trained=true"
                });
        backbones.forEach((name, options) -> {
            for (String readout : new String[] {"dense", "factorised", "position"})
                if (readout.equals("dense") || !name.equals("vit tokens"))
                    kinds.put(name + ", " + readout, recipe(options).with("model.generator.readout=" + readout));
        });
        for (String readout : new String[] {"dense", "position"})
            kinds.put("sd, " + readout, recipe(sd("patch")).with("model.generator.readout=" + readout));
        // Only the autoencoder is frozen.
        kinds.put("sd latents", recipe(sd("vae")).with("train.freeze=none"));
        kinds.put("conditioned", recipe("model.discriminator.condition=image", "model.generator.dropout=0.3"));
        return kinds;
    }

    /** Sets all variables to their values before the first step. */
    private static void initialise(Variables vars, StepGraph step) {
        List<Weights.Spec> all = new ArrayList<>(step.generatorSpecs());
        all.addAll(step.discriminatorSpecs());
        all.addAll(step.states());
        vars.types().forEach((name, type) -> vars.find(name).fill(0));
        for (Weights.Spec s : all) {
            float[] values = s.init().make(s.shape(), 5, s.name());
            vars.get(s.name(), new Type(DType.F32, s.shape())).write(values);
            for (String part : List.of(".u", ".v", ".s"))
                if (vars.has(s.name() + part)) vars.find(s.name() + part).fill(1);
        }
    }

    private static Set<String> inputs(Graph g) {
        return g.nodes().stream()
                .filter(n -> n.op() instanceof Leaf.Input)
                .map(n -> ((Leaf.Input) n.op()).id())
                .collect(Collectors.toSet());
    }

    private static byte[] photographs() {
        byte[] rgb = new byte[BATCH * 16 * 16 * 3];
        ByteBuffer into = ByteBuffer.wrap(rgb);
        for (int i = 0; i < BATCH; i++) TrainerTest.TOY.image(i, into);
        return rgb;
    }

    private static void write(Session s, float[] features) {
        float[] responses = new float[BATCH * SUBJECT.vertices()];
        for (int i = 0; i < responses.length; i++) responses[i] = (float) Math.sin(i);
        if (s.hasInput("responses")) s.input("responses").write(responses);
        for (String rate : List.of("lr.g", "lr.d", "gan.weight"))
            if (s.hasInput(rate)) s.input(rate).fill(0.01);
        for (String one : List.of("t.g", "t.d", "loss.weights"))
            if (s.hasInput(one)) s.input(one).fill(1);
        if (s.hasInput("images")) {
            ByteBuffer rgb = ByteBuffer.allocateDirect(BATCH * 16 * 16 * 3).put(photographs());
            s.input("images").write(rgb.flip());
        }
        if (s.hasInput("features")) s.input("features").write(features);
    }

    @Test
    void aStepOnFeaturesGivesTheSameBits() {
        kinds().forEach((name, recipe) -> {
            SubjectSetup setup = setup(recipe, DType.F32);
            StepGraph step = setup.step(TRAIN, false);
            FrozenPart frozen = setup.frozen(TRAIN).orElseThrow();
            Graph cut = frozen.step(step);
            assertEquals(name.equals("conditioned"), inputs(cut).contains("images"), name);
            assertTrue(inputs(cut).contains("features"), name);
            Set<String> reads = cut.nodes().stream()
                    .filter(n -> n.op() instanceof Leaf.Variable)
                    .map(n -> ((Leaf.Variable) n.op()).id())
                    .collect(Collectors.toSet());
            for (Weights.Spec s : step.generatorSpecs())
                assertEquals(
                        // Gabor's hidden units are behind a dropout.
                        !setup.settings().freeze().freezes(s) || s.name().contains(".hidden."),
                        reads.contains(s.name()),
                        name + ": " + s.name());
            try (Variables vars = new Variables(CPU);
                    Session whole = new Session(step.graph(), CPU, vars);
                    Session part = new Session(frozen.alone(), CPU, vars);
                    Session rest = new Session(cut, CPU, vars)) {
                initialise(vars, step);
                write(part, new float[0]);
                part.run();
                float[] features = part.output(FrozenPart.FEATURES).toFloats();
                assertEquals(BATCH * frozen.elements(), features.length);
                Map<String, float[]> want = run(whole, features, vars, step), got = run(rest, features, vars, step);
                assertEquals(want.keySet(), got.keySet());
                want.forEach((k, v) -> assertArrayEquals(v, got.get(k), name + ": " + k));
            }
        });
    }

    /** The losses and all variables after a step. */
    private static Map<String, float[]> run(Session s, float[] features, Variables vars, StepGraph step) {
        initialise(vars, step);
        write(s, features);
        s.run();
        Map<String, float[]> results = new TreeMap<>();
        for (StepOutput o : step.outputs())
            results.put(o.key(), s.output(o.key()).toFloats());
        for (String v : vars.types().keySet()) results.put(v, vars.find(v).toFloats());
        return results;
    }

    @Test
    void aPredictionOnFeaturesGivesTheSameBits() {
        kinds().forEach((name, recipe) -> {
            SubjectSetup setup = setup(recipe, DType.F32);
            StepGraph step = setup.step(TRAIN, false);
            FrozenPart frozen = setup.frozen(TRAIN).orElseThrow();
            try (Variables vars = new Variables(CPU);
                    Session part = new Session(frozen.alone(), CPU, vars);
                    Predictor whole = predictor(setup, vars, Optional.empty());
                    Predictor rest = predictor(setup, vars, Optional.of(frozen))) {
                initialise(vars, step);
                write(part, new float[0]);
                part.run();
                ByteBuffer features = rest.imageBytesOfBatch();
                for (float f : part.output(FrozenPart.FEATURES).toFloats()) features.putFloat(f);
                rest.run();
                float[] want = whole.predict(photographs()), got = new float[want.length];
                rest.read(got, 0, BATCH);
                assertArrayEquals(want, got, name);
            }
        });
    }

    private static Predictor predictor(SubjectSetup setup, Variables vars, Optional<FrozenPart> frozen) {
        return new Predictor(
                setup.settings().model(),
                SUBJECT,
                CPU,
                vars,
                Weights.Use.PREDICT,
                BATCH,
                false,
                Predictor.Form.RESPONSES,
                ResponseScaling.identity(SUBJECT.vertices()),
                g -> frozen.map(f -> f.prediction(g)).orElse(g));
    }

    @Test
    void aBf16StepReadsTheFeaturesOfF32AndResidentOnesByRow() {
        kinds().forEach((name, recipe) -> {
            SubjectSetup setup = setup(recipe, DType.BF16);
            FrozenPart frozen = setup.frozen(TRAIN).orElseThrow();
            assertTrue(frozen.alone().nodes().stream()
                    .flatMap(n -> n.outputs().stream())
                    .noneMatch(v -> v.dtype() == DType.BF16));
            for (boolean resident : new boolean[] {false, true}) {
                StepGraph step = setup.step(TRAIN, resident);
                Set<StepInput> in = StepInput.of(frozen.step(step));
                assertEquals(resident, in.contains(StepInput.ALL_FEATURES), name);
                assertEquals(!resident, in.contains(StepInput.FEATURES), name);
                assertEquals(resident, in.contains(StepInput.IMAGE_ROWS), name);
                assertEquals(resident && name.equals("conditioned"), in.contains(StepInput.ALL_IMAGES), name);
            }
        });
    }

    private record Outcome(List<Double> losses, Map<String, float[]> values, List<String> said, double r) {}

    private static Outcome train(Recipe r, TrainingData data, Device device, Path folder, Path from, long stopAt) {
        List<Double> losses = new ArrayList<>();
        List<String> said = new ArrayList<>();
        double[] validated = new double[1];
        try (Trainer t = new Trainer(r, Map.of("", data), device, folder, said::add)) {
            if (from != null) t.resume(from);
            t.addListener(Listeners.onStep((step, loss) -> losses.add(loss)));
            t.addListener(Listeners.onEpoch(e -> validated[0] = e.validationMeanR()));
            t.addListener(Listeners.stopAt(t, stopAt));
            t.run();
            Map<String, float[]> values = new LinkedHashMap<>();
            for (String v : t.variables()) values.put(v, t.variable(v));
            return new Outcome(losses, values, said, validated[0]);
        }
    }

    private static Outcome train(Recipe r, TrainingData data) {
        return train(r, data, CPU, null, null, -1);
    }

    private static void same(Map<String, float[]> a, Map<String, float[]> b) {
        assertEquals(a.keySet(), b.keySet());
        a.forEach((k, v) -> assertArrayEquals(v, b.get(k), k));
    }

    /**
     * The rounding of a feature x to f16 is at most 2^-11 |x|, so that of a prediction at most 2^-11 |w| |x|, summed
     * over the features. An update of Adam is at most rate (1 - b1) / sqrt(1 - b2). An L1 loss changes by no more than
     * the predictions.
     */
    @Test
    void theCacheChangesLossesByTheRoundingToF16() {
        double rate = 1e-6;
        Recipe r = recipe(
                "loss.gan_weight=0",
                "loss.correlation_weight=0",
                "optimizer.weight_decay=0",
                "optimizer.learning_rate=" + rate);
        Outcome whole = train(r.with("train.cache_features=no"), TrainerTest.TOY);
        Outcome cached = train(r.with("train.cache_features=yes"), TrainerTest.TOY);
        float[] weight = cached.values.get("generator.head.weight");
        double largestRow = 0;
        for (int v = 0; v < SUBJECT.vertices(); v++) {
            double sum = 0;
            for (int k = 0; k < 16; k++) sum += Math.abs(weight[v * 16 + k]);
            largestRow = Math.max(largestRow, sum);
        }
        double largest = 4; // A layer norm of 16 channels gives at most sqrt(15).
        double update = rate * 0.1 / Math.sqrt(0.001);
        int steps = whole.losses.size();
        assertEquals(24, steps);
        for (int k = 0; k < steps; k++) {
            double bound = largest * (largestRow * 0x1p-11 + 16 * 2 * k * update) + 2 * k * update + 1e-6;
            assertEquals(whole.losses.get(k), cached.losses.get(k), bound, "step " + k);
        }
        assertNotEquals(whole.losses, cached.losses, "features are rounded");
    }

    /**
     * Losses of micro-batches, of discriminators too, on features of two layers. A micro-batch that read the features
     * of other photographs would change Pearson's r by about as much as another batch does.
     */
    @Test
    void microBatchesReadTheirOwnFeatures() {
        Recipe r = recipe(
                "train.accumulate=2",
                "train.batch=3",
                "model.generator.vit.layers=[1, 2]",
                "loss.gan_weight=0.1",
                "loss.gan_warmup=0",
                "optimizer.learning_rate=1e-6",
                "optimizer.discriminator_learning_rate=1e-6");
        List<Double> whole = train(r.with("train.cache_features=no"), TrainerTest.TOY).losses;
        List<Double> cached = train(r.with("train.cache_features=yes"), TrainerTest.TOY).losses;
        assertEquals(whole.size(), cached.size());
        double least = Double.MAX_VALUE;
        for (int k = 0; k < whole.size(); k++) {
            assertEquals(whole.get(k), cached.get(k), 1e-3, "step " + k);
            if (k > 0) least = Math.min(least, Math.abs(whole.get(k) - whole.get(k - 1)));
        }
        assertTrue(whole.size() >= 4 && least > 2e-3, whole + ": the batches differ too little to tell");
        assertNotEquals(whole, cached, "features are rounded");
    }

    @ParameterizedTest
    @ValueSource(strings = {"backbone", "1"})
    void aRunOnFeaturesResumesBitEqualAndReadsTheFile(String freeze, @TempDir Path dir) throws IOException {
        Recipe r = recipe("train.freeze=" + freeze, "optimizer.ema=0.9", "model.generator.readout=position");
        TrainingData data = new Stored(TrainerTest.TOY, Files.createDirectory(dir.resolve("cache")));
        Outcome whole = train(r, data);
        String first = whole.said.stream()
                .filter(s -> s.contains("features"))
                .findFirst()
                .orElseThrow();
        // Of 5 tokens of 16 channels; the residual sum and the MLP's output behind a block.
        int elements = freeze.equals("1") ? 2 * 5 * 16 : 5 * 16;
        Path file;
        try (Stream<Path> files = Files.list(dir.resolve("cache"))) {
            file = files.collect(Collectors.toList()).get(0);
        }
        assertEquals(
                "computing the features of 60 photographs once, " + elements + " numbers each, " + 60 * elements * 2
                        + " bytes to " + file,
                first);
        try (NpyFile npy = NpyFile.open(file)) {
            assertEquals(NpyType.F16, npy.type());
            assertArrayEquals(new long[] {60, elements}, npy.shape());
        }
        Path folder = dir.resolve("run");
        train(r, data, CPU, folder, null, 13);
        Path stopped = Files.copy(RunFolder.last(folder), dir.resolve("stopped.safetensors"));
        Outcome rest = train(r, data, CPU, folder, RunFolder.last(folder), -1);
        same(whole.values, rest.values);
        assertEquals(whole.r, rest.r);
        assertTrue(rest.said.contains("features of 60 photographs from " + file), rest.said + "");
        // In memory the same.
        same(whole.values, train(r, TrainerTest.TOY).values);
        // A checkpoint has what is frozen: a run goes on from it without the cache.
        Outcome other = train(r.with("train.cache_features=no"), data, CPU, null, stopped, -1);
        assertEquals(whole.r, other.r, 0.01);
        assertEquals(
                "resumed with another value: train.cache_features is \"no\", the checkpoint has \"auto\"",
                other.said.get(0));
        Files.write(file, new byte[100]);
        same(whole.values, train(r, data).values);
        // Other frozen weights have another file.
        train(r.with("train.seed=7"), data);
        try (Stream<Path> files = Files.list(dir.resolve("cache"))) {
            assertEquals(2, files.count());
        }
    }

    @Test
    void whatF16CannotHoldIsRefused(@TempDir Path dir) throws IOException {
        SubjectSetup s = setup(recipe(), DType.F32);
        SubjectSetup setup = new SubjectSetup(
                SUBJECT, new Stored(TrainerTest.TOY, dir), s.split(), s.regions(), s.settings(), true, s.layout());
        FrozenPart frozen = setup.frozen(TRAIN).orElseThrow();
        try (Variables vars = new Variables(CPU)) {
            initialise(vars, setup.step(TRAIN, false));
            vars.find("generator.norm.bias").fill(65500);
            FeatureCache.open(setup, frozen, vars, () -> false, line -> {})
                    .orElseThrow()
                    .close();
            vars.find("generator.norm.bias").fill(1e5);
            InputException e = assertThrows(
                    InputException.class, () -> FeatureCache.open(setup, frozen, vars, () -> false, line -> {}));
            assertTrue(
                    e.getMessage()
                            .matches("training data, image 0: feature 0 is (99|100).*, which f16 cannot hold. Set"
                                    + " train.cache_features to no.*"),
                    e.getMessage());
            assertEquals(Optional.empty(), FeatureCache.open(setup, frozen, vars, () -> true, line -> {}));
        }
        try (Stream<Path> files = Files.list(dir)) {
            assertEquals(1, files.count(), "nothing half-written");
        }
    }

    @Test
    void featuresThatChangeAreNotCached() {
        for (String[] o : new String[][] {
            {"train.augment.shift=0.1", "does not go with train.augment"},
            {"train.freeze=none", "needs frozen parameters"}
        }) {
            assertEquals(Optional.empty(), setup(recipe(o[0]), DType.F32).frozen(TRAIN));
            InputException e = assertThrows(
                    InputException.class, () -> setup(recipe(o[0], "train.cache_features=yes"), DType.F32));
            assertTrue(
                    e.getMessage().contains("'train.cache_features'")
                            && e.getMessage().contains(o[1]),
                    e.getMessage());
        }
        assertEquals(
                Optional.empty(),
                setup(recipe("train.cache_features=no"), DType.F32).frozen(TRAIN));
    }

    @Test
    void binary16RoundsToNearestEven() {
        for (int h = 0; h < 0x7c00; h++) {
            float x = Half.fromF16((short) h);
            assertEquals((short) h, Half.toF16(x));
            assertEquals((short) (h | 0x8000), Half.toF16(-x));
            if (h == 0x7bff) continue;
            float middle = (x + Half.fromF16((short) (h + 1))) / 2; // exact in f32
            assertEquals((short) (h + (h & 1)), Half.toF16(middle));
            assertEquals((short) h, Half.toF16(Math.nextDown(middle)));
            assertEquals((short) (h + 1), Half.toF16(Math.nextUp(middle)));
        }
        assertEquals(0x7c00, Half.toF16(65520));
        assertEquals(0x7bff, Half.toF16(65519));
        assertEquals((short) 0xfc00, Half.toF16(Float.NEGATIVE_INFINITY));
        assertTrue(Float.isNaN(Half.fromF16(Half.toF16(Float.NaN))));
    }

    @Test
    void severalSubjectsHaveFeaturesOfTheirOwn() {
        Map<String, TrainingData> two = new LinkedHashMap<>();
        two.put("subj01", TrainerTest.TOY);
        two.put("subj02", new TrainerTest.Toy(40, 6, 7, 16));
        List<Double> r = new ArrayList<>();
        for (String cache : new String[] {"yes", "no"}) {
            List<String> said = new ArrayList<>();
            Recipe recipe = recipe("loss.gan_weight=0", "train.cache_features=" + cache);
            try (Trainer t = new Trainer(recipe, two, CPU, null, said::add)) {
                t.addListener(Listeners.onEpoch(e -> r.add(e.validationMeanR())));
                assertTrue(t.run());
            }
            assertEquals(
                    cache.equals("yes") ? 2 : 0,
                    said.stream()
                            .filter(s -> s.matches("subj0.: computing the features of .0 photographs.*"))
                            .count());
        }
        assertEquals(r.get(3), r.get(1), 0.05);
    }

    @Test
    @Tag("slow")
    void simulatedCudaAndTheProcessorAgree(@TempDir Path dir) {
        Recipe r = DeviceTrainingTest.recipe("train.freeze=backbone", "model.discriminator.condition=image")
                .with("train.validation=0.2");
        SimDevice sim = new SimDevice(false);
        Outcome cpu = train(r, DeviceTrainingTest.TOY);
        Outcome host = train(r.with("train.data_on_device=no"), DeviceTrainingTest.TOY, sim, null, null, -1);
        Outcome resident = train(r.with("train.data_on_device=yes"), DeviceTrainingTest.TOY, sim, null, null, -1);
        assertEquals(host.losses, resident.losses);
        same(host.values, resident.values);
        assertEquals(cpu.losses.size(), host.losses.size());
        // the kernels sum in different orders
        for (int k = 0; k < cpu.losses.size(); k++)
            assertEquals(cpu.losses.get(k), host.losses.get(k), 0.01 * Math.abs(cpu.losses.get(k)));
    }
}
