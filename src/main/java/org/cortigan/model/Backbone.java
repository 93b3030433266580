// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;

/**
 * The network of a generator from photographs to the features that its readout sees. A new one needs two files: its
 * own, with its keys and their documentation, and this one, which names it in {@code permits} and in {@link #types}.
 * Every recipe can then choose it by {@code model.generator.type}; a bundled recipe that does so is one file more.
 */
public sealed interface Backbone permits Vit, Cnn, UNet {
    /** All backbones. */
    static NetworkTypes<Backbone> types() {
        return new NetworkTypes<>(List.of(Vit.TYPE, Cnn.TYPE, UNet.TYPE));
    }

    /** How recipes and tables name it. */
    NetworkType<Backbone> type();

    /**
     * Refuses photographs that the network cannot read.
     *
     * @param side of the photographs, in pixels
     * @param s the network's own section, for the message
     * @throws org.cortigan.InputException naming the key that does not fit
     */
    void checkImage(int side, Settings s);

    /**
     * Features of photographs, in the compute type.
     *
     * @param w parameters of the generator
     * @param images u8 [B, S, S, 3]
     * @param subject whose own vector is added within the network; "" in a model of one subject
     * @param form what the readout needs
     */
    Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form);
}
