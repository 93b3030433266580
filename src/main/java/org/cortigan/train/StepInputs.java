// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.Set;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;

/**
 * The inputs of a step in its session. All of them are found when this is made, so that a step cannot lack one that is
 * written, nor have one that nobody writes. Writing allocates nothing.
 */
final class StepInputs {
    /** The batch itself is the input. */
    private record Batch(Storage images, Storage responses) {}

    /** The data are on the device, and a batch is rows of them. */
    private record Resident(Storage images, Storage responses, Storage imageRows, Storage responseRows) {}

    private record Discriminators(Storage adversarialWeight, Storage rate, Storage update) {}

    private final Session session;
    private final Set<StepInput> unbound;
    private final Batch batch;
    private final Resident resident;
    private final Storage lossWeights;
    private final Storage generatorRate;
    private final Storage generatorUpdate;
    private final Storage headUpdate;
    private final Discriminators discriminators;

    /** @throws IllegalStateException if the step's inputs are not those that are written here */
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
        if (!unbound.isEmpty()) throw new IllegalStateException("the step has inputs that nobody writes: " + unbound);
        if (batch != null) StepInput.PREFETCHED.forEach(input -> session.prefetch(input.key()));
    }

    private Storage bind(StepInput input) {
        if (!unbound.remove(input)) throw new IllegalStateException("the step has no input " + input);
        return session.input(input.key());
    }

    /** Writes a batch, or its rows where the data are on the device. */
    void writeBatch(BatchLoader.Batch from) {
        if (resident != null) {
            resident.imageRows.write(from.imageRows);
            resident.responseRows.write(from.responseRows);
        } else {
            batch.images.write(from.images);
            batch.responses.write(from.responses);
        }
    }

    /**
     * Writes a part of the data that live on the device.
     *
     * @param imageOffset bytes of all photographs before these; @param responseOffset of all responses likewise
     */
    void writeResident(ByteBuffer images, long imageOffset, ByteBuffer responses, long responseOffset) {
        resident.images.write(images, imageOffset);
        resident.responses.write(responses, responseOffset);
    }

    /** Writes the generator's weights of losses, learning rate and number of its update. */
    void writeGenerator(double pixelWeight, double correlationWeight, double rate, long update) {
        lossWeights.set(0, pixelWeight);
        lossWeights.set(1, correlationWeight);
        generatorRate.set(0, rate);
        generatorUpdate.set(0, update);
    }

    /** Writes the number of the update of what is the subject's own, where the model is of several subjects. */
    void writeHeadUpdate(long update) {
        if (headUpdate != null) headUpdate.set(0, update);
    }

    /** Writes the discriminators' numbers, where there are discriminators. */
    void writeDiscriminators(double adversarialWeight, double rate, long update) {
        if (discriminators == null) return;
        discriminators.adversarialWeight.set(0, adversarialWeight);
        discriminators.rate.set(0, rate);
        discriminators.update.set(0, update);
    }
}
