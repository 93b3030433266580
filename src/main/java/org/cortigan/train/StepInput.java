// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.model.Generator;
import org.cortigan.op.Dropout;

/**
 * An input of a {@link StepGraph}. B is the batch size, V the number of the subject's vertices, S the side of a
 * photograph, N the number of training photographs.
 */
public enum StepInput {
    /** Photographs of the batch, u8 [B, S, S, 3], if the data are not resident on the device. */
    IMAGES(Generator.IMAGES),
    /** Responses of the batch, f32 [B, V], if the data are not resident on the device. */
    RESPONSES("responses"),
    /**
     * Features of the batch's photographs, [B, E] in the compute type, if they are computed once ({@link FrozenPart}).
     */
    FEATURES("features"),
    /** All training photographs, u8 [N, S, S, 3], if the data are resident on the device. */
    ALL_IMAGES("data.images"),
    /** All training responses, f32 [N, V], if the data are resident on the device. */
    ALL_RESPONSES("data.responses"),
    /** The features of all training photographs, [N, E], if they are computed once and resident on the device. */
    ALL_FEATURES("data.features"),
    /** Rows of {@link #ALL_IMAGES} and {@link #ALL_FEATURES} in the batch, i32 [B]. */
    IMAGE_ROWS("index.images"),
    /** Rows of {@link #ALL_RESPONSES} in the batch, i32 [B]. */
    RESPONSE_ROWS("index.responses"),
    /** Weights of the pixel loss and the correlation loss, f32 [2]. */
    LOSS_WEIGHTS("loss.weights"),
    /** The generator's learning rate, f32 [1]. */
    GENERATOR_RATE("lr.g"),
    /** Number of the generator's update, from 1 on, f32 [1]; with several subjects, of the backbone's update. */
    GENERATOR_UPDATE("t.g"),
    /** With several subjects: number of the update of the subject's own parameters, from 1 on, f32 [1]. */
    HEAD_UPDATE("t.head"),
    /** Weight of the adversarial loss, f32 [1]. */
    ADVERSARIAL_WEIGHT("gan.weight"),
    /** The discriminators' learning rate, f32 [1]. */
    DISCRIMINATOR_RATE("lr.d"),
    /** Number of the discriminators' update, from 1 on, f32 [1]. */
    DISCRIMINATOR_UPDATE("t.d"),
    /** Key of the step's random numbers, i32 [2], if a network has dropout. */
    DROPOUT(Dropout.KEY),
    /** If the readout denoises responses: the halves of the run's seed, i32 [2]. */
    NOISE_KEY("noise.key"),
    /** For each photograph its number among the subject's training photographs, and the epoch, i32 [B, 2]. */
    NOISE_ROWS("noise.rows"),
    /** For each photograph the timestep whose noise is added to its responses, i32 [B]. */
    TIMESTEPS("noise.timesteps");

    /** Inputs that are copied to the device while the previous step runs. */
    static final List<StepInput> PREFETCHED = List.of(IMAGES, FEATURES, RESPONSES);

    private final String key;

    StepInput(String key) {
        this.key = key;
    }

    /** The inputs of a graph made from a {@link StepGraph}. */
    static Set<StepInput> of(Graph graph) {
        Set<StepInput> inputs = EnumSet.noneOf(StepInput.class);
        for (Node n : graph.nodes())
            if (n.op() instanceof Leaf.Input in)
                inputs.add(Arrays.stream(values())
                        .filter(i -> i.key.equals(in.id()))
                        .findFirst()
                        .orElseThrow());
        return inputs;
    }

    /** Name of the input in the graph. */
    public String key() {
        return key;
    }
}
