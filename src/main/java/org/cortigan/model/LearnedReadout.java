// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import java.util.Optional;

/**
 * What the readout of a trained model has learned of each vertex of a subject.
 *
 * @param positions of a readout at learned positions, the place that each vertex reads in the photograph: [V, 2], x to
 *     the right, then y down, in -1..1, the photograph's edges; empty for other readouts
 * @param layers of a readout that chooses among L layers for each vertex, the share of each layer: [V, L], which sums
 *     to 1; empty for other readouts. It is the norm of the vertex's weights w[v, l, :] over the sum of the norms of
 *     all layers. A vertex has one weight f[v, c] for each feature, which the layers share: w[v, l, c] =
 *     softmax_l(a[v])[l] f[v, c], so the share is the softmax. How large the features of a layer are is not part of it.
 * @param layerNames names of the layers that the readout reads; none if it reads one layer
 */
public record LearnedReadout(Optional<float[]> positions, Optional<float[]> layers, List<String> layerNames) {
    /** Whether a model's readout reads positions, layers or tokens of its own choice. */
    public static boolean isIn(Generator g) {
        return g.readout() == ReadoutHead.POSITION
                || g.queries().isPresent()
                || !g.backbone().layerNames().isEmpty();
    }

    /** Reads it from the parameters of a model. */
    public static LearnedReadout of(Model m, ModelConfig.Subject subject) {
        Generator g = m.config().generator();
        String head = Generator.readoutOf(subject.name());
        return new LearnedReadout(
                values(m, head + ReadoutHead.PLACE).map(LearnedReadout::positions),
                values(m, head + ReadoutHead.LAYERS).map(a -> softmax(a, a.length / subject.vertices())),
                g.backbone().layerNames());
    }

    private static Optional<float[]> values(Model m, String name) {
        return m.elements(name) == 0 ? Optional.empty() : Optional.of(m.values(name));
    }

    private static float[] positions(float[] raw) {
        float[] at = new float[raw.length];
        for (int i = 0; i < at.length; i++) at[i] = (float) Math.tanh(raw[i]);
        return at;
    }

    /** The softmax of each row of a [V, L]. */
    private static float[] softmax(float[] a, int l) {
        float[] shares = new float[a.length];
        for (int row = 0; row < a.length; row += l) {
            double largest = Double.NEGATIVE_INFINITY, sum = 0;
            for (int i = row; i < row + l; i++) largest = Math.max(largest, a[i]);
            for (int i = row; i < row + l; i++) sum += Math.exp(a[i] - largest);
            for (int i = row; i < row + l; i++) shares[i] = (float) (Math.exp(a[i] - largest) / sum);
        }
        return shares;
    }
}
