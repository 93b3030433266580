// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.Map;

/**
 * @param epoch number from 1 on, of {@code epochs}
 * @param step steps done
 * @param means of the epoch's steps: every loss by name, gradient norms, learning rates
 * @param validationMeanR mean over vertices of Pearson's r over the held-out photographs; NaN without any
 * @param validationMedianR likewise the median
 * @param imagesPerSecond of this epoch's training
 * @param skipped updates left out in this epoch because gradients were not finite
 */
public record EpochResult(
        int epoch,
        int epochs,
        long step,
        Map<String, Double> means,
        double validationMeanR,
        double validationMedianR,
        double imagesPerSecond,
        int skipped) {}
