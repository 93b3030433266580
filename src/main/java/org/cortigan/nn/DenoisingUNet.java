// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Ops;

/**
 * The UNet of Stable Diffusion 1 (Rombach et al. 2022), which denoises maps at a step of diffusion and attends to a
 * context. Its parameters have the names of diffusers' UNet2DConditionModel; 1x1 convolutions are linear layers [out,
 * in]. Maps are [B, H, W, C], and H and W multiples of 2^(levels - 1).
 *
 * @param channels channels of each level, the finest first; each level has half the height and width of that before it
 * @param blocks residual blocks of a level on the way down; there is one more on the way up
 * @param attentionLevels number of levels, the finest, whose residual blocks are followed by transformer blocks; the
 *     middle always has one
 * @param heads attention heads
 * @param context width of the context's tokens
 * @param groups groups of channels in a group norm
 */
public record DenoisingUNet(
        List<Integer> channels, int blocks, int attentionLevels, int heads, int context, int groups) {
    /** Section of a recipe below {@code model.generator} that describes the UNet. */
    public static final String SECTION = "sd_unet";

    /** Stable Diffusion 1.x. */
    public static final DenoisingUNet SD1 = new DenoisingUNet(List.of(320, 640, 1280, 1280), 2, 3, 8, 768, 32);

    /** Steps of diffusion. */
    public static final int STEPS = 1000;

    /** Epsilons of the group norms of residual blocks, and of those before transformer blocks. */
    private static final double BLOCK_EPS = 1e-5, TRANSFORMER_EPS = 1e-6;

    /** Epsilon of layer norms. */
    private static final double LAYER_EPS = 1e-5;

    /** Longest period of the embedding of a step, over 2 pi. */
    private static final double MAX_PERIOD = 10_000;

    public DenoisingUNet {
        channels = List.copyOf(channels);
    }

    /** Where maps can be read: after the last block of the middle, or of a level on the way up, the coarsest first. */
    public enum Place {
        MID,
        UP0,
        UP1,
        UP2,
        UP3,
        UP4,
        UP5,
        UP6,
        UP7
    }

    /**
     * From the section {@link #SECTION} of a recipe.
     *
     * @throws org.cortigan.InputException if the numbers do not fit together
     */
    public static DenoisingUNet of(Settings s) {
        DenoisingUNet u = new DenoisingUNet(
                s.integers("channels"),
                s.integer("blocks", 1),
                s.integer("attention_levels", 0),
                s.integer("heads", 1),
                s.integer("context", 1),
                s.integer("groups", 1));
        u.check(s);
        return u;
    }

    private void check(Settings s) {
        int levels = channels.size();
        if (levels == 0) throw s.wrong("channels", "is empty", "Give the channels of at least one level");
        if (attentionLevels > levels)
            throw s.wrong("attention_levels", attentionLevels + " of " + levels + " levels", "Give at most " + levels);
        if (channels.get(0) % 2 != 0)
            throw s.wrong(
                    "channels", channels.get(0) + " at the finest level is odd", "Give an even number for the first");
        for (int i = 0; i < levels; i++) {
            int c = channels.get(i);
            if (c % groups != 0)
                throw s.wrong(
                        "groups", groups + " do not divide " + c + " channels", "Choose a divisor of all channels");
            if ((i < attentionLevels || i == levels - 1) && c % heads != 0)
                throw s.wrong("heads", heads + " do not divide " + c + " channels", "Choose a divisor");
        }
    }

    /**
     * Refuses maps whose sides the levels cannot halve.
     *
     * @param s section that has the key
     * @param key of the side
     * @throws org.cortigan.InputException if the side does not fit
     */
    public void requireSide(int side, Settings s, String key) {
        long multiple = 1L << Math.min(channels.size() - 1, 62);
        if (side % multiple != 0)
            throw s.wrong(
                    key,
                    "maps with a side of " + side + " cannot be halved for each of the UNet's " + channels.size()
                            + " levels",
                    "Give a multiple of " + multiple + ", or fewer sd_unet.channels");
    }

    /** Width of the embedding of a step. */
    public int timeWidth() {
        return 4 * channels.get(0);
    }

    /** Embedding of steps t, i32 [B] from 0 to 999: [B, {@link #timeWidth}] in the compute type. */
    public Value time(Weights w, Value t) {
        Graph g = t.graph();
        try (Graph.Scope s = g.scope("time")) {
            int width = channels.get(0);
            Value table = g.table(sinusoids(width), STEPS, width);
            Value x = g.apply(new GatherRows(), table, t).output(0);
            x = Layers.linear(w.sub("time_embedding.linear_1"), Ops.cast(x, w.compute()), timeWidth());
            return Layers.linear(w.sub("time_embedding.linear_2"), silu(x), timeWidth());
        }
    }

    /** Cosines, then sines of every step at width / 2 frequencies, [1000, width]. */
    static float[] sinusoids(int width) {
        int half = width / 2;
        float[] all = new float[STEPS * width];
        for (int t = 0; t < STEPS; t++)
            for (int i = 0; i < half; i++) {
                double angle = t * Math.exp(-Math.log(MAX_PERIOD) * i / half);
                all[t * width + i] = (float) Math.cos(angle);
                all[t * width + half + i] = (float) Math.sin(angle);
            }
        return all;
    }

    private static Value silu(Value x) {
        return Ops.activation(x, Activation.Kind.SWISH, 1);
    }

    /** The first convolution, of x [B, H, W, C] to [B, H, W, channels of the finest level]. */
    public Value convIn(Weights w, Value x) {
        return ResidualBlocks.conv(w.sub("conv_in"), x, channels.get(0));
    }

    /** The last norm, with SiLU, of h [B, H, W, channels of the finest level]. */
    public Value normOut(Weights w, Value h) {
        return Layers.groupNorm(w.sub("conv_norm_out"), h, groups, BLOCK_EPS, Layers.NormActivation.SILU, null);
    }

    /** The last convolution, of what {@link #normOut} gives, to [B, H, W, out]. */
    public Value convOut(Weights w, Value h, int out) {
        return ResidualBlocks.conv(w.sub("conv_out"), h, out);
    }

    /**
     * All between the first convolution and the last norm.
     *
     * @param h [B, H, W, channels of the finest level]
     * @param time what {@link #time} gives
     * @param context [B, N, context]
     * @return [B, H, W, channels of the finest level]
     */
    public Value body(Weights w, Value h, Value time, Value context) {
        return walk(w, h, time, context, List.of(channels.size())).get(0);
    }

    /**
     * The maps at some places, in the order of {@code places}. Nothing is built beyond the last of them. For the
     * arguments see {@link #body}.
     */
    public List<Value> maps(Weights w, Value h, Value time, Value context, List<Place> places) {
        return walk(w, h, time, context, places.stream().map(Place::ordinal).toList());
    }

    /** @param stages to be read: 0 for the middle, 1 + i for level i on the way up */
    private List<Value> walk(Weights w, Value h, Value time, Value context, List<Integer> stages) {
        Graph g = h.graph();
        int levels = channels.size(), last = Collections.max(stages);
        List<Value> read = new ArrayList<>();
        Deque<Value> skips = new ArrayDeque<>(List.of(h));
        Value emb = silu(time), x = h;
        for (int i = 0; i < levels; i++) {
            Weights level = w.sub("down_blocks." + i);
            try (Graph.Scope s = g.scope("down." + i)) {
                for (int j = 0; j < blocks; j++) {
                    x = block(level, j, x, channels.get(i), emb, context, i < attentionLevels);
                    skips.push(x);
                }
                if (i < levels - 1) {
                    x = ResidualBlocks.halved(level.sub("downsamplers.0.conv"), x, true);
                    skips.push(x);
                }
            }
        }
        try (Graph.Scope s = g.scope("mid")) {
            Weights mid = w.sub("mid_block");
            x = block(mid, 0, x, x.dim(3), emb, context, true);
            x = block(mid, 1, x, x.dim(3), emb, context, false);
            read.add(x);
        }
        for (int i = 0; i < last; i++) {
            Weights level = w.sub("up_blocks." + i);
            int from = levels - 1 - i;
            try (Graph.Scope s = g.scope("up." + i)) {
                if (i > 0) x = ResidualBlocks.doubled(w.sub("up_blocks." + (i - 1) + ".upsamplers.0.conv"), x);
                for (int j = 0; j <= blocks; j++)
                    x = block(
                            level,
                            j,
                            Ops.concat(3, x, skips.pop()),
                            channels.get(from),
                            emb,
                            context,
                            from < attentionLevels);
                read.add(x);
            }
        }
        return stages.stream().map(read::get).toList();
    }

    /** The residual block {@code resnets.j}, and the transformer block {@code attentions.j} if {@code attends}. */
    private Value block(Weights level, int j, Value x, int out, Value time, Value context, boolean attends) {
        Value y = ResidualBlocks.block(level.sub("resnets." + j), x, out, groups, BLOCK_EPS, time);
        return attends ? transformer(level.sub("attentions." + j), y, context) : y;
    }

    /** Self-attention, attention to the context and an MLP on the cells of x [B, H, W, C], plus x. */
    private Value transformer(Weights w, Value x, Value context) {
        int b = x.dim(0), c = x.dim(3);
        Value in = Layers.groupNorm(w.sub("norm"), x, groups, TRANSFORMER_EPS, Layers.NormActivation.NONE, null);
        Value tokens = Layers.linear(w.sub("proj_in"), Ops.reshape(in, b, x.dim(1) * x.dim(2), c), c);
        Weights t = w.sub("transformer_blocks.0");
        Node n = Layers.layerNorm(t.sub("norm1"), tokens, null, LAYER_EPS);
        Value a = ResidualBlocks.attention(t.sub("attn1"), n.output(0), n.output(0), heads, false);
        n = Layers.layerNorm(t.sub("norm2"), a, tokens, LAYER_EPS);
        a = ResidualBlocks.attention(t.sub("attn2"), n.output(0), context, heads, false);
        n = Layers.layerNorm(t.sub("norm3"), a, n.output(3), LAYER_EPS);
        Value m = Ops.geglu(Layers.linear(t.sub("ff.net.0.proj"), n.output(0), 8 * c));
        m = Layers.linear(t.sub("ff.net.2"), m, c);
        Value y = Layers.linear(w.sub("proj_out"), Ops.add(m, n.output(3)), c);
        return Ops.add(Ops.reshape(y, x.shape().dims()), x);
    }
}
