// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.cortex.Region;
import org.cortigan.exec.Scalars;
import org.cortigan.exec.Session;

/** Reads the outputs of a subject's step: losses, logits and gradient norms. Reading allocates nothing. */
final class StepLosses {
    private record Name(String name, StepOutput output) {}

    private final Scalars scalars;
    private final String subject;
    private final List<Name> names = new ArrayList<>();
    private final double[] values;
    private final int loss;
    private final int generatorNorm;
    private final int discriminatorNorm;

    StepLosses(StepGraph step, Session session) {
        subject = step.subject().name();
        String prefix = subject.isEmpty() ? "" : subject + ".";
        for (StepOutput output : step.outputs()) {
            String name = prefix + output.key();
            if (!output.perRegion()) names.add(new Name(name, output));
            else for (Region r : step.regions()) names.add(new Name(name + "." + r.name(), output));
        }
        scalars = session.scalars(step.outputs().stream().map(StepOutput::key).toList());
        values = new double[names.size()];
        loss = indexOf(StepOutput.LOSS);
        generatorNorm = indexOf(StepOutput.GENERATOR_NORM);
        discriminatorNorm = step.adversarial() ? indexOf(StepOutput.DISCRIMINATOR_NORM) : -1;
    }

    private int indexOf(StepOutput output) {
        for (int i = 0; i < names.size(); i++) if (names.get(i).output == output) return i;
        throw new IllegalStateException("the step has no output " + output);
    }

    /** Number of values per step. */
    int size() {
        return values.length;
    }

    /**
     * Waits for a run of the session and reads its values.
     *
     * @param runsAgo 0 for the last run; 1 for the run before it, on a device with a stream
     */
    void read(int runsAgo) {
        scalars.read(runsAgo, values);
    }

    /** The generator's total loss. */
    double loss() {
        return values[loss];
    }

    /** Whether the generator was updated, that is, its gradients were finite. */
    boolean generatorUpdated() {
        return Double.isFinite(values[generatorNorm]);
    }

    boolean hasDiscriminators() {
        return discriminatorNorm >= 0;
    }

    /** Whether the discriminators were updated; only valid if the step has discriminators. */
    boolean discriminatorsUpdated() {
        return Double.isFinite(values[discriminatorNorm]);
    }

    void addTo(double[] sums) {
        for (int i = 0; i < sums.length; i++) sums[i] += values[i];
    }

    /** The means over {@code steps} steps, from the sums of their values. */
    List<EpochResult.Metric> means(double[] sums, long steps) {
        List<EpochResult.Metric> means = new ArrayList<>();
        for (int i = 0; i < sums.length; i++) {
            Name n = names.get(i);
            means.add(new EpochResult.Metric(n.name, n.output.kind(), subject, sums[i] / steps));
        }
        return means;
    }
}
