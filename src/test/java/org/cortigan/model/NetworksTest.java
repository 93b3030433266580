package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.cortigan.data.SafeTensors;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.Test;

/** The CNN generator and every discriminator against PyTorch (tools/golden_models.py). */
class NetworksTest {
    private static final Generator CNN = new Generator(
            Generator.Type.CNN, 16, 1, 1, 1, 1, 1, Generator.Pool.CLS, List.of(4, 6), 8, List.of(.5, .5, .5), List.of(.5, .5, .5));

    private static Discriminator discriminator(Discriminator.Type type) {
        return new Discriminator(
                type, Discriminator.Per.ALL, Discriminator.Spectral.NONE, Discriminator.Condition.IMAGE, List.of(8, 4), List.of(3, 5), 5, 2, 4,
                8, 1, 2, 4);
    }

    private interface Network {
        Value build(Weights w, Value responses, Value images);
    }

    /** Our names for the golden file's. */
    private static String golden(String name) {
        Map<String, String> other = new TreeMap<>(Map.of(
                "conv.0.", "c0.", "conv.1.", "c1.", "layers.0.", "l0.", "layers.1.", "l1.", "image.embed.", "image_embed.",
                "image.proj.", "image_proj.", "patch_embed.proj.", "embed.", "blocks.", "encoder.blocks.", "norm.", "encoder.norm."));
        if (name.equals("cls_token")) return "cls";
        if (name.equals("pos_embed")) return "pos";
        for (Map.Entry<String, String> e : other.entrySet())
            if (name.startsWith(e.getKey())) return e.getValue() + name.substring(e.getKey().length());
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
            long tensors = t.names().stream().filter(n -> n.startsWith(which + ".")).count();
            assertEquals(tensors - 1, w.specs().size(), "every tensor has its place");
            ByteBuffer rgb = ByteBuffer.allocate(3 * 16 * 16 * 3);
            t.read("images", rgb);
            s.input("images").write(rgb.flip());
            s.input("responses").write(t.floats("responses"));
            s.run();
            // sums of up to 768 terms near 1 in floats, in two orders
            assertArrayEquals(t.floats(which + ".golden"), s.output("y").toFloats(), 2 * 768 * 0x1p-24f);
        }
    }

    @Test
    void theCnnIsTorchs() {
        check("cnn", (w, x, images) -> CNN.responses(w, images, 9));
    }

    @Test
    void theDiscriminatorsAreTorchs() {
        check("mlp", (w, x, images) -> discriminator(Discriminator.Type.MLP).logits(w, x, images, CNN));
        check("conv", (w, x, images) -> discriminator(Discriminator.Type.CONV).logits(w, x, images, CNN));
        check("vit", (w, x, images) -> discriminator(Discriminator.Type.VIT).logits(w, x, images, CNN));
    }
}
