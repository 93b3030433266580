// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

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
        for (int r = 0; r < queries; r++) map(shares(scores, at, r, 0, heads), r, maps);
    }

    /** The same of one head. */
    public void mapsOfHead(int head, float[] scores, int at, float[] maps) {
        for (int r = 0; r < queries; r++) map(shares(scores, at, r, head, 1), r, maps);
    }

    /**
     * The attention of each query to all tokens of each layer, also to those without a place, mean over heads.
     *
     * @param scores of one photograph, from {@code at} on
     * @return [R, L]; those of a query sum to 1
     */
    public double[] layers(float[] scores, int at) {
        double[] sums = new double[queries * layers];
        int own = tokens() / layers;
        for (int r = 0; r < queries; r++) {
            double[] shares = shares(scores, at, r, 0, heads);
            for (int t = 0; t < shares.length; t++) sums[r * layers + t / own] += shares[t];
        }
        return sums;
    }

    /** Writes the places of all layers of a query to its map. */
    private void map(double[] shares, int query, float[] maps) {
        int places = height * width;
        for (int l = 0; l < layers; l++)
            for (int p = 0; p < places; p++)
                maps[(query * layers + l) * places + p] = (float) shares[l * (placeless + places) + placeless + p];
    }

    /** The attention of a query to each token, mean over some heads: softmax over all tokens, in double. */
    private double[] shares(float[] scores, int at, int query, int firstHead, int count) {
        int n = tokens(), stride = heads * queries;
        double[] share = new double[n], mean = new double[n];
        for (int h = firstHead; h < firstHead + count; h++) {
            int first = at + h * queries + query;
            double largest = Double.NEGATIVE_INFINITY, sum = 0;
            for (int t = 0; t < n; t++) largest = Math.max(largest, scale * scores[first + t * stride]);
            for (int t = 0; t < n; t++) sum += share[t] = Math.exp(scale * scores[first + t * stride] - largest);
            for (int t = 0; t < n; t++) mean[t] += share[t] / sum / count;
        }
        return mean;
    }
}
