// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;
import org.jspecify.annotations.Nullable;

/**
 * Convolutions along the vertices of a region, with LeakyReLU. The network gives one logit or, as a patch
 * discriminator, one logit for each position. A patch discriminator with stride 1 gives one logit for each vertex,
 * computed from the vertices around it; with a larger stride it is PatchGAN (Isola et al. 2017) along the vertices. The
 * photograph's embedding adds a linear term to the single logit.
 *
 * @param patches whether each position has a logit
 * @param channels output channels of each convolution
 * @param kernel width of the convolutions, odd
 * @param stride of the convolutions
 */
public record ConvDiscriminator(boolean patches, List<Integer> channels, int kernel, int stride)
        implements DiscriminatorNetwork {
    private static final String SECTION = "conv";
    private static final String KEYS = """
            channels: [16, 32, 64] # conv and patch: convolutions along the vertices
            kernel: 9              # their width, odd
            stride: 4              # their stride; 1 gives a patch discriminator one logit for each vertex
            """;
    static final NetworkType<DiscriminatorNetwork> CONV =
            new NetworkType<>("conv", "convolutional", SECTION, KEYS, s -> of(s, false));
    static final NetworkType<DiscriminatorNetwork> PATCH =
            new NetworkType<>("patch", "patch", SECTION, KEYS, s -> of(s, true));

    /** From the section {@code model.discriminator.conv} of a recipe. */
    static ConvDiscriminator of(Settings s, boolean patches) {
        ConvDiscriminator c =
                new ConvDiscriminator(patches, s.integers("channels"), s.integer("kernel", 1), s.integer("stride", 1));
        if (c.channels.isEmpty()) throw s.wrong("channels", "is empty", "Give at least one convolution");
        if (c.kernel % 2 == 0)
            throw s.wrong("kernel", c.kernel + " is even", "Give an odd width, so that a window has a middle");
        return c;
    }

    @Override
    public NetworkType<DiscriminatorNetwork> type() {
        return patches ? PATCH : CONV;
    }

    @Override
    public void checkConditioned(Settings s) {
        if (patches)
            throw s.wrong(
                    "condition",
                    "image is not supported by a patch discriminator",
                    "Use none, or type conv, mlp or vit");
    }

    @Override
    public int imageFeatures() {
        return channels.get(channels.size() - 1);
    }

    @Override
    public Logits logits(List<Weights> ws, Value x, int rows, List<Integer> vertices, @Nullable Value image) {
        List<Integer> n = vertices;
        for (int i = 0; i < channels.size(); i++)
            try (Graph.Scope s = x.graph().scope("conv." + i)) {
                x = Layers.leakyRelu(
                        Layers.groupedConv(Regional.sub(ws, "conv." + i), x, rows, n, channels.get(i), kernel, stride));
                n = n.stream().map(k -> (k - 1) / stride + 1).toList();
            }
        return patches ? logitPerPosition(ws, x, rows, n) : singleLogit(ws, x, rows, n, image);
    }

    /** @param n positions of each region */
    private Logits logitPerPosition(List<Weights> ws, Value x, int rows, List<Integer> n) {
        try (Graph.Scope s = x.graph().scope("decision")) {
            return new Logits(Layers.groupedConv(Regional.sub(ws, "decision"), x, rows, n, 1, kernel, 1), n);
        }
    }

    private Logits singleLogit(List<Weights> ws, Value x, int rows, List<Integer> n, @Nullable Value image) {
        int last = channels.get(channels.size() - 1);
        Value y = Regional.decision(ws, x, rows, n.stream().map(k -> k * last).toList());
        if (image != null)
            y = Ops.add(
                    y,
                    Layers.groupedLinear(Regional.sub(ws, "image.decision"), image, rows, Regional.each(ws, last), 1));
        return new Logits(y, Regional.each(ws, 1));
    }
}
