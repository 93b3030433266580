// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.jspecify.annotations.Nullable;

/**
 * The network of a discriminator, from the responses of a region's vertices to logits. To add a network, write its
 * class, with its recipe keys and their documentation, and name the class here in {@code permits} and in
 * {@link #types}. Every recipe can then choose it by {@code model.discriminator.type}; a bundled recipe that does so is
 * one more file.
 */
public sealed interface DiscriminatorNetwork permits MlpDiscriminator, ConvDiscriminator, VitDiscriminator {
    /** All networks. */
    static NetworkTypes<DiscriminatorNetwork> types() {
        return new NetworkTypes<>(
                List.of(MlpDiscriminator.TYPE, ConvDiscriminator.CONV, ConvDiscriminator.PATCH, VitDiscriminator.TYPE));
    }

    /** The network's names in recipes and tables, and its keys. */
    NetworkType<DiscriminatorNetwork> type();

    /**
     * Refuses a condition on the photograph if the network does not support one.
     *
     * @param s the section {@code model.discriminator}, for the message
     * @throws org.cortigan.InputException naming the key {@code condition}
     */
    default void checkConditioned(Settings s) {}

    /** F, the length of a photograph's embedding that conditions the network. */
    int imageFeatures();

    /**
     * Logits of every region, in the compute type.
     *
     * @param ws weights of each region's network
     * @param x responses, a ragged batch: region after region [rows, vertices]
     * @param vertices number of vertices of each region
     * @param image embeddings of the photographs, region after region [rows, F]; null for an unconditioned network
     */
    Logits logits(List<Weights> ws, Value x, int rows, List<Integer> vertices, @Nullable Value image);
}
