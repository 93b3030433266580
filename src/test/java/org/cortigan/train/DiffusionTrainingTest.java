// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.train.States.same;
import static org.cortigan.train.States.state;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Diffusion;
import org.cortigan.model.DiffusionSchedule;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;
import org.cortigan.op.PearsonLoss;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training of a readout that denoises responses. */
class DiffusionTrainingTest {
    private static final Device CPU = CpuDevice.best(2);
    private static final TrainingData TOY = TrainerTest.TOY;
    private static final int VERTICES = TOY.leftVertices() + TOY.rightVertices();

    /** Options that make the UNet small. */
    static final List<String> SMALL_UNET = List.of(
            "model.generator.sd_unet.channels=[8, 16]",
            "model.generator.sd_unet.blocks=1",
            "model.generator.sd_unet.attention_levels=1",
            "model.generator.sd_unet.heads=2",
            "model.generator.sd_unet.context=12",
            "model.generator.sd_unet.groups=4");

    /** Options of a small network. */
    static final List<String> SMALL = Stream.concat(
                    Stream.of(
                            "model.generator.readout=diffusion",
                            "model.generator.features=8",
                            "model.generator.diffusion.grid=4",
                            "loss.pixel=mse",
                            "loss.correlation_weight=0",
                            "loss.gan_weight=0"),
                    SMALL_UNET.stream())
            .toList();

    private static final String[] EPSILON = {
        "model.generator.diffusion.schedule=sd",
        "model.generator.diffusion.prediction=epsilon",
        "model.generator.diffusion.terminal_share=0"
    };

    private static Recipe recipe(String... options) {
        return TrainerTest.recipe(SMALL.toArray(new String[0])).with(List.of(options));
    }

    private static Map<String, float[]> stateAfter(Recipe r, Map<String, TrainingData> data, Device device) {
        try (Trainer t = new Trainer(r, data, device, null, line -> {})) {
            assertTrue(t.run());
            return state(t);
        }
    }

    private static Map<String, float[]> stateAfter(Recipe r) {
        return stateAfter(r, Map.of("", TOY), CPU);
    }

    /** The numbers that the loader draws for some photographs of a step. */
    private static List<int[]> drawn(TrainingNoise noise, long epoch, int... images) {
        int[] rows = new int[2 * images.length], t = new int[images.length];
        noise.fill(images, epoch, rows, t);
        return List.of(rows, t);
    }

    @Test
    void noiseIsAFunctionOfSeedPhotographAndEpoch() {
        int[] images = IntStream.range(0, 4000).toArray();
        int[] t = drawn(new TrainingNoise(0, 7), 3, images).get(1);
        assertArrayEquals(
                new int[] {t[5], t[0], t[5]},
                drawn(new TrainingNoise(0, 7), 3, 5, 0, 5).get(1),
                "whatever the batch");
        assertArrayEquals(
                new int[] {5, 3, 0, 3}, drawn(new TrainingNoise(0, 7), 3, 5, 0).get(0));
        assertNotEquals(
                Arrays.toString(t),
                Arrays.toString(drawn(new TrainingNoise(0, 7), 4, images).get(1)));
        assertNotEquals(
                Arrays.toString(t),
                Arrays.toString(drawn(new TrainingNoise(0, 8), 3, images).get(1)));
        // Uniform from 0 to 999: the mean of 4,000 has a standard deviation of 4.6, every quarter 27.
        assertEquals(499.5, Arrays.stream(t).average().orElseThrow(), 5 * 4.6);
        for (int q = 0; q < 4; q++) {
            int from = 250 * q;
            assertEquals(
                    1000,
                    Arrays.stream(t).filter(x -> x >= from && x < from + 250).count(),
                    5 * 27.4);
        }
    }

    @Test
    void aShareOfThePhotographsHasTheLastTimestep() {
        int[] images = IntStream.range(0, 4000).toArray();
        int[] t = drawn(new TrainingNoise(0.25, 7), 0, images).get(1);
        int[] free = drawn(new TrainingNoise(0, 7), 0, images).get(1);
        int last = 0;
        for (int i = 0; i < t.length; i++) {
            if (t[i] == DiffusionSchedule.LAST) last++;
            else assertEquals(free[i], t[i], "the others are as without a share");
        }
        // 1,000 with a standard deviation of 27, and 3 by chance.
        assertEquals(1003, last, 5 * 27.4);
        assertArrayEquals(
                new int[] {t[17]}, drawn(new TrainingNoise(0.25, 7), 0, 17).get(1), "in a batch of one photograph");
        int[] all = drawn(new TrainingNoise(1, 7), 0, images).get(1);
        assertTrue(Arrays.stream(all).allMatch(x -> x == DiffusionSchedule.LAST));
    }

