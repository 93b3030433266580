// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.Objects;
import java.util.Set;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.jspecify.annotations.Nullable;

/**
 * Writes the inputs of a step. The constructor binds every input and fails if the step lacks one, or has one that this
 * class does not write. Writing allocates nothing.
 */
final class StepInputs {
    /** Inputs if the batch itself is the input. */
    private record Batch(Storage images, Storage responses) {}

    /** Inputs if the data are resident on the device and a batch consists of row indices. */
    private record Resident(Storage images, Storage responses, Storage imageRows, Storage responseRows) {}

    private record Discriminators(Storage adversarialWeight, Storage rate, Storage update) {}

    private final Session session;
    private final Set<StepInput> unbound;
    private final @Nullable Batch batch;
    private final @Nullable Resident resident;
    private final Storage lossWeights;
    private final Storage generatorRate;
    private final Storage generatorUpdate;
    private final @Nullable Storage headUpdate;
    private final @Nullable Discriminators discriminators;
    private final @Nullable Storage dropout;
    private final int[] key = new int[2];

    /** @throws IllegalStateException if the inputs of the step differ from those that this class writes */
    StepInputs(StepGraph step, Session session) {
        this.session = session;
        unbound = EnumSet.copyOf(step.inputs());
        batch = step.resident() ? null : new Batch(bind(StepInput.IMAGES), bind(StepInput.RESPONSES));
        resident = step.resident()
                ? new Resident(
                        bind(StepInput.ALL_IMAGES),
                        bind(StepInput.ALL_RESPONSES),
                        bind(StepInput.IMAGE_ROWS),
                        bind(StepInput.RESPONSE_ROWS))
                : null;
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
        if (!unbound.isEmpty()) throw new IllegalStateException("the step has inputs that nobody writes: " + unbound);
        if (batch != null) StepInput.PREFETCHED.forEach(input -> session.prefetch(input.key()));
    }

    private Storage bind(StepInput input) {
        if (!unbound.remove(input)) throw new IllegalStateException("the step has no input " + input);
        return session.input(input.key());
    }

    /** Writes a batch, or its row indices if the data are resident on the device. */
    void writeBatch(BatchLoader.Batch from) {
        if (resident != null) {
            resident.imageRows.write(from.imageRows);
            resident.responseRows.write(from.responseRows);
        } else {
            Batch to = Objects.requireNonNull(batch, "the step has no batch");
            to.images.write(from.images);
            to.responses.write(from.responses);
        }
    }

    /**
     * Writes a part of the resident data.
     *
     * @param imageOffset position of the first photograph in all photographs, in bytes
     * @param responseOffset position of the first response in all responses, in bytes
     */
    void writeResident(ByteBuffer images, long imageOffset, ByteBuffer responses, long responseOffset) {
        Resident to = Objects.requireNonNull(resident, "the data are not resident");
        to.images.write(images, imageOffset);
        to.responses.write(responses, responseOffset);
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

    /** Writes the key of the step's random numbers, if a network has dropout. */
    void writeDropout(long seed, long step) {
        if (dropout == null) return;
        long bits = RandomKey.of(seed, step);
        key[0] = (int) bits;
        key[1] = (int) (bits >>> Integer.SIZE);
        dropout.write(key);
    }
}
