// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

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
}
