// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.cortigan.InputException;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.NullDevice;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.model.Freeze;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Optimizer;
import org.cortigan.nn.Weights;
import org.cortigan.op.Dropout;
import org.cortigan.op.SpectralNorm;
import org.cortigan.plan.PlanReport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps of several micro-batches ({@code train.accumulate}). */
class AccumulationTest {
    private static final TrainerTest.Toy TOY = TrainerTest.TOY;
    private static final CpuDevice CPU = CpuDevice.best(1);

    /** Sums of the same terms in another order, in double. */
    private static final double ROUNDING = 1e-11;

    private static final String[] UNET = {
        "model.generator.type=unet",
        "model.generator.unet.channels=[4, 6, 8]",
        "model.generator.unet.decoder=1",
        "model.generator.unet.norm=batch"
    };

    private static Recipe recipe(String[] some, String... others) {
        Recipe r = TrainerTest.recipe(some).with("optimizer.clip_norm=0");
        for (String o : others) r = r.with(o);
        return r;
    }

    private static StepSettings settings(Recipe r, ModelConfig.Subject s) {
        return StepSettings.of(r, List.of(s), TrainSettings.of(r).precision());
    }

    private static StepGraph graph(Recipe r, ModelConfig.Subject s, int batch, int microBatches) {
        return new StepGraph(
                settings(r, s),
                s,
                Regions.of("hemisphere", Regions.Order.STORED, s.left(), s.right()),
                batch,
                microBatches,
                0);
    }

    /** Variables and outputs after a step with learning rate 0, in double, from photograph {@code first} on. */
    private static Map<String, double[]> step(Recipe r, int batch, int microBatches, int first) {
        ModelConfig.Subject s = new ModelConfig.Subject("", TOY.leftVertices(), TOY.rightVertices());
        StepGraph step = graph(r, s, batch, microBatches);
        CpuDevice device = CpuDevice.doubleReference();
        try (Variables vars = new Variables(device);
                Session session = new Session(step.graph(), device, vars)) {
            List<Weights.Spec> parameters = new ArrayList<>(step.generatorSpecs());
            parameters.addAll(step.discriminatorSpecs());
            new Initialiser(vars, parameters, step.states(), Freeze.NONE)
                    .initialise(TrainSettings.of(r).seed());
            int n = batch * microBatches;
            ByteBuffer images = ByteBuffer.allocate(n * 3 * 16 * 16);
            ByteBuffer responses = ByteBuffer.allocate(n * 4 * s.vertices()).order(ByteOrder.nativeOrder());
            for (int i = first; i < first + n; i++) {
                TOY.image(i, images);
                TOY.responses(i, responses);
            }
            float[] values = new float[n * s.vertices()];
            responses.flip().asFloatBuffer().get(values);
            session.input(StepInput.IMAGES.key()).write(images.flip());
            session.input(StepInput.RESPONSES.key()).write(values, 0);
            Map<StepInput, Double> scalars = Map.of(
                    StepInput.LOSS_WEIGHTS, 1.0,
                    StepInput.ADVERSARIAL_WEIGHT, 0.5,
                    StepInput.GENERATOR_RATE, 0.0,
                    StepInput.DISCRIMINATOR_RATE, 0.0,
                    StepInput.GENERATOR_UPDATE, 1.0,
                    StepInput.DISCRIMINATOR_UPDATE, 1.0);
            scalars.forEach((input, value) -> {
                if (step.inputs().contains(input)) session.input(input.key()).fill(value);
            });
            session.input(StepInput.LOSS_WEIGHTS.key())
                    .set(1, LossConfig.of(r.section("loss")).correlationTerm().weight());
            session.run();
            Map<String, double[]> all = new HashMap<>();
            vars.types().keySet().forEach(v -> all.put(v, vars.find(v).toDoubles()));
            step.outputs().forEach(o -> all.put(o.key(), session.output(o.key()).toDoubles()));
            return all;
        }
    }

    private static void near(String what, double[] want, double[] got) {
        double largest = 1e-3;
        for (double w : want) largest = Math.max(largest, Math.abs(w));
        assertArrayEquals(want, got, ROUNDING * largest, what);
    }

