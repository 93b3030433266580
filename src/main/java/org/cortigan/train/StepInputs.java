// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.Set;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.model.Diffusion;
import org.jspecify.annotations.Nullable;

/**
 * Writes the inputs of a step. The constructor binds every input and fails if the step lacks one, or has one that this
 * class does not write. Writing allocates nothing.
 */
final class StepInputs {
    /** Photographs, their features or both, and responses: of the batch, or all of them. */
    private record Data(@Nullable Storage images, @Nullable Storage features, Storage responses) {}

    /** Rows of a batch in the resident data. */
    private record Rows(Storage images, Storage responses) {}

    private record Discriminators(Storage adversarialWeight, Storage rate, Storage update) {}

    /** The random numbers of a readout that denoises responses. */
    private record Noise(Storage key, Storage rows, Storage timesteps) {}

    private final Session session;
    private final Set<StepInput> unbound;
    private final Data data;
    /** Null if the batch itself is the input. */
    private final @Nullable Rows rows;

    private final Storage lossWeights;
    private final Storage generatorRate;
    private final Storage generatorUpdate;
    private final @Nullable Storage headUpdate;
    private final @Nullable Discriminators discriminators;
    private final @Nullable Storage dropout;
    private final @Nullable Noise noise;
    private final int[] key = new int[2];

    /**
     * @param inputs those of the session's graph
     * @throws IllegalStateException if they differ from those that this class writes
     */
    StepInputs(StepGraph step, Set<StepInput> inputs, Session session) {
        this.session = session;
        unbound = EnumSet.copyOf(inputs);
        data = step.resident()
                ? data(StepInput.ALL_IMAGES, StepInput.ALL_FEATURES, StepInput.ALL_RESPONSES)
                : data(StepInput.IMAGES, StepInput.FEATURES, StepInput.RESPONSES);
        rows = step.resident() ? new Rows(bind(StepInput.IMAGE_ROWS), bind(StepInput.RESPONSE_ROWS)) : null;
        lossWeights = bind(StepInput.LOSS_WEIGHTS);
        generatorRate = bind(StepInput.GENERATOR_RATE);
        generatorUpdate = bind(StepInput.GENERATOR_UPDATE);
        headUpdate = step.hasOwnHead() ? bind(StepInput.HEAD_UPDATE) : null;
        discriminators = step.adversarial()
                ? new Discriminators(
                        bind(StepInput.ADVERSARIAL_WEIGHT),
                        bind(StepInput.DISCRIMINATOR_RATE),
                        bind(StepInput.DISCRIMINATOR_UPDATE))
                : null;
        dropout = step.hasDropout() ? bind(StepInput.DROPOUT) : null;
        noise = step.hasNoise()
                ? new Noise(bind(StepInput.NOISE_KEY), bind(StepInput.NOISE_ROWS), bind(StepInput.TIMESTEPS))
                : null;
        if (!unbound.isEmpty()) throw new IllegalStateException("the step has inputs that nobody writes: " + unbound);
        if (rows == null)
            for (StepInput input : StepInput.PREFETCHED) if (inputs.contains(input)) session.prefetch(input.key());
    }

    private Data data(StepInput images, StepInput features, StepInput responses) {
        return new Data(
                unbound.contains(images) ? bind(images) : null,
                unbound.contains(features) ? bind(features) : null,
                bind(responses));
    }

    private Storage bind(StepInput input) {
        if (!unbound.remove(input)) throw new IllegalStateException("the step has no input " + input);
        return session.input(input.key());
    }

    /** Whether photographs are an input. */
    boolean takePhotographs() {
        return data.images != null;
    }

    /** Writes a batch, or its row indices if the data are resident on the device, and the noise of its photographs. */
    void writeBatch(BatchLoader.Batch from) {
        if (noise != null) {
            noise.rows.write(from.noiseRows);
            noise.timesteps.write(from.timesteps);
        }
        if (rows != null) {
            rows.images.write(from.imageRows);
            rows.responses.write(from.responseRows);
        } else {
            if (data.images != null) data.images.write(from.images);
            if (data.features != null) data.features.write(from.features);
            data.responses.write(from.responses);
        }
    }

    /**
     * Writes a part of the resident data.
     *
     * @param first number of the first photograph and response
     * @param images consecutive photographs, unless the step takes none
     * @param features of these photographs, unless the step takes none
     */
    void writeResident(int first, ByteBuffer images, ByteBuffer features, ByteBuffer responses) {
        if (data.images != null) write(images, data.images, first);
        if (data.features != null) write(features, data.features, first);
        write(responses, data.responses, first);
    }

    private static void write(ByteBuffer rows, Storage table, long first) {
        table.write(rows, first * (table.sizeBytes() / table.type().shape().dim(0)));
    }

    /** Writes the generator's loss weights, learning rate and update number. */
    void writeGenerator(double pixelWeight, double correlationWeight, double rate, long update) {
        lossWeights.set(0, pixelWeight);
        lossWeights.set(1, correlationWeight);
        generatorRate.set(0, rate);
        generatorUpdate.set(0, update);
    }

    /** Writes the update number of the subject's own parameters, if the model has several subjects. */
    void writeHeadUpdate(long update) {
        if (headUpdate != null) headUpdate.set(0, update);
    }

    /** Writes the adversarial weight, learning rate and update number, if the step has discriminators. */
    void writeDiscriminators(double adversarialWeight, double rate, long update) {
        if (discriminators == null) return;
        discriminators.adversarialWeight.set(0, adversarialWeight);
        discriminators.rate.set(0, rate);
        discriminators.update.set(0, update);
    }

    /** Writes the key of the random numbers of all steps, if the readout denoises responses. */
    void writeNoise(long seed) {
        if (noise != null) noise.key.write(Diffusion.key(seed));
    }

    /** Writes the key of the step's random numbers, if a network has dropout. */
    void writeDropout(long seed, long step) {
        if (dropout == null) return;
        long bits = RandomKey.of(seed, step);
        key[0] = (int) bits;
        key[1] = (int) (bits >>> Integer.SIZE);
        dropout.write(key);
    }
}
