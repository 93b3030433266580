// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.List;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.op.Ops;

/**
 * The autoencoder of Stable Diffusion (Rombach et al. 2022), between photographs [B, S, S, 3] in -1..1 and latents [B,
 * s, s, 4] with s = S / {@link #factor}. Its parameters have the names of diffusers' AutoencoderKL; 1x1 convolutions
 * are linear layers [out, in].
 *
 * @param channels channels of each level, the finest first
 * @param blocks residual blocks of a level of the encoder; the decoder has one more
 * @param groups groups of channels in a group norm
 */
public record Autoencoder(List<Integer> channels, int blocks, int groups) {
    /** Stable Diffusion 1.x. */
    public static final Autoencoder SD1 = new Autoencoder(List.of(128, 256, 512, 512), 2, 32);

    /** Channels of a latent. */
    public static final int LATENT = 4;

    /** A latent is this number times the mean that the encoder gives. */
    public static final double SCALE = 0.18215;

    private static final double EPS = 1e-6;

    public Autoencoder {
        channels = List.copyOf(channels);
    }

    /** A photograph's side divided by its latent's. */
    public int factor() {
        return 1 << channels.size() - 1;
    }

    /** The latent of photographs, without noise: [B, s, s, 4]. */
    public Value latent(Weights w, Value photographs) {
        return Ops.scale(Ops.slice(moments(w, photographs), 3, 0, LATENT), SCALE);
    }

    /** Mean, then logarithm of the variance, of the distribution that the encoder gives: [B, s, s, 8]. */
    Value moments(Weights w, Value photographs) {
        Weights e = w.sub("encoder");
        Graph g = photographs.graph();
        try (Graph.Scope s = g.scope("encoder")) {
            Value x = ResidualBlocks.conv(e.sub("conv_in"), photographs, channels.get(0));
            for (int i = 0; i < channels.size(); i++) {
                Weights level = e.sub("down_blocks." + i);
                x = blocks(level, x, channels.get(i), blocks);
                if (i < channels.size() - 1) x = ResidualBlocks.halved(level.sub("downsamplers.0.conv"), x, false);
            }
            x = out(e, middle(e.sub("mid_block"), x), 2 * LATENT);
            return Layers.linear(w.sub("quant_conv"), x, 2 * LATENT);
        }
    }

    /** The photographs [B, S, S, 3] in about -1..1 that latents [B, s, s, 4] stand for. */
    public Value decode(Weights w, Value latent) {
        Weights d = w.sub("decoder");
        int last = channels.size() - 1;
        try (Graph.Scope s = latent.graph().scope("decoder")) {
            Value x = Layers.linear(w.sub("post_quant_conv"), Ops.scale(latent, 1 / SCALE), LATENT);
            x = middle(d.sub("mid_block"), ResidualBlocks.conv(d.sub("conv_in"), x, channels.get(last)));
            for (int i = 0; i <= last; i++) {
                Weights level = d.sub("up_blocks." + i);
                x = blocks(level, x, channels.get(last - i), blocks + 1);
                if (i < last) x = ResidualBlocks.doubled(level.sub("upsamplers.0.conv"), x);
            }
            return out(d, x, 3);
        }
    }

    private Value blocks(Weights level, Value x, int out, int count) {
        Value y = x;
        for (int j = 0; j < count; j++) y = ResidualBlocks.block(level.sub("resnets." + j), y, out, groups, EPS, null);
        return y;
    }

    /** Two residual blocks, between which all cells of x [B, H, W, C] attend to each other. */
    private Value middle(Weights w, Value x) {
        int b = x.dim(0), c = x.dim(3);
        Value y = ResidualBlocks.block(w.sub("resnets.0"), x, c, groups, EPS, null);
        Weights a = w.sub("attentions.0");
        Value tokens = Ops.reshape(norm(a.sub("group_norm"), y, Layers.NormActivation.NONE), b, x.dim(1) * x.dim(2), c);
        Value seen = ResidualBlocks.attention(a, tokens, tokens, 1, true);
        y = Ops.add(Ops.reshape(seen, x.shape().dims()), y);
        return ResidualBlocks.block(w.sub("resnets.1"), y, c, groups, EPS, null);
    }

    private Value out(Weights w, Value x, int out) {
        Value h = norm(w.sub("conv_norm_out"), x, Layers.NormActivation.SILU);
        return ResidualBlocks.conv(w.sub("conv_out"), h, out);
    }

    private Value norm(Weights w, Value x, Layers.NormActivation activation) {
        return Layers.groupNorm(w, x, groups, EPS, activation, null);
    }
}
