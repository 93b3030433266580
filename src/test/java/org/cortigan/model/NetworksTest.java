// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.cortigan.TestModels;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/** Compares the CNN generator and every discriminator with PyTorch (tools/golden_models.py). */
class NetworksTest {
    private static final Generator CNN =
            TestModels.generator("type=cnn", "image=16", "cnn.channels=[4, 6]", "cnn.hidden=8");

    private static Network discriminator(String type) {
        Discriminator d = TestModels.discriminator(
                "type=" + type,
                "per=all",
                "spectral_norm=none",
                "condition=image",
                "mlp.hidden=[8, 4]",
                "conv.channels=[3, 5]",
                "conv.kernel=5",
                "conv.stride=2",
                "vit.patch=4",
                "vit.width=8",
                "vit.depth=1",
                "vit.heads=2");
        List<Region> all = Regions.of("all", Regions.Order.STORED, 4, 5);
        return (w, x, images) ->
                Ops.reshape(d.logits(List.of(w), x, all, images, CNN).value(), 3, 1);
    }

    private interface Network {
        Value build(Weights w, Value responses, Value images);
    }

    /** Translates the engine's tensor name into the golden file's. */
    private static String golden(String name) {
        Map<String, String> other = new TreeMap<>(Map.of(
                "conv.0.",
                "c0.",
                "conv.1.",
                "c1.",
                "layers.0.",
                "l0.",
                "layers.1.",
                "l1.",
                "image.embed.",
                "image_embed.",
                "image.proj.",
                "image_proj.",
                "image.decision.",
                "image_decision.",
                "patch_embed.proj.",
                "embed.",
                "blocks.",
                "encoder.blocks.",
                "norm.",
                "encoder.norm."));
        if (name.equals("cls_token")) return "cls";
        if (name.equals("pos_embed")) return "pos";
        for (Map.Entry<String, String> e : other.entrySet())
            if (name.startsWith(e.getKey()))
                return e.getValue() + name.substring(e.getKey().length());
        return name;
    }

    private static void check(String which, Network network) {
        Graph g = new Graph();
        Weights w = Weights.in(g, DType.F32, "", false);
        Value images = CNN.images(g, 3), responses = g.input("responses", DType.F32, 3, 9);
        g.output("y", network.build(w, responses, images));
        CpuDevice cpu = CpuDevice.best(2);
        try (SafeTensors t = SafeTensors.open(Path.of("src/test/resources/models/networks.safetensors"));
                Variables vars = new Variables(cpu);
                Session s = new Session(g, cpu, vars)) {
            for (Weights.Spec p : w.specs()) vars.find(p.name()).write(t.floats(which + "." + golden(p.name())));
            long tensors =
                    t.names().stream().filter(n -> n.startsWith(which + ".")).count();
            assertEquals(tensors - 1, w.specs().size(), "every tensor of the file is used");
            ByteBuffer rgb = ByteBuffer.allocate(3 * 16 * 16 * 3);
            t.read("images", rgb);
            s.input("images").write(rgb.flip());
            s.input("responses").write(t.floats("responses"));
            s.run();
            // sums of up to 768 float terms near 1, in two different orders
            assertArrayEquals(t.floats(which + ".golden"), s.output("y").toFloats(), 2 * 768 * 0x1p-24f);
        }
    }

    @Test
    void theCnnMatchesPyTorch() {
        check("cnn", (w, x, images) -> CNN.responses(w, images, "", 9));
    }

    @Test
    void theDiscriminatorsMatchPyTorch() {
        check("mlp", discriminator("mlp"));
        check("conv", discriminator("conv"));
        check("vit", discriminator("vit"));
    }
}
