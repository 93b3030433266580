// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.data.Region;
import org.cortigan.data.Regions;
import org.cortigan.data.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * Judges of responses [R, V], one network for each region of the cortex, weights spectrally normalised if wanted. An
 * MLP; convolutions along the vertices, with one logit or (patch) one for each position; or a Vision Transformer over
 * patches of vertices. The networks of all regions are of one form and run as grouped kernels over one ragged batch
 * (see {@link Ops#gatherGroups}), except the ViT's, which run one after the other.
 *
 * <p>The patch discriminator with stride 1 gives as many logits as the region has vertices, each judging the vertices
 * around one; with a larger stride it is PatchGAN (Isola et al. 2017) along the vertices.
 *
 * @param regions which grouping, see {@link Regions}; @param order of the vertices within a region
 * @param mesh folder of the surface meshes for an order by neighbourhood; @param least vertices of a region of its own
 * @param weighting of the regions' adversarial losses for the generator: equal, or by their vertices
 * @param condition whether it sees the photograph too: its patches, embedded, GELU, averaged; as one more hidden vector
 *     (MLP: added before the first activation; convolutions: a linear term of the decision; ViT: one more token)
 */
public record Discriminator(
        Type type,
        String regions,
        Regions.Order order,
        String mesh,
        int least,
        Weighting weighting,
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
        PATCH,
        VIT
    }

    public enum Weighting {
        EQUAL,
        VERTICES
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

    /**
     * What the discriminators of all regions say: a ragged batch, region after region [R, m].
     *
     * @param perRow m of every region
     */
    public record Logits(Value value, List<Integer> perRow) {}

    /** From the section {@code model.discriminator} of a recipe. */
    public static Discriminator of(Settings s) {
        Discriminator d = new Discriminator(
                s.choice("type", Type.class),
                s.text("per"),
                s.choice("order", Regions.Order.class),
                s.text("mesh"),
                s.integer("least", 1),
                s.choice("weighting", Weighting.class),
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
        if (d.convolutional() && d.channels.isEmpty())
            throw s.wrong("channels", "is empty", "Give at least one convolution");
        if (d.convolutional() && d.kernel % 2 == 0)
            throw s.wrong("kernel", d.kernel + " is even", "Give an odd width, so that a window has a middle");
        if (d.type == Type.PATCH && d.condition == Condition.IMAGE)
            throw s.wrong(
                    "condition", "image does not fit a patch discriminator", "Use none, or type conv, mlp or vit");
        return d;
    }

    private boolean convolutional() {
        return type == Type.CONV || type == Type.PATCH;
    }

    public boolean normalised() {
        return spectral != Spectral.NONE;
    }

    /** Names of all parameters of one subject's discriminator for a region begin so. */
    public static String prefix(String subject, Region region) {
        return "discriminator." + (subject.isEmpty() ? "" : subject + ".") + region.name() + ".";
    }

    /** Share of each region in the generator's adversarial loss; they sum to 1. */
    public List<Double> shares(List<Region> regions) {
        double all = regions.stream().mapToDouble(r -> r.vertices().length).sum();
        return regions.stream()
                .map(r -> weighting == Weighting.EQUAL ? 1.0 / regions.size() : r.vertices().length / all)
                .toList();
    }

    /** The networks' parameters, region by region. */
    public List<Weights> declare(DType compute, String subject, int vertices, List<Region> regions, Generator g) {
        Graph graph = new Graph();
        List<Weights> ws = networks(graph, compute, subject, regions);
        logits(ws, graph.input("responses", compute, 1, vertices), regions, g.images(graph, 1), g);
        return ws;
    }

    /** The networks in a graph, nothing declared yet. */
    public List<Weights> networks(Graph graph, DType compute, String subject, List<Region> regions) {
        return regions.stream()
                .map(r -> Weights.in(graph, compute, prefix(subject, r), normalised()))
                .toList();
    }

    /**
     * Logits of responses [R, V] in the compute type.
     *
     * @param ws a network for each region
     * @param images photographs of the responses, u8 [B, S, S, 3], where R is B or 2 B; read only if conditioned
     */
    public Logits logits(List<Weights> ws, Value responses, List<Region> regions, Value images, Generator g) {
        int rows = responses.dim(0);
        Value x = gather(responses, regions);
        List<Integer> n = regions.stream().map(r -> r.vertices().length).toList();
        Value seen = condition == Condition.IMAGE ? seen(ws, images, g, rows) : null;
        return switch (type) {
            case MLP -> new Logits(mlp(ws, x, rows, n, seen), each(ws, 1));
            case CONV, PATCH -> conv(ws, x, rows, n, seen);
            case VIT -> new Logits(vit(ws, x, rows, n, seen), each(ws, 1));
            case NONE -> throw new IllegalStateException("there is no discriminator");
        };
    }

    private static List<Integer> each(List<Weights> ws, int n) {
        return ws.stream().map(w -> n).toList();
    }

    /** Each region's vertices in its order. */
    private static Value gather(Value responses, List<Region> regions) {
        int rows = responses.dim(0), v = responses.dim(1);
        boolean all = regions.size() == 1 && regions.get(0).vertices().length == v;
        for (int i = 0; all && i < v; i++) all = regions.get(0).vertices()[i] == i;
        if (all) return Ops.reshape(responses, Math.multiplyExact(rows, v));
        return Ops.gatherGroups(
                responses, regions.stream().map(Region::vertices).toList());
    }

    /**
     * What each network sees of the photographs: region after region [R, F]; one photograph serves the real and the
     * generated response.
     */
    private Value seen(List<Weights> ws, Value images, Generator g, int rows) {
        Graph graph = images.graph();
        int features = type == Type.VIT ? width : type == Type.MLP ? hidden.get(0) : channels.get(channels.size() - 1);
        try (Graph.Scope s = graph.scope("image")) {
            int p = g.image() % 16 == 0 ? 16 : g.image() % 8 == 0 ? 8 : g.image();
            Value x = Ops.patchify(images, p, g.mean(), g.std(), ws.get(0).compute());
            int b = x.dim(0), t = x.dim(1), n = ws.size();
            x = Layers.sharedLinear(sub(ws, "image.embed"), Ops.reshape(x, b * t, x.dim(2)), features);
            x = Ops.meanMiddle(Ops.reshape(Layers.gelu(x), n * b, t, features));
            x = Layers.groupedLinear(
                    sub(ws, "image.proj"), Ops.reshape(x, n * b * features), b, each(ws, features), features);
            if (b == rows) return x;
            x = Ops.reshape(x, n, b * features);
            return Ops.reshape(Ops.concat(1, x, x), n * rows * features);
        }
    }

    private static List<Weights> sub(List<Weights> ws, String name) {
        return ws.stream().map(w -> w.sub(name)).toList();
    }

    private Value mlp(List<Weights> ws, Value x, int rows, List<Integer> n, Value seen) {
        for (int i = 0; i < hidden.size(); i++)
            try (Graph.Scope s = x.graph().scope("layers." + i)) {
                x = Layers.groupedLinear(sub(ws, "layers." + i), x, rows, n, hidden.get(i));
                if (i == 0 && seen != null) x = Ops.add(x, seen);
                x = Layers.leakyRelu(x);
                n = each(ws, hidden.get(i));
            }
        return decide(ws, x, rows, n);
    }

    private Logits conv(List<Weights> ws, Value x, int rows, List<Integer> n, Value seen) {
        for (int i = 0; i < channels.size(); i++)
            try (Graph.Scope s = x.graph().scope("conv." + i)) {
                x = Layers.leakyRelu(
                        Layers.groupedConv(sub(ws, "conv." + i), x, rows, n, channels.get(i), kernel, stride));
                n = n.stream().map(k -> (k - 1) / stride + 1).toList();
            }
        int last = channels.get(channels.size() - 1);
        if (type == Type.PATCH)
            try (Graph.Scope s = x.graph().scope("decision")) {
                return new Logits(Layers.groupedConv(sub(ws, "decision"), x, rows, n, 1, kernel, 1), n);
            }
        Value y = decide(ws, x, rows, n.stream().map(k -> k * last).toList());
        if (seen != null)
            y = Ops.add(y, Layers.groupedLinear(sub(ws, "image.decision"), seen, rows, each(ws, last), 1));
        return new Logits(y, each(ws, 1));
    }

    private Value vit(List<Weights> ws, Value x, int rows, List<Integer> n, Value seen) {
        List<Value> all = new ArrayList<>();
        int at = 0;
        for (int i = 0; i < ws.size(); i++) {
            Value own = Ops.reshape(Ops.slice(x, 0, at, at += rows * n.get(i)), rows, n.get(i));
            Value token = seen == null
                    ? null
                    : Ops.reshape(Ops.slice(seen, 0, i * rows * width, (i + 1) * rows * width), rows, 1, width);
            all.add(Ops.reshape(vit(ws.get(i), own, token), rows));
        }
        return Ops.concat(0, all.toArray(new Value[0]));
    }

    private Value vit(Weights w, Value x, Value seen) {
        int b = x.dim(0), tokens = (x.dim(1) + patch - 1) / patch;
        try (Graph.Scope s = x.graph().scope("patch_embed")) {
            x = Ops.reshape(Ops.pad(x, 1, 0, tokens * patch - x.dim(1)), b, tokens, patch);
            x = Layers.linear(w.sub("patch_embed.proj"), x, width);
            if (seen != null) x = Ops.concat(1, seen, x);
            x = Ops.prepend(w.token("cls_token", Init.VIT, 1, width), x);
            x = Ops.add(x, w.vector("pos_embed", Init.VIT, x.dim(1), width));
        }
        x = Layers.encoder(w, x, depth, heads, mlpRatio);
        try (Graph.Scope s = x.graph().scope("decision")) {
            return Layers.linear(w.sub("decision"), Ops.reshape(Ops.slice(x, 1, 0, 1), b, width), 1);
        }
    }

    private static Value decide(List<Weights> ws, Value x, int rows, List<Integer> in) {
        try (Graph.Scope s = x.graph().scope("decision")) {
            return Layers.groupedLinear(sub(ws, "decision"), x, rows, in, 1);
        }
    }
}
