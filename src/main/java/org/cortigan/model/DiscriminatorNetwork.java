// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;

/**
 * The network of a discriminator, from the responses of a region's vertices to logits. A new one needs two files: its
 * own, with its keys and their documentation, and this one, which names it in {@code permits} and in {@link #types}.
 * Every recipe can then choose it by {@code model.discriminator.type}; a bundled recipe that does so is one file more.
 */
public sealed interface DiscriminatorNetwork permits MlpDiscriminator, ConvDiscriminator, VitDiscriminator {
    /** All networks. */
    static NetworkTypes<DiscriminatorNetwork> types() {
        return new NetworkTypes<>(
                List.of(MlpDiscriminator.TYPE, ConvDiscriminator.CONV, ConvDiscriminator.PATCH, VitDiscriminator.TYPE));
    }

    /** How recipes and tables name it. */
    NetworkType<DiscriminatorNetwork> type();

    /**
     * Refuses to be conditioned on the photograph, if the network cannot be.
     *
     * @param s the section {@code model.discriminator}, for the message
     * @throws org.cortigan.InputException naming the key {@code condition}
     */
    default void checkConditioned(Settings s) {}

    /** Numbers F of the embedded photograph that conditions the network. */
    int imageFeatures();

    /**
     * Logits of every region, in the compute type.
     *
     * @param ws parameters of each region's network
     * @param x responses, a ragged batch: region after region [rows, vertices]
     * @param vertices of each region
     * @param image the embedded photographs, region after region [rows, F]; null for a network that does not see them
     */
    Logits logits(List<Weights> ws, Value x, int rows, List<Integer> vertices, Value image);
}
