// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.graph.Value;
import org.cortigan.op.Ops;

/**
 * The features that a backbone passes to a readout, in the compute type: vectors [B, L C], maps [B, L, H, W, C], or
 * tokens [B, L (K + H W), C], of L layers. The tokens of a layer are K that belong to no place, such as a class token,
 * then one for each cell of a map, row by row.
 *
 * @param height height of the maps; 1 for vectors
 * @param width width of the maps; 1 for vectors
 */
public record Features(Value value, int layers, int height, int width, int channels) {
    /**
     * The form of features that a readout needs.
     *
     * @param channels C of maps and tokens, and of each layer's vectors if there are several layers
     */
    public record Form(Kind kind, int channels) {
        /** Whether the readout reads places of the photographs. */
        boolean spatial() {
            return kind != Kind.VECTORS;
        }
    }

    /** What a readout reads. */
    public enum Kind {
        VECTORS,
        MAPS,
        /** Tokens. A backbone that has maps may give them instead: their cells are the tokens. */
        TOKENS
    }

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

    /** @param v [B, L (K + H W), C] */
    static Features tokens(Value v, int layers, int height, int width) {
        return new Features(v, layers, height, width, v.dim(2));
    }

    /** These tokens; the cells of these maps as tokens, [B, L H W, C]. */
    Features asTokens() {
        return value.shape().rank() == 3
                ? this
                : with(Ops.reshape(value, value.dim(0), layers * height * width, channels));
    }

    /** The tokens K of a layer that belong to no place. */
    int placeless() {
        return value.dim(1) / layers - height * width;
    }
}
