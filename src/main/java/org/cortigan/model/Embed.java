// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.config.Settings;

/** What the first layer of a backbone reads of photographs of S x S pixels, [B, S, S, 3]. */
public enum Embed {
    /** The normalised pixels, as they are or in patches. */
    PIXELS,
    /**
     * Energies of Gabor wavelets (Kay et al. 2008) and colours in the cells of a grid ({@link EnergyMaps}), each with
     * mean 0 and standard deviation 1 over the training photographs. The wavelets are fixed, at as many octaves as fit.
     */
    GABOR;

    /** The key {@code embed}, which earlier recipes lack. */
    static Embed of(Settings s) {
        return s.has("embed") ? s.choice("embed", Embed.class) : PIXELS;
    }
}