    private static double[] mean(double[] a, double[] b) {
        double[] m = new double[a.length];
        for (int i = 0; i < m.length; i++) m[i] = (a[i] + b[i]) / 2;
        return m;
    }

    /** After a step at rate 0, Adam's first moment is the gradient times a constant. */
    @ParameterizedTest
    @ValueSource(strings = {"none", "mlp", "patch", "conditioned", "unet"})
    void gradientsLossesAndStatisticsAreThoseOfTheMicroBatches(String kind) {
        Recipe r = switch (kind) {
            case "none" -> recipe(new String[] {"loss.gan_weight=0", "model.generator.readout=position"});
            case "patch" ->
                recipe(new String[] {"model.discriminator.type=patch", "model.discriminator.conv.channels=[3]"});
            case "conditioned" -> recipe(new String[] {"model.discriminator.condition=image"});
            case "unet" -> recipe(UNET, "model.discriminator.spectral_norm=none");
            default -> recipe(new String[0]);
        };
        Map<String, double[]> a = step(r, 4, 1, 0), b = step(r, 4, 1, 4), both = step(r, 4, 2, 0);
        assertEquals(a.keySet(), both.keySet());
        int compared = 0;
        for (String name : a.keySet()) {
            boolean gradient = name.startsWith(Optimizer.M);
            if (gradient
                    || name.startsWith("d.")
                    || Set.of("loss", "pixel", "correlation", "g.loss").contains(name)) {
                near(name, mean(a.get(name), b.get(name)), both.get(name));
                compared++;
            }
            if (name.contains(".running_")) {
                double[] before = new double[a.get(name).length], want = new double[before.length];
                for (int i = 0; i < want.length; i++) {
                    before[i] = name.endsWith("var") ? 1 : 0;
                    want[i] = 0.9 * a.get(name)[i] + b.get(name)[i] - 0.9 * before[i];
                }
                near(name, want, both.get(name));
                compared++;
            }
        }
        assertTrue(compared > 10, "compared " + compared);
        assertNotEquals(step(r, 8, 1, 0).get("correlation")[0], both.get("correlation")[0], 1e-6, "r of each batch");
    }

    @Test
    void ofAMeanOverElementsTheStepIsThatOfOneBatch() {
        for (String pixel : new String[] {"l1", "mse", "smooth_l1"}) {
            Recipe r = recipe(new String[] {"loss.gan_weight=0"}, "loss.correlation_weight=0", "loss.pixel=" + pixel);
            Map<String, double[]> whole = step(r, 8, 1, 0);
            for (int micro : new int[] {2, 4, 8}) {
                Map<String, double[]> parts = step(r, 8 / micro, micro, 0);
                for (String name : whole.keySet())
                    if (name.startsWith(Optimizer.M) || name.startsWith(Optimizer.V) || name.equals("norm.g"))
                        near(name + " of " + micro, whole.get(name), parts.get(name));
            }
        }
    }

    /** torch's spectral norm iterates in every forward pass, also in those of micro-batches. */
    @Test
    void torchsPowerIterationAdvancesInEveryPass() {
        Recipe r = recipe(new String[] {"model.discriminator.spectral_norm=torch"});
        ModelConfig.Subject s = new ModelConfig.Subject("", 9, 11);
        for (int micro : new int[] {1, 3}) {
            long advances = Session.plan(graph(r, s, 4, micro).graph(), new NullDevice()).steps().stream()
                    .filter(n -> n.op() instanceof SpectralNorm)
                    .count();
            assertEquals(2L * micro, advances);
        }
        for (double[] norm :
                List.of(step(r, 4, 3, 0).get("norm.d"), step(r, 4, 3, 0).get("norm.g")))
            assertTrue(norm[0] > 0 && Double.isFinite(norm[0]));
    }

    @Test
    void microBatchesDropOtherElementsAndBothPassesOfOneTheSame() {
        for (String gan : new String[] {"0", "0.1"}) {
            Recipe r = recipe(new String[] {"model.generator.dropout=0.5", "loss.gan_weight=" + gan});
            List<Long> sites = graph(r, new ModelConfig.Subject("", 9, 11), 4, 3).graph().nodes().stream()
                    .filter(n -> n.op() instanceof Dropout && !n.backward())
                    .map(n -> ((Dropout) n.op()).site())
                    .toList();
            assertEquals(gan.equals("0") ? 3 : 6, sites.size());
            assertEquals(3, new HashSet<>(sites).size());
        }
    }

