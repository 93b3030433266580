// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.List;

/** An output of a {@link StepGraph}: one value, f32 [1], or one value per region, f32 [regions]. */
public enum StepOutput {
    /** The generator's total loss, weighted. */
    LOSS("loss", EpochResult.Kind.TOTAL_LOSS, false),
    PIXEL("pixel", EpochResult.Kind.PIXEL_LOSS, false),
    CORRELATION("correlation", EpochResult.Kind.CORRELATION_LOSS, false),
    /** Norm of the generator's gradients before clipping; not finite if the update was skipped. */
    GENERATOR_NORM("norm.g", EpochResult.Kind.GRADIENT_NORM, false),
    /** Norm of all discriminators' gradients before clipping; not finite if the update was skipped. */
    DISCRIMINATOR_NORM("norm.d", EpochResult.Kind.GRADIENT_NORM, false),
    DISCRIMINATOR_LOSS("d.loss", EpochResult.Kind.ADVERSARIAL_LOSS, true),
    /** Mean logit of the real responses. */
    REAL_LOGIT("d.real", EpochResult.Kind.LOGIT, true),
    /** Mean logit of the generated responses. */
    GENERATED_LOGIT("d.fake", EpochResult.Kind.LOGIT, true),
    /** The generator's adversarial loss, without its weight. */
    GENERATOR_LOSS("g.loss", EpochResult.Kind.ADVERSARIAL_LOSS, true);

    /** The losses of the generator that a step has once. */
    static final List<StepOutput> OF_GENERATOR = List.of(LOSS, PIXEL, CORRELATION);

    private final String key;
    private final EpochResult.Kind kind;
    private final boolean perRegion;

    StepOutput(String key, EpochResult.Kind kind, boolean perRegion) {
        this.key = key;
        this.kind = kind;
        this.perRegion = perRegion;
    }

    /** Name of the output in the graph, and in metrics. */
    public String key() {
        return key;
    }

    EpochResult.Kind kind() {
        return kind;
    }

    /** Whether the output has one value per region. */
    boolean perRegion() {
        return perRegion;
    }
}
