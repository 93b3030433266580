// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;

/**
 * The part of a generator that turns photographs into the features that its readout reads. To add a backbone, write its
 * class, with its recipe keys and their documentation, and name the class here in {@code permits} and in
 * {@link #types}. Every recipe can then choose it by {@code model.generator.type}; a bundled recipe that does so is one
 * more file.
 */
public sealed interface Backbone permits Vit, Cnn, UNet, Gabor, StableDiffusion {
    /** All backbones. */
    static NetworkTypes<Backbone> types() {
        return new NetworkTypes<>(List.of(Vit.TYPE, Cnn.TYPE, UNet.TYPE, Gabor.TYPE, StableDiffusion.TYPE));
    }

    /** The backbone's names in recipes and tables, and its keys. */
    NetworkType<Backbone> type();

    /**
     * Refuses photographs that the network cannot read.
     *
     * @param side side of the photographs in pixels
     * @param s the network's own section of the recipe, for the message
     * @throws org.cortigan.InputException naming the key that does not fit
     */
    void checkImage(int side, Settings s);

    /** Names of the layers whose features the readout reads; none if it reads one layer. */
    default List<String> layerNames() {
        return List.of();
    }

    /**
     * Features of photographs, in the compute type.
     *
     * @param w the generator's parameters
     * @param images u8 [B, S, S, 3]
     * @param subject subject whose vector the network adds; "" in a model of one subject
     * @param form what the readout needs
     */
    Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form);
}
