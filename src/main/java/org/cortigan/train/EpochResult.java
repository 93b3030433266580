// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What an epoch gave.
 *
 * @param epoch number from 1 on, of {@code epochs}
 * @param step steps done
 * @param metrics of the epoch: losses, logits and gradient norms as means over its steps, learning rates of its last
 *     step, and in a model of several subjects each one's validation
 * @param validationMeanR mean over vertices of Pearson's r over the held-out photographs; NaN without any
 * @param validationMedianR likewise the median
 * @param imagesPerSecond of this epoch's training
 * @param skipped updates left out in this epoch because gradients were not finite
 */
public record EpochResult(
        int epoch,
        int epochs,
        long step,
        List<Metric> metrics,
        double validationMeanR,
        double validationMedianR,
        double imagesPerSecond,
        int skipped) {
    /** What a metric tells. */
    public enum Kind {
        TOTAL_LOSS,
        PIXEL_LOSS,
        CORRELATION_LOSS,
        /** The loss of a region's discriminator, or the generator's by it. */
        ADVERSARIAL_LOSS,
        LOGIT,
        GRADIENT_NORM,
        LEARNING_RATE,
        VALIDATION
    }

    /**
     * @param name unique within the epoch: the column of metrics.csv
     * @param subject whose, or "" in a model of one subject and where it is of all
     */
    public record Metric(String name, Kind kind, String subject, double value) {}

    public EpochResult {
        metrics = List.copyOf(metrics);
    }

    /** The metrics' values by name, in their order. */
    public Map<String, Double> means() {
        Map<String, Double> values = new LinkedHashMap<>();
        for (Metric m : metrics) values.put(m.name, m.value);
        return values;
    }
}
