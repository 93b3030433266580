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
 * A shallow CNN: 4x4 convolutions with stride 2 and LeakyReLU.
 *
 * @param channels output channels of each convolution
 * @param hidden width of the features that a dense readout reads
 */
public record Cnn(List<Integer> channels, int hidden) implements Backbone {
    static final NetworkType<Backbone> TYPE = new NetworkType<>("cnn", "shallow CNN", """
            channels: [64, 128, 256] # 4x4 convolutions with stride 2
            hidden: 512            # width of the features that a dense readout reads
            """, Cnn::of);

    /** From the section {@code model.generator.cnn} of a recipe. */
    static Cnn of(Settings s) {
        return new Cnn(Convolutions.channels(s), s.integer("hidden", 1));
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
        Value x = Ops.normalize(images, normalisation.mean(), normalisation.std(), w.compute());
        for (int i = 0; i < channels.size(); i++)
            try (Graph.Scope s = x.graph().scope("conv." + i)) {
                x = Layers.leakyRelu(Layers.conv(
                        w.sub("conv." + i), x, channels.get(i), Convolutions.FOUR, Convolutions.TWO, Convolutions.ONE));
            }
        return Convolutions.features(w, SubjectVector.add(w, x, subject), hidden, form);
    }
}
