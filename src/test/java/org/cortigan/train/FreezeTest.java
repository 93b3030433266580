// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Precision;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.nn.Optimizer;
import org.cortigan.nn.Weights;
import org.cortigan.op.Op;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Training with {@code train.freeze}. */
class FreezeTest {
    private static final CpuDevice CPU = CpuDevice.best(1);
    private static final TrainingData TOY = TrainerTest.TOY;

    private static Recipe recipe(String... options) {
        Recipe r = TrainerTest.recipe("train.epochs=2", "loss.gan_weight=0", "train.cache_features=no");
        return r.with(List.of(options));
    }

    private static Map<String, float[]> values(Trainer t) {
        Map<String, float[]> m = new LinkedHashMap<>();
        for (String v : t.variables()) m.put(v, t.variable(v));
        return m;
    }

    private static StepGraph step(Recipe r) {
        ModelConfig.Subject s = new ModelConfig.Subject("", 9, 11);
        return new StepGraph(
                StepSettings.of(r, List.of(s), Precision.FP32),
                s,
                Regions.of("hemisphere", Regions.Order.STORED, 9, 11),
                4,
                0);
    }

    private static boolean hasGradientProducts(StepGraph step, int block) {
        return step.graph().nodes().stream()
                .anyMatch(n -> n.backward()
                        && n.op() instanceof Op.Product
                        && n.label().contains("blocks." + block));
    }

    @Test
    void nothingIsComputedBehindWhatIsFrozen() {
        for (String freeze : new String[] {"backbone", "1", "2", "none"}) {
            StepGraph step = step(recipe("train.freeze=" + freeze));
            boolean all = freeze.equals("none");
            assertEquals(all, hasGradientProducts(step, 0), freeze);
            assertEquals(all || freeze.equals("1"), hasGradientProducts(step, 1), freeze);
            for (Node n : step.graph().nodes())
                if (n.op() instanceof Leaf.Variable v && v.id().startsWith(Optimizer.M)) {
                    String parameter = v.id().substring(Optimizer.M.length() + Generator.PREFIX.length());
                    boolean frozen = switch (freeze) {
                        case "none" -> false;
                        case "backbone" -> !parameter.startsWith("head.");
                        default ->
                            parameter.matches("(patch_embed|cls_token|pos_embed|blocks\\.0).*")
                                    || freeze.equals("2") && parameter.startsWith("blocks.1.");
                    };
                    assertFalse(frozen, freeze + ": " + parameter);
                }
        }
        double all = flops(step(recipe())), head = flops(step(recipe("train.freeze=backbone")));
        // A backward pass costs twice the forward pass.
        assertTrue(head < 0.45 * all, head + " of " + all);
    }

    private static double flops(StepGraph step) {
        return step.graph().nodes().stream()
                .filter(n -> !(n.op() instanceof Leaf))
                .mapToDouble(n -> Op.of(n).cost(n).flops())
                .sum();
    }

