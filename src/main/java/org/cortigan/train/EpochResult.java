// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The results of an epoch.
 *
 * @param epoch number of the epoch, 1 to {@code epochs}
 * @param step steps done so far
 * @param metrics losses, logits and gradient norms as means over the steps of the epoch; learning rates of its last
 *     step; with several subjects also the mean over subjects of each loss of the generator, and the validation of each
 *     subject
 * @param validationMeanR mean over vertices of Pearson's r over the held-out photographs; NaN if there are none
 * @param validationMedianR median over vertices of the same r
 * @param imagesPerSecond training speed in this epoch
 * @param skipped steps of this epoch in which an update was skipped because its gradients were not finite
 * @param prediction how the validated predictions were made; "" for a model with one way
 */
public record EpochResult(
        int epoch,
        int epochs,
        long step,
        List<Metric> metrics,
        double validationMeanR,
        double validationMedianR,
        double imagesPerSecond,
        int skipped,
        String prediction) {
    /** Kind of a metric. */
    public enum Kind {
        TOTAL_LOSS,
        PIXEL_LOSS,
        CORRELATION_LOSS,
        /** The loss of a region's discriminator, or the generator's adversarial loss by that discriminator. */
        ADVERSARIAL_LOSS,
        LOGIT,
        GRADIENT_NORM,
        LEARNING_RATE,
        VALIDATION
    }

    /**
     * @param name unique within the epoch: the column of metrics.csv
     * @param subject name of the subject; "" in a model of one subject and for metrics of all subjects
     */
    public record Metric(String name, Kind kind, String subject, double value) {}

    public EpochResult {
        metrics = List.copyOf(metrics);
    }

    /** The values of the metrics by name, in order. */
    public Map<String, Double> means() {
        Map<String, Double> values = new LinkedHashMap<>();
        for (Metric m : metrics) values.put(m.name, m.value);
        return values;
    }
}
