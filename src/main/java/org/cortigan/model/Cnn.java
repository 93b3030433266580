// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * A shallow CNN: 4x4 convolutions with stride 2 and LeakyReLU, of photographs [B, S, S, 3] or of maps of their
 * energies, [B, S/4, S/4, C]. Each convolution halves both sides.
 *
 * @param channels output channels of each convolution
 * @param hidden width of the features that a dense readout reads
 * @param embed what the first convolution reads
 */
public record Cnn(List<Integer> channels, int hidden, Embed embed) implements Backbone {
    static final NetworkType<Backbone> TYPE = new NetworkType<>("cnn", "shallow CNN", """
            channels: [64, 128, 256] # 4x4 convolutions with stride 2
            hidden: 512            # width of the features that a dense readout reads
            embed: pixels          # what convolutions read: pixels | gabor: energies of Gabor wavelets in cells of 4x4 pixels, fixed
            """, Cnn::of);

    /** Side in pixels of the cells over which energies are averaged. */
    private static final int CELL = 4;

    /** From the section {@code model.generator.cnn} of a recipe. */
    static Cnn of(Settings s) {
        return new Cnn(Convolutions.channels(s), s.integer("hidden", 1), Embed.of(s));
    }

    @Override
    public NetworkType<Backbone> type() {
        return TYPE;
    }

    @Override
    public void checkImage(int side, Settings s) {
        int halvings = channels.size() + (embed == Embed.GABOR ? Integer.numberOfTrailingZeros(CELL) : 0);
        Convolutions.checkImage(halvings, side, s);
    }

    @Override
    public Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form) {
        Value x = embed == Embed.GABOR
                ? EnergyMaps.standardised(w.sub("embed"), images, normalisation, images.dim(1) / CELL)
                : Ops.normalize(images, normalisation.mean(), normalisation.std(), w.compute());
        for (int i = 0; i < channels.size(); i++)
            try (Graph.Scope s = x.graph().scope("conv." + i)) {
                x = Layers.leakyRelu(Layers.conv(
                        w.sub("conv." + i), x, channels.get(i), Convolutions.FOUR, Convolutions.TWO, Convolutions.ONE));
            }
        return Convolutions.features(w, SubjectVector.add(w, x, subject), hidden, form);
    }
}