    /** A step holds the activations of one micro-batch and one set of gradients. */
    @Test
    void aStepNeedsTheMemoryOfOneMicroBatch() {
        for (String gan : new String[] {"0", "0.1"}) {
            Recipe r = recipe(new String[] {
                "model.generator.image=64",
                "model.generator.vit.width=64",
                "model.generator.vit.depth=6",
                "loss.gan_weight=" + gan
            });
            ModelConfig.Subject s = new ModelConfig.Subject("", 400, 500);
            StepGraph step = graph(r, s, 2, 4);
            long gradients = 4 * ModelConfig.count(step.generatorSpecs());
            long parts = arena(step), one = arena(graph(r, s, 2, 1)), whole = arena(graph(r, s, 8, 1));
            assertTrue(parts < 0.45 * whole, parts + " of " + whole);
            // the sums lie beside the activations, where one batch has no gradient yet
            assertTrue(parts <= 1.05 * (one + gradients), parts + ", one " + one + ", gradients " + gradients);
            long eight = arena(graph(r, s, 2, 8));
            assertTrue(eight <= 1.01 * parts, eight + " for 8, " + parts + " for 4");
        }
    }

    private static long arena(StepGraph step) {
        PlanReport report = Session.plan(step.graph(), new NullDevice()).report();
        return report.arenaBytes();
    }

    @Test
    void everyPrecisionCanBePlanned() {
        Recipe r = recipe(
                new String[] {"train.fp8_layers=all", "model.generator.vit.patch=4", "model.discriminator.type=mlp"});
        ModelConfig.Subject s = new ModelConfig.Subject("", 9, 11);
        for (Precision p : Precision.values())
            assertTrue(arena(graph(r.with("train.precision=" + p.name().toLowerCase(Locale.ROOT)), s, 16, 2)) > 0);
    }

    @Test
    void aResumedRunGivesTheSameBits(@TempDir Path dir) {
        Recipe r = recipe(
                UNET, "train.accumulate=2", "train.epochs=2", "model.generator.dropout=0.2", "optimizer.ema=0.9");
        Map<String, float[]> whole = run(r, null, null, -1);
        RunFolder.create(dir);
        run(r, dir, null, 2);
        Map<String, float[]> rest = run(r, null, RunFolder.last(dir), -1);
        assertEquals(whole.keySet(), rest.keySet());
        whole.forEach((k, v) -> assertArrayEquals(v, rest.get(k), k));
    }

    private static Map<String, float[]> run(Recipe r, Path folder, Path from, int stop) {
        try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
            assertEquals(3, t.stepsPerEpoch(), "48 images in steps of 16");
            assertEquals(48, t.imagesPerEpoch());
            if (from != null) t.resume(from);
            t.addListener(Listeners.stopAt(t, stop));
            t.run();
            Map<String, float[]> all = new HashMap<>();
            for (String v : t.variables()) all.put(v, t.variable(v));
            return all;
        }
    }

    @Test
    void aSubjectWithFewImagesTakesFewerBatches() {
        List<String> said = new ArrayList<>();
        Recipe r = recipe(new String[] {"train.batch=8", "train.accumulate=7"});
        try (Trainer t = new Trainer(r, Map.of("", TOY), CPU, null, said::add)) {
            assertEquals(1, t.stepsPerEpoch());
            assertEquals(48, t.imagesPerEpoch());
        }
        assertEquals(
                List.of("every step takes 6 batches of train.batch: 8, not 7 (train.accumulate):"
                        + " there are 48 training images"),
                said.stream().filter(s -> s.contains("accumulate")).toList());
        InputException e =
                assertThrows(InputException.class, () -> TrainSettings.of(r.with("train.accumulate=1000000000")));
        assertTrue(e.getMessage().contains("train.accumulate"), e.getMessage());
        assertThrows(InputException.class, () -> TrainSettings.of(r.with("train.accumulate=0")));
    }
}
