// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.cortigan.config.Settings;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * Discriminators of responses [R, V], one network for each region of the cortex, optionally with spectral
 * normalisation. The networks of all regions have the same form and run as grouped kernels over one ragged batch (see
 * {@link Ops#gatherGroups}), except those of {@link VitDiscriminator}.
 *
 * @param regions name of the grouping of vertices into regions, see {@link Regions}
 * @param order order of the vertices within a region
 * @param mesh folder of the surface meshes, for {@link Regions.Order#SURFACE}
 * @param least vertices that a region needs to have its own network
 * @param weighting weighting of the regions in the generator's adversarial loss
 * @param condition whether the networks also see the photograph: its patches, embedded, GELU, averaged
 */
public record Discriminator(
        DiscriminatorNetwork network,
        String regions,
        Regions.Order order,
        String mesh,
        int least,
        Weighting weighting,
        Spectral spectral,
        Condition condition) {
    /** Prefix of the names of all parameters of discriminators. */
    public static final String PREFIX = "discriminator.";

    /** The type of a model without discriminators. */
    private static final String NONE = "none";

    /** Share of a region in the generator's adversarial loss: equal, or proportional to its vertices. */
    public enum Weighting {
        EQUAL,
        VERTICES
    }

    /**
     * When the power iteration advances: never (no normalisation), in every forward pass like torch, or once a step.
     */
    public enum Spectral {
        NONE,
        TORCH,
        STEP
    }

    /** What the networks see besides the responses. */
    public enum Condition {
        NONE,
        IMAGE
    }

    /** From the section {@code model.discriminator} of a recipe; empty if its type is {@code none}. */
    static Optional<Discriminator> of(Settings s) {
        NetworkTypes<DiscriminatorNetwork> types = DiscriminatorNetwork.types();
        List<String> names =
                Stream.concat(Stream.of(NONE), types.names().stream()).toList();
        if (s.choice("type", names).equals(NONE)) return Optional.empty();
        Discriminator d = new Discriminator(
                types.of(s),
                s.text("per"),
                s.choice("order", Regions.Order.class),
                s.text("mesh"),
                s.integer("least", 1),
                s.choice("weighting", Weighting.class),
                s.choice("spectral_norm", Spectral.class),
                s.choice("condition", Condition.class));
        if (d.condition == Condition.IMAGE) d.network.checkConditioned(s);
        return Optional.of(d);
    }

    /** Whether the weights are spectrally normalised. */
    public boolean normalised() {
        return spectral != Spectral.NONE;
    }

    /** Prefix of the names of all parameters of a subject's discriminator for a region. */
    public static String prefix(String subject, Region region) {
        return PREFIX + (subject.isEmpty() ? "" : subject + ".") + region.name() + ".";
    }

    /** Share of each region in the generator's adversarial loss; they sum to 1. */
    public List<Double> shares(List<Region> regions) {
        double all = regions.stream().mapToDouble(r -> r.vertices().length).sum();
        return regions.stream()
                .map(r -> weighting == Weighting.EQUAL ? 1.0 / regions.size() : r.vertices().length / all)
                .toList();
    }

    /** Declares the networks' parameters, region by region. */
    public List<Weights> declare(DType compute, String subject, int vertices, List<Region> regions, Generator g) {
        Graph graph = new Graph();
        List<Weights> ws = networks(graph, compute, subject, regions);
        logits(ws, graph.input("responses", compute, 1, vertices), regions, g.images(graph, 1), g);
        return ws;
    }

    /** The networks' weights in a graph, without any declared parameter. */
    public List<Weights> networks(Graph graph, DType compute, String subject, List<Region> regions) {
        return regions.stream()
                .map(r -> Weights.in(graph, compute, prefix(subject, r), normalised()))
                .toList();
    }

    /**
     * Logits of responses [R, V] in the compute type.
     *
     * @param ws a network for each region
     * @param images photographs that belong to the responses, u8 [B, S, S, 3], with R = B or 2 B; read only if
     *     conditioned
     */
    public Logits logits(List<Weights> ws, Value responses, List<Region> regions, Value images, Generator g) {
        int rows = responses.dim(0);
        Value x = gather(responses, regions);
        List<Integer> vertices = regions.stream().map(r -> r.vertices().length).toList();
        Value image = condition == Condition.IMAGE ? embed(ws, images, g, rows) : null;
        return network.logits(ws, x, rows, vertices, image);
    }

    /** The responses of each region's vertices, in the region's order, region after region. */
    private static Value gather(Value responses, List<Region> regions) {
        int rows = responses.dim(0), v = responses.dim(1);
        boolean identity = regions.size() == 1 && regions.get(0).vertices().length == v;
        for (int i = 0; identity && i < v; i++) identity = regions.get(0).vertices()[i] == i;
        if (identity) return Ops.reshape(responses, Math.multiplyExact(rows, v));
        return Ops.gatherGroups(
                responses, regions.stream().map(Region::vertices).toList());
    }

    /**
     * Embeddings of the photographs for each network: region after region [R, F]. One embedding serves both the real
     * and the generated response.
     */
    private Value embed(List<Weights> ws, Value images, Generator g, int rows) {
        Graph graph = images.graph();
        int features = network.imageFeatures();
        try (Graph.Scope s = graph.scope("image")) {
            int p = g.image() % 16 == 0 ? 16 : g.image() % 8 == 0 ? 8 : g.image();
            Normalisation colours = g.normalisation();
            Value x = Ops.patchify(
                    images, p, colours.mean(), colours.std(), ws.get(0).compute());
            int b = x.dim(0), t = x.dim(1), n = ws.size();
            x = Layers.sharedLinear(Regional.sub(ws, "image.embed"), Ops.reshape(x, b * t, x.dim(2)), features);
            x = Ops.meanMiddle(Ops.reshape(Layers.gelu(x), n * b, t, features));
            x = Layers.groupedLinear(
                    Regional.sub(ws, "image.proj"),
                    Ops.reshape(x, n * b * features),
                    b,
                    Regional.each(ws, features),
                    features);
            if (b == rows) return x;
            x = Ops.reshape(x, n, b * features);
            return Ops.reshape(Ops.concat(1, x, x), n * rows * features);
        }
    }
}
