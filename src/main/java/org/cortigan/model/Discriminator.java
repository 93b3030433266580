package org.cortigan.model;

import java.util.List;
import org.cortigan.data.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * Judges responses [B, V]: one logit each. An MLP; convolutions along the vertices; or a Vision Transformer over patches
 * of vertices. One for all vertices or one for each hemisphere; weights spectrally normalised if wanted.
 *
 * @param condition whether it sees the photograph too: its patches, embedded, GELU, averaged; as one more hidden vector
 *     (MLP: added before the first activation; convolutions: beside the features; ViT: one more token)
 */
public record Discriminator(
        Type type,
        Per per,
        Spectral spectral,
        Condition condition,
        List<Integer> hidden,
        List<Integer> channels,
        int kernel,
        int stride,
        int patch,
        int width,
        int depth,
        int heads,
        double mlpRatio) {
    public enum Type {
        NONE,
        MLP,
        CONV,
        VIT
    }

    public enum Per {
        ALL,
        HEMISPHERE
    }

    /** When the power iteration advances: never (no normalisation), at every pass as torch, or once a step. */
    public enum Spectral {
        NONE,
        TORCH,
        STEP
    }

    public enum Condition {
        NONE,
        IMAGE
    }

    /** One discriminator's vertices: [from, to) of left, then right. */
    public record Part(String name, int from, int to) {
        /** Names of all its parameters begin so. */
        public String prefix() {
            return "discriminator." + name + ".";
        }
    }

    /** From the section {@code model.discriminator} of a recipe. */
    public static Discriminator of(Settings s) {
        Discriminator d = new Discriminator(
                s.choice("type", Type.class),
                s.choice("per", Per.class),
                s.choice("spectral_norm", Spectral.class),
                s.choice("condition", Condition.class),
                s.integers("hidden"),
                s.integers("channels"),
                s.integer("kernel", 1),
                s.integer("stride", 1),
                s.integer("patch", 1),
                s.integer("width", 1),
                s.integer("depth", 1),
                s.integer("heads", 1),
                s.number("mlp_ratio", 0.1));
        if (d.type == Type.VIT && d.width % d.heads != 0)
            throw s.wrong("heads", d.heads + " do not divide the width " + d.width, "Choose a divisor");
        if (d.type == Type.MLP && d.hidden.isEmpty()) throw s.wrong("hidden", "is empty", "Give at least one layer");
        if (d.type == Type.CONV && d.channels.isEmpty()) throw s.wrong("channels", "is empty", "Give at least one convolution");
        return d;
    }

    public boolean normalised() {
        return spectral != Spectral.NONE;
    }

    /** Which vertices each judges. */
    public List<Part> parts(int left, int right) {
        if (type == Type.NONE) return List.of();
        return per == Per.ALL
                ? List.of(new Part("all", 0, left + right))
                : List.of(new Part("lh", 0, left), new Part("rh", left, left + right));
    }

    /**
     * Logits [B, 1] of responses [B, V] in the compute type.
     *
     * @param images photographs of the responses, u8 [B, S, S, 3]; read only if conditioned
     */
    public Value logits(Weights w, Value responses, Value images, Generator g) {
        Graph graph = responses.graph();
        int features = type == Type.VIT ? width : type == Type.MLP ? hidden.get(0) : channels.get(channels.size() - 1);
        Value seen = null;
        if (condition == Condition.IMAGE)
            try (Graph.Scope s = graph.scope("image")) {
                int p = g.image() % 16 == 0 ? 16 : g.image() % 8 == 0 ? 8 : g.image();
                Value x = Ops.patchify(images, p, g.mean(), g.std(), w.compute());
                x = Layers.gelu(Layers.linear(w.sub("image.embed"), x, features));
                seen = Layers.linear(w.sub("image.proj"), Ops.meanMiddle(x), features);
                // one photograph serves the real and the generated response
                if (seen.dim(0) != responses.dim(0)) seen = Ops.concat(0, seen, seen);
            }
        return switch (type) {
            case MLP -> mlp(w, responses, seen);
            case CONV -> conv(w, responses, seen);
            case VIT -> vit(w, responses, seen);
            case NONE -> throw new IllegalStateException("there is no discriminator");
        };
    }

    private Value mlp(Weights w, Value x, Value seen) {
        for (int i = 0; i < hidden.size(); i++)
            try (Graph.Scope s = x.graph().scope("layers." + i)) {
                x = Layers.linear(w.sub("layers." + i), x, hidden.get(i));
                if (i == 0 && seen != null) x = Ops.add(x, seen);
                x = Layers.leakyRelu(x);
            }
        return decide(w, x);
    }

    private Value conv(Weights w, Value x, Value seen) {
        x = Ops.reshape(x, x.dim(0), 1, x.dim(1), 1);
        for (int i = 0; i < channels.size(); i++)
            try (Graph.Scope s = x.graph().scope("conv." + i)) {
                int k = Math.min(kernel, x.dim(2));
                x = Layers.leakyRelu(Layers.conv(
                        w.sub("conv." + i), x, channels.get(i), new int[] {1, k}, new int[] {1, stride}, new int[] {0, k / 2}));
            }
        x = Ops.reshape(x, x.dim(0), Math.toIntExact(x.shape().elements(1, 4)));
        return decide(w, seen == null ? x : Ops.concat(1, x, seen));
    }

    private Value vit(Weights w, Value x, Value seen) {
        int b = x.dim(0), tokens = (x.dim(1) + patch - 1) / patch;
        try (Graph.Scope s = x.graph().scope("patch_embed")) {
            x = Ops.reshape(Ops.pad(x, 1, 0, tokens * patch - x.dim(1)), b, tokens, patch);
            x = Layers.linear(w.sub("patch_embed.proj"), x, width);
            if (seen != null) x = Ops.concat(1, Ops.reshape(seen, b, 1, width), x);
            x = Ops.prepend(w.token("cls_token", Init.VIT, 1, width), x);
            x = Ops.add(x, w.vector("pos_embed", Init.VIT, x.dim(1), width));
        }
        x = Layers.encoder(w, x, depth, heads, mlpRatio);
        return decide(w, Ops.reshape(Ops.slice(x, 1, 0, 1), b, width));
    }

    private static Value decide(Weights w, Value x) {
        try (Graph.Scope s = x.graph().scope("decision")) {
            return Layers.linear(w.sub("decision"), x, 1);
        }
    }
}
