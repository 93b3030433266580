// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * A U-Net: an encoder of 4x4 convolutions with stride 2 and a decoder of nearest-neighbour upsampling with 3x3
 * convolutions, joined by skip connections (Ronneberger et al. 2015, Isola et al. 2017). Normalisation, if any, and
 * LeakyReLU follow each convolution.
 *
 * @param channels output channels of each convolution of the encoder
 * @param hidden width of the features that a dense readout reads
 * @param groups groups of channels in a group norm
 * @param decoder number of upsamplings
 */
public record UNet(List<Integer> channels, int hidden, Norm norm, int groups, int decoder) implements Backbone {
    static final NetworkType<Backbone> TYPE = new NetworkType<>("unet", "U-Net", """
            channels: [64, 128, 256] # 4x4 convolutions with stride 2
            hidden: 512            # width of the features that a dense readout reads
            norm: group            # none | group | batch
            groups: 8              # groups of channels in a group norm
            decoder: 2             # upsamplings; the readout's map has side image / 2^(convolutions - decoder)
            """, UNet::of);

    /** Normalisation after each convolution. */
    public enum Norm {
        NONE,
        GROUP,
        BATCH
    }

    /** From the section {@code model.generator.unet} of a recipe. */
    static UNet of(Settings s) {
        UNet u = new UNet(
                Convolutions.channels(s),
                s.integer("hidden", 1),
                s.choice("norm", Norm.class),
                s.integer("groups", 1),
                s.integer("decoder", 1));
        u.check(s);
        return u;
    }

    private void check(Settings s) {
        int n = channels.size();
        if (decoder >= n)
            throw s.wrong(
                    "decoder",
                    decoder + " upsamplings are too many for " + n + " convolutions of the encoder",
                    "Give 1 to " + (n - 1));
        if (norm != Norm.GROUP) return;
        for (int c : channels)
            if (c % Math.min(groups, c) != 0)
                throw s.wrong(
                        "groups", groups + " do not divide " + c + " channels", "Choose a divisor of all channels");
    }

    @Override
    public NetworkType<Backbone> type() {
        return TYPE;
    }

    @Override
    public void checkImage(int side, Settings s) {
        Convolutions.checkImage(channels.size(), side, s);
    }

    @Override
    public Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form) {
        Graph graph = images.graph();
        int n = channels.size();
        Value x = Ops.normalize(images, normalisation.mean(), normalisation.std(), w.compute());
        List<Value> down = new ArrayList<>();
        for (int i = 0; i < n; i++)
            try (Graph.Scope s = graph.scope("down." + i)) {
                x = block(w.sub("down." + i), x, channels.get(i), Convolutions.FOUR, Convolutions.TWO);
                if (i == n - 1) x = SubjectVector.add(w, x, subject);
                down.add(x);
            }
        for (int i = n - 2; i >= n - 1 - decoder; i--)
            try (Graph.Scope s = graph.scope("up." + i)) {
                x = Ops.concat(3, Ops.upsample(x), down.get(i));
                x = block(w.sub("up." + i), x, channels.get(i), Convolutions.THREE, Convolutions.ONE);
            }
        return Convolutions.features(w, x, hidden, form);
    }

    private Value block(Weights w, Value x, int channels, int[] kernel, int[] stride) {
        Value y = Layers.conv(w.sub("conv"), x, channels, kernel, stride, Convolutions.ONE);
        return switch (norm) {
            case NONE -> Layers.leakyRelu(y);
            case GROUP -> Layers.groupNorm(w.sub("norm"), y, Math.min(groups, channels));
            case BATCH -> Layers.batchNorm(w.sub("norm"), y);
        };
    }
}
