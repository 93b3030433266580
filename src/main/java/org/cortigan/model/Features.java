// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.graph.Value;

/**
 * The features that a backbone passes to a readout, in the compute type: vectors [B, L C], or maps [B, L, H, W, C], of
 * L layers.
 *
 * @param height height of the maps; 1 for vectors
 * @param width width of the maps; 1 for vectors
 */
public record Features(Value value, int layers, int height, int width, int channels) {
    /**
     * The form of features that a readout needs.
     *
     * @param maps true for maps, false for vectors
     * @param channels C of maps, and of each layer's vectors if there are several layers
     */
    public record Form(boolean maps, int channels) {}

    /** Features of the same form with another value. */
    Features with(Value v) {
        return new Features(v, layers, height, width, channels);
    }

    static Features vectors(Value v, int layers) {
        return new Features(v, layers, 1, 1, v.dim(1) / layers);
    }

    /** @param v [B, L, H, W, C] */
    static Features maps(Value v) {
        return new Features(v, v.dim(1), v.dim(2), v.dim(3), v.dim(4));
    }
}