    /**
     * A fresh network answers 0, so the loss is the variance of its target: 1 for the velocity; for the noise beside
     * the linear guess a^2, in the mean over timesteps 0.373. The prediction is the training mean.
     */
    @Test
    void trainingBeginsWithTheMean(@TempDir Path dir) {
        Recipe still = recipe("optimizer.learning_rate=0", "train.epochs=8", "train.validation=0");
        double[] want = {1, 0.373};
        for (int k = 0; k < 2; k++) {
            List<Double> losses = new ArrayList<>();
            Path folder = dir.resolve("run" + k);
            RunFolder.create(folder);
            Recipe r = k == 0 ? still : still.with(List.of(EPSILON));
            try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
                t.addListener(Listeners.onEpoch(e -> losses.add(e.means().get("pixel"))));
                t.run();
            }
            double mean = losses.stream().mapToDouble(x -> x).average().orElseThrow();
            // 7 batches of 8 a epoch. The squares of 8 x 56 x 20 normal numbers have a relative deviation of 0.015; a^2
            // of 448 timesteps one of 0.04.
            assertEquals(want[k], mean, 5 * (k == 0 ? 0.015 : 0.045) * want[k]);
            if (k == 1) continue;
            try (Predictor p = Model.load(RunFolder.last(folder)).predictor(CPU, 2)) {
                ByteBuffer photograph = ByteBuffer.allocate(16 * 16 * 3);
                TOY.image(3, photograph);
                assertArrayEquals(p.scaling().mean(), p.predict(photograph.array()));
            }
        }
    }

    @Test
    void responsesAreStandardisedForEachVertex(@TempDir Path dir) {
        int[] images = IntStream.range(0, 40).toArray();
        TrainingData data = new Changed(TOY, (i, r, at) -> {
            r.putFloat(at, 5);
            r.putFloat(at + 4, 1e6f * r.getFloat(at + 4) - 3);
            r.putFloat(at + 8, 1e-9f * r.getFloat(at + 8) + 1);
        });
        List<String> said = new ArrayList<>();
        ResponseScaling s = StandardisedResponses.scaling(data, images, true, said::add);
        assertEquals(List.of(), said);
        TrainingData learned = new StandardisedResponses(data, s);
        double[] sum = new double[VERTICES], squares = new double[VERTICES];
        ByteBuffer row = ByteBuffer.allocate(4 * VERTICES).order(ByteOrder.LITTLE_ENDIAN);
        for (int i : images) {
            learned.responses(i, row.clear());
            for (int v = 0; v < VERTICES; v++) {
                sum[v] += row.getFloat(4 * v);
                squares[v] += row.getFloat(4 * v) * row.getFloat(4 * v);
            }
        }
        for (int v = 0; v < VERTICES; v++) {
            assertEquals(0, sum[v] / 40, 1e-3, "vertex " + v);
            assertEquals(v == 0 || v == 2 ? 0 : 1, squares[v] / 40, v == 2 ? 1e-3 : 1e-4, "vertex " + v);
        }
        float[] constants = StandardisedResponses.scaling(data, new int[] {3}, true, said::add)
                .scale();
        assertArrayEquals(new float[] {1}, constants, "one image has no deviation");
    }

    /** The whole step in double, with random weights, against central differences along a random direction. */
    @Test
    void gradientsAreThoseOfTheLoss() {
        for (String face : new String[] {"vertex", "conv"}) {
            Recipe r = recipe("model.generator.diffusion.interface=" + face);
            ModelConfig.Subject subject = new ModelConfig.Subject("", 9, 11);
            Generator generator =
                    StepSettings.of(r, List.of(subject), Precision.FP32).model().generator();
            Graph g = new Graph();
            Weights w = Weights.in(g, DType.F32, Generator.PREFIX, false);
            Diffusion.Noise noise = new Diffusion.Noise(
                    g.table(new int[] {3, 4}, 2),
                    g.table(new int[] {1, 0, 2, 0, 5, 1}, 3, 2),
                    g.table(new int[] {999, 20, 480}, 3));
            Value responses = g.input("responses", DType.F32, 3, 20);
            Diffusion.Pair pair = generator.denoised(w, generator.images(g, 3), responses, noise, "");
            Value weights = g.input("weights", DType.F32, 2);
            Value loss = g.apply(
                            new PearsonLoss(PearsonLoss.Pixel.MSE, PearsonLoss.Axis.IMAGES, 0.01),
                            pair.prediction(),
                            pair.target(),
                            weights)
                    .output(0);
            g.output("loss", loss);
            List<Value> by = w.differentiable();
            List<Value> gradients = Gradients.of(List.of(loss), List.of(g.constant(1, DType.F32, 1)), by);
            for (int i = 0; i < by.size(); i++) g.output("d" + i, gradients.get(i));
            SplittableRandom random = new SplittableRandom(5);
            CpuDevice ref = CpuDevice.doubleReference();
            try (Variables vars = new Variables(ref);
                    Session s = new Session(g, ref, vars)) {
                for (Weights.Spec p : w.specs()) {
                    Storage v = vars.find(p.name());
                    boolean norm = p.name().contains("norm") && p.name().endsWith(".weight");
                    for (int i = 0; i < p.shape().elements(); i++)
                        v.set(i, (norm ? 1 : 0) + 0.3 * random.nextGaussian());
                }
                int[] order = IntStream.range(0, 20).toArray();
                Diffusion d = generator.diffusion().orElseThrow();
                vars.find(Generator.cellOf("")).write(d.grid().positions(order));
                if (face.equals("conv"))
                    vars.find(Generator.placeOf("")).write(d.grid().places(order));
                byte[] pixels = new byte[3 * 16 * 16 * 3];
                random.nextBytes(pixels);
                s.input(Generator.IMAGES).write(ByteBuffer.wrap(pixels));
                for (int i = 0; i < 60; i++) s.input("responses").set(i, random.nextGaussian());
                s.input("weights").set(0, 1);
                s.run();
                double[][] slope = new double[by.size()][];
                double[][] at = new double[by.size()][], along = new double[by.size()][];
                for (int k = 0; k < by.size(); k++) {
                    Storage v = vars.find(w.specs().get(k).name());
                    int n = Math.toIntExact(w.specs().get(k).shape().elements());
                    slope[k] = new double[n];
                    at[k] = new double[n];
                    along[k] = new double[n];
                    double squares = 0;
                    for (int i = 0; i < n; i++) {
                        slope[k][i] = s.output("d" + k).get(i);
                        at[k][i] = v.get(i);
                        squares += slope[k][i] * slope[k][i];
                    }
                    // Mostly along the gradient, or the small gradients of many parameters would not count.
                    for (int i = 0; i < n; i++)
                        along[k][i] =
                                slope[k][i] / Math.sqrt(squares + 1e-30) + 0.3 * random.nextGaussian() / Math.sqrt(n);
                }
                for (int k = -1; k < by.size(); k++) {
                    int only = k;
                    boolean checked = k < 0
                            || !w.specs().get(k).name().startsWith(Generator.PREFIX + "denoiser.")
                                    && !w.specs().get(k).name().contains("blocks");
                    if (!checked) continue;
                    double want = 0;
                    for (int j = 0; j < by.size(); j++)
                        if (only < 0 || j == only)
                            for (int i = 0; i < along[j].length; i++) want += slope[j][i] * along[j][i];
                    double[] losses = new double[2];
                    double h = 1e-6;
                    for (int side = 0; side < 2; side++) {
                        for (int j = 0; j < by.size(); j++)
                            if (only < 0 || j == only) {
                                Storage v = vars.find(w.specs().get(j).name());
                                for (int i = 0; i < along[j].length; i++)
                                    v.set(i, at[j][i] + (side == 0 ? h : -h) * along[j][i]);
                            }
                        s.run();
                        losses[side] = s.output("loss").get(0);
                    }
                    for (int j = 0; j < by.size(); j++)
                        if (only < 0 || j == only)
                            for (int i = 0; i < along[j].length; i++)
                                vars.find(w.specs().get(j).name()).set(i, at[j][i]);
                    String what = face + " " + (k < 0 ? "all" : w.specs().get(k).name());
                    assertNotEquals(0, want, what);
                    assertEquals(want, (losses[0] - losses[1]) / (2 * h), 1e-5 * Math.abs(want) + 1e-8, what);
                }
            }
        }
    }

    @Test
    void validationRises() {
        for (String[] kind : new String[][] {{}, {"model.generator.diffusion.prediction=sample"}}) {
            List<Double> r = new ArrayList<>();
            try (Trainer t = new Trainer(recipe(kind).with("train.epochs=40"), TOY, CPU, null)) {
                t.addListener(Listeners.onEpoch(e -> r.add(e.validationMeanR())));
                t.run();
            }
            assertTrue(r.get(39) > 0.4 && r.get(39) > r.get(0) + 0.2, Arrays.toString(kind) + r);
        }
    }

    /**
     * Two subjects of other numbers of vertices, micro-batches, an average: stopped and resumed, the bits are the same.
     */
    @Test
    void aResumedRunHasTheSameBits(@TempDir Path dir) {
        Map<String, TrainingData> data = new LinkedHashMap<>();
        data.put("subj01", new TrainerTest.Toy(22, 9, 11, 16));
        data.put("subj02", new TrainerTest.Toy(18, 4, 3, 16));
        Recipe r = recipe(
                "train.batch=4", "train.accumulate=2", "train.epochs=2", "train.validation=0", "optimizer.ema=0.9");
        Map<String, float[]> whole = stateAfter(r, data, CPU);
        assertTrue(whole.containsKey("generator.head.subj02.cell"));
        RunFolder.create(dir);
        try (Trainer t = new Trainer(r, data, CPU, dir, line -> {})) {
            t.addListener(Listeners.stopAt(t, 3));
            assertFalse(t.run());
        }
        // How the model predicts is no part of the run.
        Recipe other = r.with("model.generator.diffusion.sampling.steps=20");
        List<String> said = new ArrayList<>();
        try (Trainer t = new Trainer(other, data, CPU, dir, said::add)) {
            t.resume(RunFolder.last(dir));
            assertTrue(t.run());
            same(whole, state(t), 0);
        }
        assertTrue(said.stream().anyMatch(line -> line.contains("sampling.steps")), said.toString());
        Map<ModelConfig.Subject, ResponseScaling> scalings =
                Model.load(RunFolder.last(dir)).scalings();
        scalings.forEach((subject, s) -> assertEquals(subject.vertices(), s.scale().length));
    }

    private static Path trained(Recipe r, Path folder) {
        RunFolder.create(folder);
        try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
            assertTrue(t.run());
        }
        return RunFolder.last(folder);
    }

    @Test
    void aRunThatIsValidatedOtherwiseForgetsItsBestEpoch(@TempDir Path dir) {
        Recipe r = recipe("train.epochs=1", "train.validation=0.25");
        trained(r, dir);
        Recipe other = r.with("train.epochs=2")
                .with("model.generator.diffusion.sampling.validation=samples")
                .with("model.generator.diffusion.sampling.steps=2");
        for (Recipe next : List.of(r.with("train.epochs=2"), other)) {
            List<String> said = new ArrayList<>();
            try (Trainer t = new Trainer(next, Map.of("", TOY), CPU, dir, said::add)) {
                t.resume(RunFolder.last(dir));
            }
            assertEquals(
                    next == other,
                    said.stream().anyMatch(line -> line.startsWith("validation was by conditional mean")),
                    said.toString());
        }
    }

    @Test
    void aRunThatBeginsWithAnotherKeepsItsUNetWhateverThePrediction(@TempDir Path dir) {
        String unet = "generator.denoiser.mid_block.resnets.0.conv1.weight";
        Path file = trained(recipe("train.epochs=1", "train.validation=0"), dir);
        Recipe other = recipe(
                "train.init=" + file,
                "model.generator.diffusion.sampling.steps=20",
                "model.generator.diffusion.terminal_share=0.5");
        try (Trainer t = new Trainer(other, TOY, CPU, null)) {
            assertArrayEquals(Model.load(file).values(unet), t.variable(unet));
        }
    }

    @Test
    void otherLayoutsAreNotAveraged(@TempDir Path dir) {
        Path file = trained(recipe("train.epochs=1", "train.validation=0"), dir),
                moved = dir.resolve("moved.safetensors");
        try (SafeTensors t = SafeTensors.open(file)) {
            SafeTensors.Writer w = new SafeTensors.Writer(moved).metadata(t.metadata());
            for (String name : t.names()) {
                float[] values = t.floats(name);
                if (name.equals("generator.head.cell")) values[0] = -values[0];
                w.add(name, values, t.entry(name).shape());
            }
            w.commit();
        }
        ModelSoup.write(List.of(file, file), dir.resolve("soup.safetensors"), note -> {});
        InputException e = assertThrows(
                InputException.class,
                () -> ModelSoup.write(List.of(file, moved), dir.resolve("soup.safetensors"), note -> {}));
        assertTrue(e.getMessage().contains("laid out otherwise"), e.getMessage());
    }

    @Test
    void theSimulatedDeviceAgreesWithResidentData() {
        Recipe r = recipe("train.epochs=1", "train.validation=0", "model.generator.vit.depth=1", "optimizer.type=adam")
                .with("optimizer.eps", 1e-3); // so that a gradient near 0 does not decide the sign of an update
        Map<String, TrainingData> few = Map.of("", new TrainerTest.Toy(16, 9, 11, 16));
        Recipe resident = r.with("train.data_on_device", "yes");
        same(stateAfter(r, few, CPU), stateAfter(resident, few, new SimDevice(false)), 1e-4);
        if (CPU.supports(DType.BF16)) stateAfter(r.with("train.precision", "bf16"), few, CPU);
    }

    /** The tokens of a frozen backbone are computed once, and change nothing. */
    @Test
    void featuresOfAFrozenBackboneAreCached() {
        Recipe frozen = recipe("train.freeze=backbone", "train.epochs=2", "optimizer.type=adam")
                .with("optimizer.eps", 1e-3); // so that the rounding of a small gradient does not decide an update
        Map<String, float[]> cached = stateAfter(frozen.with("train.cache_features=yes"));
        same(stateAfter(frozen.with("train.cache_features=no")), cached, 1e-4);
        Map<String, float[]> fresh = stateAfter(frozen.with("optimizer.learning_rate=0"));
        assertArrayEquals(
                fresh.get("generator.blocks.0.attn.qkv.weight"), cached.get("generator.blocks.0.attn.qkv.weight"));
        assertFalse(Arrays.equals(
                fresh.get("generator.denoiser.mid_block.resnets.0.conv1.weight"),
                cached.get("generator.denoiser.mid_block.resnets.0.conv1.weight")));
    }

    /** Every vertex has a channel of its cell; the convolutions of a head learn. */
    @Test
    void verticesMayEnterAsChannels() {
        Recipe r = recipe("model.generator.diffusion.interface=conv", "train.epochs=1", "train.validation=0");
        Map<String, TrainingData> few = Map.of("", new TrainerTest.Toy(16, 9, 11, 16));
        Map<String, float[]> trained = stateAfter(r, few, CPU);
        Map<String, float[]> fresh = stateAfter(r.with("optimizer.learning_rate=0"), few, CPU);
        float[] place = trained.get("generator.head.place");
        assertEquals(2 * VERTICES, place.length, "20 vertices in 16 cells");
        for (int v = 0; v < VERTICES; v++) assertEquals(1, place[2 * v] + place[2 * v + 1]);
        for (String layer : List.of("conv_in", "conv_out")) {
            String name = "generator.head." + layer + ".weight";
            assertFalse(Arrays.equals(fresh.get(name), trained.get(name)), name);
        }
        assertFalse(trained.containsKey("generator.head.embedding"));
    }

    private static void refused(String names, String... options) {
        InputException e =
                assertThrows(InputException.class, () -> new Trainer(recipe(options), TOY, CPU, null).close());
        assertTrue(e.getMessage().contains(names), e.getMessage());
        assertFalse(e.getMessage().contains("\n"), e.getMessage());
    }

    @Test
    void settingsThatDoNotGoTogetherAreRefused() {
        refused("loss.gan_weight", "loss.gan_weight=0.01");
        refused("loss.correlation_weight", "loss.correlation_weight=1");
        refused("loss.pixel", "loss.pixel=smooth_l1");
        refused("model.generator.dropout", "model.generator.dropout=0.1");
        refused("model.generator.rank", "model.generator.rank=4");
        refused("train.initial_readout", "train.initial_readout=fitted");
        refused("diffusion.grid", "model.generator.diffusion.grid=12");
        refused("diffusion.grid", "model.generator.diffusion.grid=1");
        refused("diffusion.terminal_share", "model.generator.diffusion.schedule=sd");
        refused("diffusion.prediction", "model.generator.diffusion.prediction=epsilon");
        refused("sampling.steps", "model.generator.diffusion.sampling.steps=7");
        refused("diffusion.mesh", "model.generator.diffusion.order=surface");
        refused("model.generator.diffusion.order", "model.generator.diffusion.order=roi");
        refused("optimizer.unet_rate", "optimizer.unet_rate=0");
        refused("sd_unet.groups", "model.generator.sd_unet.groups=3");
    }
}
