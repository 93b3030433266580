// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.config.Settings;

/** What the first layer of a backbone reads. */
public enum Embed {
    /** The photograph's pixels. */
    PIXELS,
    /** Standardised energies and colours ({@link EnergyMaps}), of fixed wavelets at as many octaves as fit. */
    GABOR;

    /** The key {@code embed}, which earlier recipes lack. */
    static Embed of(Settings s) {
        return s.has("embed") ? s.choice("embed", Embed.class) : PIXELS;
    }
}