    @ParameterizedTest
    @ValueSource(strings = {"backbone", "1", "2"})
    void frozenParametersStayAndResumeIsBitEqual(String freeze, @TempDir Path dir) {
        Recipe r = recipe("train.freeze=" + freeze, "optimizer.ema=0.9", "model.generator.vit.layers=[1, 2]");
        Map<String, float[]> first, last;
        try (Trainer t = new Trainer(r, TOY, CPU, null)) {
            first = values(t);
            assertTrue(t.frozenParameters() > 0);
            assertTrue(t.run());
            last = values(t);
        }
        assertEquals(first.keySet(), last.keySet());
        List<String> changed = last.keySet().stream()
                .filter(k -> k.startsWith(Generator.PREFIX) && !Arrays.equals(first.get(k), last.get(k)))
                .map(k -> k.substring(Generator.PREFIX.length()))
                .toList();
        assertTrue(changed.containsAll(List.of("head.weight", "readout.1.weight", "norms.1.weight")), changed + "");
        assertEquals(!freeze.equals("backbone"), changed.contains("norm.weight"));
        assertFalse(changed.stream().anyMatch(k -> k.startsWith("patch_embed") || k.startsWith("blocks.0.")));
        assertEquals(freeze.equals("1"), changed.contains("blocks.1.mlp.fc2.weight"));
        for (String k : changed) assertTrue(last.containsKey(Weights.AVERAGE + Generator.PREFIX + k), k);
        assertFalse(last.containsKey(Weights.AVERAGE + Generator.PREFIX + "cls_token"));

        Path folder = dir.resolve("stopped");
        try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
            t.addListener(Listeners.onStep((step, loss) -> {
                if (step == 7) t.requestStop();
            }));
            assertFalse(t.run());
        }
        try (SafeTensors file = SafeTensors.open(RunFolder.last(folder))) {
            assertArrayEquals(last.get(Generator.PREFIX + "cls_token"), file.floats(Generator.PREFIX + "cls_token"));
        }
        // Another initialisation, which the checkpoint replaces.
        try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
            t.resume(RunFolder.last(folder));
            assertTrue(t.run());
            Map<String, float[]> resumed = values(t);
            last.forEach((k, v) -> assertArrayEquals(v, resumed.get(k), k));
        }
    }

    @Test
    void aLoadedModelHasTheAveragesOfWhatIsTrainedAndPredictsWhatTheTrainerValidated(@TempDir Path dir) {
        double[] validated = new double[1];
        int[] images;
        Map<String, float[]> end;
        try (Trainer t = new Trainer(recipe("train.freeze=1", "optimizer.ema=0.9"), TOY, CPU, dir)) {
            t.addListener(Listeners.onEpoch(e -> validated[0] = e.validationMeanR()));
            t.run();
            images = t.validationImages();
            end = values(t);
        }
        Model m = Model.load(RunFolder.last(dir));
        assertEquals(
                end.keySet().stream()
                        .filter(k -> k.startsWith(Generator.PREFIX))
                        .count(),
                m.names().size());
        try (Predictor p = m.evaluator(CPU, 8, "")) {
            double[] r = Ensemble.evaluate(p, TOY, images).r();
            assertEquals(validated[0], Arrays.stream(r).average().orElseThrow(), 1e-12);
        }
    }

    @Test
    void subjectsShareTheFrozenFeatures() {
        Map<String, TrainingData> two = new LinkedHashMap<>();
        two.put("subj01", TOY);
        two.put("subj02", new TrainerTest.Toy(40, 6, 7, 16));
        for (String freeze : new String[] {"backbone", "1"})
            try (Trainer t = new Trainer(recipe("train.freeze=" + freeze), two, CPU, null, s -> {})) {
                assertTrue(t.run());
                for (String s : two.keySet())
                    assertArrayEquals(new float[16], t.variable(Generator.PREFIX + "subject." + s), freeze);
                assertFalse(t.variables().contains(Optimizer.M + Generator.PREFIX + "subject.subj01"));
            }
    }

    @Test
    void whatCannotBeFrozenIsRefused() {
        refused("3", "3 does not fit the ViT's 2 blocks. Use none, backbone, or a number from 1 to 2");
        refused("0", "0 does not fit the ViT's 2 blocks");
        refused("head", "'head' is unknown. Use none, backbone, or a number from 1 to 2");
        refused(
                "1",
                "1 counts blocks of a ViT, and the generator is a shallow CNN. Use none, backbone",
                "model.generator.type=cnn",
                "model.generator.cnn.channels=[4, 8]");
        refused(
                "backbone",
                "does not go with batch norm",
                "model.generator.type=unet",
                "model.generator.unet.channels=[4, 8, 8]",
                "model.generator.unet.decoder=2",
                "model.generator.unet.norm=batch");
    }

    private static void refused(String freeze, String message, String... options) {
        Recipe r = recipe(options).with("train.freeze=" + freeze);
        InputException e = assertThrows(InputException.class, () -> new Trainer(r, TOY, CPU, null).close());
        assertTrue(e.getMessage().contains("'train.freeze'") && e.getMessage().contains(message), e.getMessage());
    }
}
