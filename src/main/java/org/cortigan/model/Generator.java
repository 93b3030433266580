package org.cortigan.model;

import java.util.List;
import org.cortigan.data.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * From photographs u8 [B, S, S, 3] to responses [B, V] of all vertices, the left hemisphere's first. A Vision Transformer
 * (Dosovitskiy et al. 2021; parameters named as in timm) or a shallow CNN of 4x4 convolutions with stride 2, both with
 * one linear head over the vertices.
 *
 * @param image side S of the photographs, in pixels
 * @param width E of a token; @param mlpRatio hidden width of a block's MLP over E
 * @param channels of the CNN's convolutions; @param hidden width of the CNN's features
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
        List<Integer> channels,
        int hidden,
        List<Double> mean,
        List<Double> std) {
    public enum Type {
        VIT,
        CNN
    }

    /** What the head of the ViT sees: the class token, or the mean of the patch tokens. */
    public enum Pool {
        CLS,
        MEAN
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
                s.integers("channels"),
                s.integer("hidden", 1),
                s.numbers("mean", 3),
                s.numbers("std", 3));
        for (double d : g.std) if (d <= 0) throw s.wrong("std", d + " does not fit", "Give numbers above 0");
        if (g.type == Type.VIT) {
            if (g.image % g.patch != 0)
                throw s.wrong("patch", g.patch + " does not divide the image's " + g.image + " pixels", "Choose a divisor");
            if (g.width % g.heads != 0)
                throw s.wrong("heads", g.heads + " do not divide the width " + g.width, "Choose a divisor");
        } else {
            if (g.channels.isEmpty()) throw s.wrong("channels", "is empty", "Give at least one convolution");
            if (g.image % (1 << g.channels.size()) != 0)
                throw s.wrong(
                        "channels", g.channels.size() + " convolutions with stride 2 do not divide " + g.image + " pixels",
                        "Choose fewer, or an image side that is a multiple of " + (1 << g.channels.size()));
        }
        return g;
    }

    /** Bytes of one photograph. */
    public int imageBytes() {
        return image * image * 3;
    }

    /** Features [B, F] that the head reads. */
    public Value features(Weights w, Value images) {
        return type == Type.VIT ? vit(w, images) : cnn(w, images);
    }

    /** Responses [B, vertices] in the compute type. */
    public Value responses(Weights w, Value images, int vertices) {
        Value f = features(w, images);
        try (Graph.Scope s = images.graph().scope("head")) {
            return Layers.linear(w.sub("head"), f, vertices, Init.VIT, Init.ZEROS);
        }
    }

    private Value vit(Weights w, Value images) {
        Graph g = images.graph();
        Value x;
        try (Graph.Scope s = g.scope("patch_embed")) {
            x = Ops.patchify(images, patch, mean, std, w.compute());
            x = Layers.linear(w.sub("patch_embed.proj"), x, width, Init.torch(x.dim(2)), Init.torch(x.dim(2)));
        }
        try (Graph.Scope s = g.scope("tokens")) {
            x = Ops.prepend(w.token("cls_token", Init.normal(1e-6), 1, width), x);
            x = Ops.add(x, w.vector("pos_embed", Init.VIT, x.dim(1), width));
        }
        x = Layers.encoder(w, x, depth, heads, mlpRatio);
        try (Graph.Scope s = g.scope("pool")) {
            if (pool == Pool.CLS) return Ops.reshape(Ops.slice(x, 1, 0, 1), x.dim(0), width);
            return Ops.meanMiddle(Ops.slice(x, 1, 1, x.dim(1)));
        }
    }

    private Value cnn(Weights w, Value images) {
        Graph g = images.graph();
        Value x = Ops.normalize(images, mean, std, w.compute());
        for (int i = 0; i < channels.size(); i++)
            try (Graph.Scope s = g.scope("conv." + i)) {
                x = Layers.leakyRelu(Layers.conv(
                        w.sub("conv." + i), x, channels.get(i), new int[] {4, 4}, new int[] {2, 2}, new int[] {1, 1}));
            }
        try (Graph.Scope s = g.scope("features")) {
            x = Ops.reshape(x, x.dim(0), Math.toIntExact(x.shape().elements(1, 4)));
            return Layers.leakyRelu(Layers.linear(w.sub("features"), x, hidden));
        }
    }

    /** All parameters for that many vertices. */
    public List<Weights.Spec> specs(DType compute, int vertices) {
        return Weights.specsOf(compute, PREFIX, false, w -> responses(w, images(w.graph(), 1), vertices));
    }

    /** The input that a graph takes photographs by. */
    public Value images(Graph g, int batch) {
        return g.input("images", DType.U8, batch, image, image, 3);
    }
}
