// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.cortigan.InputException;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.model.Generator;
import org.cortigan.model.ModelConfig;
import org.cortigan.op.Adam;
import org.junit.jupiter.api.Test;

/** Learning rates of the backbone. */
class BackboneRatesTest {
    private static StepSettings settings(String... options) {
        Recipe r = TrainerTest.recipe("model.generator.vit.depth=3").with(List.of(options));
        return StepSettings.of(r, List.of(new ModelConfig.Subject("", 9, 11)), Precision.FP32);
    }

    /** The factors that a step's Adam gives the parameters of the generator, by name; the discriminators' are 1. */
    private static Map<String, Double> factors(String... options) {
        StepSettings settings = settings(options);
        StepGraph step = new StepGraph(
                settings, settings.model().subject(""), Regions.of("hemisphere", Regions.Order.STORED, 9, 11), 2, 0);
        Map<String, Double> factors = new TreeMap<>();
        for (Node n : step.graph().nodes())
            if (n.op() instanceof Adam adam)
                for (int k = 0; k < adam.slots().size(); k++) {
                    String name =
                            ((Leaf) n.input(adam.storage(adam.output(k))).node().op()).id();
                    double rate = adam.slots().get(k).rate();
                    if (name.startsWith(Generator.PREFIX)) factors.put(name.substring(Generator.PREFIX.length()), rate);
                    else assertEquals(1, rate, name);
                }
        return factors;
    }

    @Test
    void theUnetOfTheReadoutHasItsOwnRate() {
        List<String> options = new ArrayList<>(DiffusionTrainingTest.SMALL);
        options.addAll(List.of("optimizer.unet_rate=0.05", "optimizer.backbone_rate=0.5"));
        Map<String, Double> f = factors(options.toArray(new String[0]));
        f.forEach((name, rate) -> {
            boolean own = name.startsWith("head.")
                    || name.startsWith("condition.")
                    || name.startsWith("cells.")
                    || name.startsWith("readout.");
            assertEquals(name.startsWith("denoiser.") ? 0.05 : own ? 1 : 0.5, rate, name);
        });
        assertTrue(f.keySet().containsAll(List.of("head.embedding", "head.weight", "head.token", "head.time")), "" + f);
    }

    /** The values of {@code lr_scale} by timm 1.0's param_groups_layer_decay for a VisionTransformer of 3 blocks. */
    @Test
    void layersDecayAsInTimm() {
        Map<String, Double> f = factors(
                "optimizer.layer_decay=0.75", "optimizer.backbone_rate=0.5", "model.generator.vit.layers=[1, 3]");
        Map<String, Double> timm = new TreeMap<>(Map.of(
                "cls_token", 0.31640625,
                "pos_embed", 0.31640625,
                "patch_embed.proj.weight", 0.31640625,
                "blocks.0.norm1.weight", 0.421875,
                "blocks.1.attn.qkv.weight", 0.5625,
                "blocks.2.mlp.fc2.bias", 0.75,
                "norm.weight", 1.0));
        timm.forEach((name, scale) -> assertEquals(0.5 * scale, f.get(name), 1e-15, name));
        for (String own : List.of("head.weight", "head.bias", "readout.1.weight", "norms.1.weight"))
            assertEquals(1, f.get(own), own);
    }

    @Test
    void otherBackbonesHaveOneRate() {
        Map<String, Double> f = factors(
                "optimizer.backbone_rate=0.1", "model.generator.type=cnn", "model.generator.cnn.channels=[4, 8]");
        f.forEach((name, rate) -> assertEquals(name.startsWith("head.") ? 1 : 0.1, rate, name));
        factors().forEach((name, rate) -> assertEquals(1, rate, name));
    }

    @Test
    void factorsThatCannotBeAreRefused() {
        refused("backbone_rate", "0 would train nothing. Set train.freeze to backbone", "optimizer.backbone_rate=0");
        List<String> denoises = new ArrayList<>(DiffusionTrainingTest.SMALL);
        denoises.add("optimizer.unet_rate=0");
        refused("unet_rate", "0 would not train the UNet", denoises.toArray(new String[0]));
        assertEquals(0, settings("optimizer.unet_rate=0").rates().unet(), "without the readout it has no effect");
        refused("layer_decay", "Give a number from 0.0 to 1.0", "optimizer.layer_decay=1.1");
        refused("layer_decay", "0 would train no block", "optimizer.layer_decay=0");
        refused(
                "layer_decay",
                "0.9 needs the blocks of a ViT, and the generator is a shallow CNN. Set it to 1",
                "optimizer.layer_decay=0.9",
                "model.generator.type=cnn",
                "model.generator.cnn.channels=[4, 8]");
    }

    private static void refused(String key, String message, String... options) {
        InputException e = assertThrows(InputException.class, () -> settings(options));
        assertTrue(
                e.getMessage().contains("'optimizer." + key + "'")
                        && e.getMessage().contains(message),
                e.getMessage());
    }

    /** As torch's parameter groups: AdamW with rate 0.25 r and its own decoupled decay is AdamW with rate r. */
    @Test
    void aFactorOfTheRateIsAnotherRate() {
        CpuDevice reference = CpuDevice.doubleReference();
        List<double[]> results = new ArrayList<>();
        for (double factor : new double[] {1, 0.25}) {
            Graph g = new Graph();
            Value rate = g.input("rate", DType.F32, 1), one = g.input("one", DType.F32, 1);
            Value p = g.variable("p", DType.F32, 3), d = g.input("d", DType.F32, 3);
            Adam op = new Adam(0.9, 0.99, 1e-8, 0.5, 0, true, List.of(new Adam.Slot(0.3, factor, false, false)));
            g.output(
                    "p",
                    g.apply(op, rate, one, one, p, d, g.variable("m", DType.F32, 3), g.variable("v", DType.F32, 3))
                            .output(0));
            try (Variables vars = new Variables(reference);
                    Session s = new Session(g, reference, vars)) {
                vars.find("p").write(new float[] {1, -2, 3});
                s.input("rate").fill(0.0625 / factor);
                s.input("one").fill(1);
                s.input("d").write(new float[] {0.5f, -1, 2});
                s.run();
                results.add(s.output("p").toDoubles());
            }
        }
        for (int i = 0; i < 3; i++) assertEquals(results.get(0)[i], results.get(1)[i], 1e-15);
    }
}
