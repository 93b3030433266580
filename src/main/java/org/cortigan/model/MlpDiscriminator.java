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
 * An MLP over all vertices of a region, with LeakyReLU and one logit. The photograph's embedding is added to the first
 * layer's output before its activation.
 *
 * @param hidden width of each hidden layer
 */
public record MlpDiscriminator(List<Integer> hidden) implements DiscriminatorNetwork {
    static final NetworkType<DiscriminatorNetwork> TYPE = new NetworkType<>("mlp", "MLP", """
            hidden: [256, 128]     # widths of the hidden layers
            """, MlpDiscriminator::of);

    /** From the section {@code model.discriminator.mlp} of a recipe. */
    static MlpDiscriminator of(Settings s) {
        List<Integer> hidden = s.integers("hidden");
        if (hidden.isEmpty()) throw s.wrong("hidden", "is empty", "Give at least one layer");
        return new MlpDiscriminator(hidden);
    }

    @Override
    public NetworkType<DiscriminatorNetwork> type() {
        return TYPE;
    }

    @Override
    public int imageFeatures() {
        return hidden.get(0);
    }

    @Override
    public Logits logits(List<Weights> ws, Value x, int rows, List<Integer> vertices, @Nullable Value image) {
        List<Integer> in = vertices;
        for (int i = 0; i < hidden.size(); i++)
            try (Graph.Scope s = x.graph().scope("layers." + i)) {
                x = Layers.groupedLinear(Regional.sub(ws, "layers." + i), x, rows, in, hidden.get(i));
                if (i == 0 && image != null) x = Ops.add(x, image);
                x = Layers.leakyRelu(x);
                in = Regional.each(ws, hidden.get(i));
            }
        return new Logits(Regional.decision(ws, x, rows, in), Regional.each(ws, 1));
    }
}
