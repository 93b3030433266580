// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.cortigan.config.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.DenoisingUNet;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * The network from photographs, u8 [B, S, S, 3], to the responses [B, V] of all vertices, the left hemisphere's first.
 * Any backbone combines with any readout.
 *
 * @param image side S of the photographs in pixels
 * @param normalisation normalisation of the photographs' colours
 * @param features channels C of the maps that a spatial readout reads, and of every layer if there are several
 * @param dropout rate of the dropout, in training, of the features that the readout reads
 * @param rank linear combinations of the features, of all layers, that a dense readout reads and all vertices and
 *     subjects share; 0 if it reads the features themselves
 * @param queries the decoder of a readout of region queries; empty for other readouts
 * @param diffusion the readout that denoises responses; empty for other readouts
 */
public record Generator(
        int image,
        Normalisation normalisation,
        Backbone backbone,
        ReadoutHead readout,
        int features,
        double dropout,
        int rank,
        Optional<Queries> queries,
        Optional<Diffusion> diffusion) {
    /** Prefix of the names of all parameters of the generator. */
    public static final String PREFIX = "generator.";

    /** Name of the graph's input for photographs. */
    public static final String IMAGES = "images";

    /** Name below {@link #PREFIX} of a subject's vector in the backbone. */
    static final String SUBJECT = "subject";

    /** Name below {@link #PREFIX} of the parameters of the region queries' decoder. */
    private static final String QUERIES = "queries";

    /**
     * Prefixes, below {@link #PREFIX}, of the names of the parameters that belong to the readout or to a subject, not
     * to the backbone: files of pre-trained backbones lack them, and {@link Freeze} does not freeze them.
     */
    private static final List<String> OWN = List.of(
            ReadoutHead.HEAD + ".",
            "readout.",
            "norms.",
            "rank.",
            QUERIES + ".",
            SUBJECT + ".",
            Diffusion.DENOISER + ".",
            Diffusion.CONDITION + ".",
            Diffusion.CELLS + ".");

    /** Name of the position embeddings of a ViT, to whose rows the vector of a subject is added. */
    public static final String POSITIONS = PREFIX + Vit.POSITIONS;

    /** Name of the tokens of a {@link StableDiffusion}, to each of which the vector of a subject is added. */
    public static final String TOKEN = PREFIX + StableDiffusion.TOKEN;

    /** Name of the weight [rank, F] that makes the combinations of the features which a dense readout reads. */
    public static final String RANK_WEIGHT = PREFIX + "rank.weight";

    /** From the section {@code model.generator} of a recipe. */
    public static Generator of(Settings s) {
        Generator g = new Generator(
                s.integer("image", 1),
                Normalisation.of(s),
                Backbone.types().of(s),
                s.choice("readout", ReadoutHead.class),
                s.integer("features", 1),
                s.has("dropout") ? s.number("dropout", 0, 0.99) : 0,
                s.has("rank") ? s.integer("rank", 0) : 0,
                Queries.of(s),
                Diffusion.of(s));
        if (g.rank > 0 && g.readout != ReadoutHead.DENSE)
            throw s.wrong("rank", g.rank + " needs a dense readout", "Set readout: dense, or rank: 0");
        if (g.dropout > 0 && g.diffusion.isPresent())
            throw s.wrong("dropout", g.dropout + " does not go with readout: diffusion", "Set it to 0");
        if (g.backbone instanceof StableDiffusion sd) sd.checkColours(g.normalisation, s);
        g.backbone.checkImage(g.image, s.section(g.backbone.type().section()));
        return g;
    }

    /** The values of the section that have an effect: without the sections of networks that it does not choose. */
    static Map<String, Object> used(Map<String, Object> section) {
        Map<String, Object> used = Backbone.types().used(section);
        if (denoises(section)) return used;
        used.remove(Diffusion.SECTION);
        if (!StableDiffusion.TYPE.name().equals(section.get("type"))) used.remove(DenoisingUNet.SECTION);
        return used;
    }

    /** Whether the readout of a recipe's section denoises responses. */
    public static boolean denoises(Map<String, Object> section) {
        return ReadoutHead.DIFFUSION.name().equalsIgnoreCase(String.valueOf(section.get("readout")));
    }

    /** Whether another generator is the same network; it may be trained and predict otherwise. */
    public boolean isSameNetwork(Generator other) {
        return network().equals(other.network());
    }

    private Generator network() {
        return new Generator(
                image,
                normalisation,
                backbone,
                readout,
                features,
                dropout,
                rank,
                queries,
                diffusion.map(Diffusion::network));
    }

    /** Bytes of one photograph. */
    public int imageBytes() {
        return image * image * 3;
    }

    /**
     * Features [B, F] of the photographs; maps are flattened.
     *
     * @param subject subject whose vector the backbone adds; "" in a model of one subject
     */
    public Value features(Weights w, Value images, String subject) {
        Features read = read(w, images, subject);
        Value f = queries.map(q -> decoded(w, read))
                .or(() -> diffusion.map(d -> d.context(w, read, subject)))
                .orElse(read.value());
        return Ops.reshape(
                f, f.dim(0), Math.toIntExact(f.shape().elements(1, f.shape().rank())));
    }

    /**
     * Responses [B, vertices] of one subject in the type of results. The head is {@code head} or {@code head.SUBJECT}.
     * A readout that denoises gives its mean responses ({@link Diffusion#mean}).
     */
    public Value responses(Weights w, Value images, String subject, int vertices) {
        Features f = read(w, images, subject);
        if (diffusion.isPresent()) return diffusion.get().mean(w, f, subject, vertices);
        try (Graph.Scope s = images.graph().scope("head")) {
            Weights head = w.sub(ReadoutHead.of(subject));
            Features kept = f.with(Layers.dropout(head.sub("dropout"), f.value(), dropout));
            return readout.apply(head, shared(w, kept), vertices);
        }
    }

    /**
     * What a training step of a readout that denoises compares, instead of {@link #responses} with the measured ones.
     *
     * @param responses f32 [B, V]
     */
    public Diffusion.Pair denoised(Weights w, Value images, Value responses, Diffusion.Noise noise, String subject) {
        return diffusion.orElseThrow().pair(w, read(w, images, subject), responses, noise, subject);
    }

    /** How a readout that denoises predicts, for messages; "" for other readouts, which have one way. */
    public String prediction() {
        return diffusion.map(d -> d.sampling().text(d.schedule())).orElse("");
    }

    /** What draws samples of a subject's responses; empty if predictions are no means of samples. */
    Optional<Denoiser> sampled(String subject, int vertices) {
        return diffusion
                .filter(d -> d.sampling().mode() == Sampling.Mode.SAMPLES)
                .map(d -> new Sampled(this, d, subject, vertices));
    }

    /** A generator whose readout denoises the responses of a subject. */
    private record Sampled(Generator generator, Diffusion readout, String subject, int vertices) implements Denoiser {
        @Override
        public DiffusionSchedule schedule() {
            return readout.schedule();
        }

        @Override
        public Sampling sampling() {
            return readout.sampling();
        }

        @Override
        public Value context(Weights w, Value images) {
            return Ops.cast(generator.features(w, images, subject), DType.F32);
        }

        @Override
        public Value output(Weights w, Value x, Value t, Value context) {
            int width = readout.unet().context();
            Value tokens = Ops.reshape(context, context.dim(0), context.dim(1) / width, width);
            return readout.output(w, x, t, Ops.cast(tokens, w.compute()), subject, vertices);
        }
    }

    /** What the heads of all subjects read. */
    private Features shared(Weights w, Features f) {
        if (queries.isPresent()) return Queries.map(decoded(w, f));
        return rank > 0 ? combined(w, f) : f;
    }

    private Value decoded(Weights w, Features f) {
        return queries.orElseThrow().decode(w.sub(QUERIES), f.value());
    }

    /** The attention of the region queries to the tokens of photographs; empty for other readouts. */
    Optional<AttentionScores> attention(Weights w, Value images, String subject) {
        return queries.map(q -> q.scores(w.sub(QUERIES), read(w, images, subject)));
    }

    private Features combined(Weights w, Features f) {
        return Features.vectors(Layers.linear(w.sub("rank"), f.value(), rank, Init.VIT, null), 1);
    }

    /** Prefix of the names of the parameters of a subject's readout. */
    public static String readoutOf(String subject) {
        return PREFIX + ReadoutHead.of(subject) + ".";
    }

    /** Name of the vector that a backbone of several subjects adds for one of them. */
    public static String vectorOf(String subject) {
        return PREFIX + SUBJECT + "." + subject;
    }

    /** Name of the state [V, 1] of a subject that has the number of the query which each vertex reads, from 0 on. */
    public static String regionOf(String subject) {
        return readoutOf(subject) + ReadoutHead.REGION;
    }

    /** The state [V, 2] of a subject that has the middles of its vertices' cells. */
    public static String cellOf(String subject) {
        return readoutOf(subject) + Diffusion.CELL;
    }

    /** The state of a subject that has its vertices' places in their cells. */
    public static String placeOf(String subject) {
        return readoutOf(subject) + Diffusion.PLACE;
    }

    /** What the readout reads of the backbone. */
    Features read(Weights w, Value images, String subject) {
        Features f = backbone.features(w, images, subject, normalisation, new Features.Form(readout.reads(), features));
        return readout.reads() == Features.Kind.TOKENS ? f.asTokens() : f;
    }

    /** Whether a parameter belongs to a readout. */
    public static boolean isReadout(Weights.Spec parameter) {
        return parameter.name().startsWith(PREFIX + ReadoutHead.HEAD + ".");
    }

    /**
     * Whether a parameter belongs to the readout, to a subject or to a low-rank update, not to the backbone that a file
     * may hold.
     *
     * @param name whole name, with {@link #PREFIX}
     */
    public static boolean isOwn(String name) {
        return isOfReadout(name) || Lora.isUpdate(name);
    }

    /** Whether a parameter belongs to the readout or to a subject. */
    public static boolean isOfReadout(String name) {
        return OWN.stream().anyMatch(name.substring(PREFIX.length())::startsWith);
    }

    /** Whether a state says where each vertex of a subject lies: in which query's region, cell and place of a cell. */
    public static boolean isLayout(Weights.Spec state) {
        String name = state.name();
        return isReadout(state)
                && List.of(ReadoutHead.REGION, Diffusion.CELL, Diffusion.PLACE)
                        .contains(name.substring(name.lastIndexOf('.') + 1));
    }

    /** Whether a parameter is a subject's vector in the backbone. */
    public static boolean isSubjectsVector(Weights.Spec parameter) {
        return parameter.name().startsWith(PREFIX + SUBJECT + ".");
    }

    /** Whether a parameter belongs to the UNet of a readout that denoises, which a file may have pre-trained. */
    public static boolean isOfDenoiser(Weights.Spec parameter) {
        return parameter.name().startsWith(PREFIX + Diffusion.DENOISER + ".");
    }

    /** Whether a parameter belongs to one subject of several: to its head, or its vector in the backbone. */
    public static boolean isSubjectsOwn(Weights.Spec parameter) {
        return isReadout(parameter) || isSubjectsVector(parameter);
    }

    /** Adds the input for photographs, u8 [batch, S, S, 3], to a graph. */
    public Value images(Graph g, int batch) {
        return g.input(IMAGES, DType.U8, batch, image, image, 3);
    }
}
