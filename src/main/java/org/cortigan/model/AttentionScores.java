// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Arrays;
import org.cortigan.graph.Value;

/**
 * Products of queries and keys, and the attention maps that they give.
 *
 * @param value [B, N heads R], for each photograph and token those of all heads, and for each head those of R queries
 * @param layers L; each has {@code placeless} tokens, then those of a map [H, W]
 * @param scale factor of a product in the softmax
 */
public record AttentionScores(
        Value value, int heads, int queries, int layers, int placeless, int height, int width, double scale) {
    /** Tokens of all layers. */
    private int tokens() {
        return layers * (placeless + height * width);
    }

    /** Elements of the maps [R, L, H, W] of a photograph. */
    public int elements() {
        return queries * layers * height * width;
    }

    /**
     * The attention of each query to each place, mean over heads: softmax over all tokens, in double.
     *
     * @param scores of one photograph, from {@code at} on
     * @param maps receives [R, L, H, W]. The share of tokens without a place is left out, so that the map of a query
     *     may sum to less than 1.
     */
    public void maps(float[] scores, int at, float[] maps) {
        int n = tokens(), places = height * width, stride = heads * queries;
        double[] share = new double[n], mean = new double[n];
        for (int r = 0; r < queries; r++) {
            Arrays.fill(mean, 0);
            for (int h = 0; h < heads; h++) {
                int first = at + h * queries + r;
                double largest = Double.NEGATIVE_INFINITY, sum = 0;
                for (int t = 0; t < n; t++) largest = Math.max(largest, scale * scores[first + t * stride]);
                for (int t = 0; t < n; t++) sum += share[t] = Math.exp(scale * scores[first + t * stride] - largest);
                for (int t = 0; t < n; t++) mean[t] += share[t] / sum / heads;
            }
            for (int l = 0; l < layers; l++)
                for (int p = 0; p < places; p++)
                    maps[(r * layers + l) * places + p] = (float) mean[l * (placeless + places) + placeless + p];
        }
    }
}
