// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.List;
import org.cortigan.model.Generator;

/**
 * An input of a {@link StepGraph}. B is the batch, V the subject's vertices, S the side of a photograph, N the number
 * of photographs trained on.
 */
public enum StepInput {
    /** The batch's photographs, u8 [B, S, S, 3], where the data are not on the device. */
    IMAGES(Generator.IMAGES),
    /** Their responses, f32 [B, V]. */
    RESPONSES("responses"),
    /** All photographs trained on, u8 [N, S, S, 3], where the data are on the device. */
    ALL_IMAGES("data.images"),
    /** All their responses, f32 [N, V]. */
    ALL_RESPONSES("data.responses"),
    /** Rows of {@link #ALL_IMAGES} that are the batch, i32 [B]. */
    IMAGE_ROWS("index.images"),
    /** Rows of {@link #ALL_RESPONSES} that are the batch, i32 [B]. */
    RESPONSE_ROWS("index.responses"),
    /** Weights of the pixel loss and the correlation loss, f32 [2]. */
    LOSS_WEIGHTS("loss.weights"),
    /** The generator's learning rate, f32 [1]. */
    GENERATOR_RATE("lr.g"),
    /** Number of the generator's update from 1 on, f32 [1]; in a model of several subjects of the backbone's update. */
    GENERATOR_UPDATE("t.g"),
    /** In a model of several subjects: number of the update of what is the subject's own, f32 [1]. */
    HEAD_UPDATE("t.head"),
    /** Weight of the adversarial loss, f32 [1]. */
    ADVERSARIAL_WEIGHT("gan.weight"),
    /** The discriminators' learning rate, f32 [1]. */
    DISCRIMINATOR_RATE("lr.d"),
    /** Number of the discriminators' update from 1 on, f32 [1]. */
    DISCRIMINATOR_UPDATE("t.d");

    /** Inputs that are sent to a device beside the step under way. */
    static final List<StepInput> PREFETCHED = List.of(IMAGES, RESPONSES);

    private final String key;

    StepInput(String key) {
        this.key = key;
    }

    /** Name of the input in the graph. */
    public String key() {
        return key;
    }
}
