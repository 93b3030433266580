// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.Value;
import org.cortigan.op.Ops;
import org.jspecify.annotations.Nullable;

/** Parts that the UNet and the autoencoder of Stable Diffusion share; parameters have diffusers' names. */
final class ResidualBlocks {
    private static final int[] THREE = {3, 3};
    private static final int[] ONE = {1, 1};
    private static final int[] NONE = {0, 0};

    private ResidualBlocks() {}

    /** A 3x3 convolution of x [B, H, W, C] that keeps its height and width. */
    static Value conv(Weights w, Value x, int out) {
        return Layers.conv(w, x, out, THREE, ONE, ONE);
    }

    /**
     * A 3x3 convolution with stride 2 that halves height and width.
     *
     * @param around whether one row and column of zeros lie on every side of x, or only below and on the right
     */
    static Value halved(Weights w, Value x, boolean around) {
        int[] two = {2, 2};
        return around
                ? Layers.conv(w, x, x.dim(3), THREE, two, ONE)
                : Layers.conv(w, Ops.pad(Ops.pad(x, 1, 0, 1), 2, 0, 1), x.dim(3), THREE, two, NONE);
    }

    /** Nearest-neighbour upsampling by 2 and a 3x3 convolution. */
    static Value doubled(Weights w, Value x) {
        return conv(w, Ops.upsample(x), x.dim(3));
    }

    /**
     * A residual block: norm, SiLU and convolution twice, plus x (He et al. 2016; Ho et al. 2020).
     *
     * @param eps epsilon of the group norms
     * @param time [B, T], from which a linear layer makes a number for each channel that is added between the
     *     convolutions; null for none
     */
    static Value block(Weights w, Value x, int out, int groups, double eps, @Nullable Value time) {
        Value h = Layers.groupNorm(w.sub("norm1"), x, groups, eps, Layers.NormActivation.SILU, null);
        h = conv(w.sub("conv1"), h, out);
        Value shift = time == null ? null : Layers.linear(w.sub("time_emb_proj"), time, out);
        h = Layers.groupNorm(w.sub("norm2"), h, groups, eps, Layers.NormActivation.SILU, shift);
        h = conv(w.sub("conv2"), h, out);
        return Ops.add(h, x.dim(3) == out ? x : Layers.linear(w.sub("conv_shortcut"), x, out));
    }

    /**
     * The tokens x [B, N, C] attend to {@code seen} [B, M, K]: [B, N, C]. Layers that read the same tokens are one
     * product of their joined weights; copying a weight costs less than copying what it makes of all tokens.
     *
     * @param bias whether the layers that make queries, keys and values have biases
     */
    static Value attention(Weights w, Value x, Value seen, int heads, boolean bias) {
        int c = x.dim(2);
        Value y = x == seen
                ? Ops.attention(joined(w, x, c, bias, "to_q", "to_k", "to_v"), heads)
                : Ops.attention(joined(w, x, c, bias, "to_q"), joined(w, seen, c, bias, "to_k", "to_v"), heads);
        return Layers.linear(w.sub("to_out.0"), y, c);
    }

    private static Value joined(Weights w, Value x, int c, boolean bias, String... layers) {
        int in = x.dim(2);
        List<Value> weights = new ArrayList<>(), biases = new ArrayList<>(), copies = new ArrayList<>();
        for (String layer : layers) {
            weights.add(w.sub(layer).weight("weight", Init.torch(in), c, in).value());
            if (!bias) continue;
            Weights.Bias b = w.sub(layer).bias("bias", Init.torch(in), c);
            biases.add(b.value());
            if (b.copy() != null) copies.add(b.copy());
        }
        Value rows = Ops.reshape(x, x.dim(0) * x.dim(1), in), weight = concat(weights);
        Value y = bias
                ? Ops.linear(rows, weight, concat(biases), copies.isEmpty() ? null : concat(copies), null, w.compute())
                : Ops.matmul(rows, weight, false, true, null, null, w.compute());
        return Ops.reshape(y, x.dim(0), x.dim(1), layers.length * c);
    }

    private static Value concat(List<Value> parts) {
        return Ops.concat(0, parts.toArray(new Value[0]));
    }
}
