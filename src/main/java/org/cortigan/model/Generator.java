// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.data.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * From photographs u8 [B, S, S, 3] to responses [B, V] of all vertices, the left hemisphere's first: a backbone, and a
 * readout that any of them may have. The backbones are a Vision Transformer (Dosovitskiy et al. 2021; parameters named
 * as in timm), a shallow CNN of 4x4 convolutions with stride 2, and a U-Net.
 *
 * @param image side S of the photographs, in pixels
 * @param width E of a token; @param mlpRatio hidden width of a block's MLP over E
 * @param layers blocks of the ViT whose tokens are read, 1 to depth, ascending; none: the last alone
 * @param channels of the convolutions; @param hidden width of their features for a dense readout
 * @param norm of the U-Net; @param groups of its group norm; @param decoder its upsamplings
 * @param features channels C of the maps that a spatial readout sees, and of every layer where there are several
 * @param mean, std of the normalisation, for each colour, of values in 0..1
 */
public record Generator(
        Type type,
        int image,
        int patch,
        int width,
        int depth,
        int heads,
        double mlpRatio,
        Pool pool,
        List<Integer> layers,
        List<Integer> channels,
        int hidden,
        Norm norm,
        int groups,
        int decoder,
        Readout readout,
        int features,
        List<Double> mean,
        List<Double> std) {
    public enum Type {
        VIT,
        CNN,
        UNET
    }

    /** What a dense readout of the ViT sees: the class token, or the mean of the patch tokens. */
    public enum Pool {
        CLS,
        MEAN
    }

    public enum Norm {
        NONE,
        GROUP,
        BATCH
    }

    /** Sizes of ViT in the literature (Touvron et al. 2021, Dosovitskiy et al. 2021). */
    public enum Size {
        CUSTOM(0, 0, 0),
        TINY(192, 12, 3),
        SMALL(384, 12, 6),
        BASE(768, 12, 12);

        final int width;
        final int depth;
        final int heads;

        Size(int width, int depth, int heads) {
            this.width = width;
            this.depth = depth;
            this.heads = heads;
        }
    }

    /** Names of all its parameters begin so. */
    public static final String PREFIX = "generator.";

    /** Name of the input for photographs. */
    public static final String IMAGES = "images";

    /** Below {@link #PREFIX}: the readout's parameters, and a subject's vector in the backbone. */
    static final String HEAD = "head", SUBJECT = "subject";

    /** From the section {@code model.generator} of a recipe. */
    public static Generator of(Settings s) {
        Size size = s.choice("size", Size.class);
        boolean own = size == Size.CUSTOM;
        Generator g = new Generator(
                s.choice("type", Type.class),
                s.integer("image", 1),
                s.integer("patch", 1),
                own ? s.integer("width", 1) : size.width,
                own ? s.integer("depth", 1) : size.depth,
                own ? s.integer("heads", 1) : size.heads,
                s.number("mlp_ratio", 0.1),
                s.choice("pool", Pool.class),
                s.integers("layers"),
                s.integers("channels"),
                s.integer("hidden", 1),
                s.choice("norm", Norm.class),
                s.integer("groups", 1),
                s.integer("decoder", 1),
                s.choice("readout", Readout.class),
                s.integer("features", 1),
                s.numbers("mean", 3),
                s.numbers("std", 3));
        for (double d : g.std) if (d <= 0) throw s.wrong("std", d + " does not fit", "Give numbers above 0");
        if (g.type == Type.VIT) g.checkVit(s);
        else g.checkConvolutions(s);
        return g;
    }

    private void checkVit(Settings s) {
        if (image % patch != 0)
            throw s.wrong("patch", patch + " does not divide the image's " + image + " pixels", "Choose a divisor");
        if (width % heads != 0) throw s.wrong("heads", heads + " do not divide the width " + width, "Choose a divisor");
        for (int i = 0; i < layers.size(); i++)
            if (layers.get(i) > depth || i > 0 && layers.get(i) <= layers.get(i - 1))
                throw s.wrong("layers", layers + " does not fit", "Give blocks from 1 to " + depth + ", ascending");
    }

    private void checkConvolutions(Settings s) {
        int n = channels.size();
        if (n == 0) throw s.wrong("channels", "is empty", "Give at least one convolution");
        if (image % (1 << n) != 0)
            throw s.wrong(
                    "channels",
                    n + " convolutions with stride 2 do not divide " + image + " pixels",
                    "Choose fewer, or an image side that is a multiple of " + (1 << n));
        if (!layers.isEmpty()) throw s.wrong("layers", "is for a ViT", "Leave it empty, or set type to vit");
        if (type != Type.UNET) return;
        if (decoder >= n)
            throw s.wrong(
                    "decoder",
                    decoder + " does not fit",
                    "Give 1 to " + (n - 1) + ": the encoder has " + n + " convolutions");
        if (norm == Norm.GROUP)
            for (int c : channels)
                if (c % Math.min(groups, c) != 0)
                    throw s.wrong(
                            "groups", groups + " do not divide " + c + " channels", "Choose a divisor of all channels");
    }

    /** Bytes of one photograph. */
    public int imageBytes() {
        return image * image * 3;
    }

    /**
     * Features [B, F] of the photographs, flattened where they are maps.
     *
     * @param subject whose own vector the backbone adds, or "" for a model of one subject
     */
    public Value features(Weights w, Value images, String subject) {
        Value f = Backbone.of(this, w, images, subject).value();
        return Ops.reshape(
                f, f.dim(0), Math.toIntExact(f.shape().elements(1, f.shape().rank())));
    }

    /** Responses [B, vertices] in the compute type of one subject; the head is {@code head} or {@code head.SUBJECT}. */
    public Value responses(Weights w, Value images, String subject, int vertices) {
        Features f = Backbone.of(this, w, images, subject);
        try (Graph.Scope s = images.graph().scope("head")) {
            return readout.apply(w.sub(subject.isEmpty() ? HEAD : HEAD + "." + subject), f, vertices);
        }
    }

    /** Whether a parameter is one subject's own, in a model of several: its head, or its vector in the backbone. */
    public static boolean isSubjectsOwn(Weights.Spec parameter) {
        return parameter.name().startsWith(PREFIX + HEAD + ".")
                || parameter.name().startsWith(PREFIX + SUBJECT + ".");
    }

    /** The input that a graph takes photographs by. */
    public Value images(Graph g, int batch) {
        return g.input(IMAGES, DType.U8, batch, image, image, 3);
    }
}
