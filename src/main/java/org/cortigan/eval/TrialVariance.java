// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;

/**
 * Separates the variance of repeated responses into signal and noise, for each vertex. The variance of the noise is the
 * mean over images of the variance over an image's trials; the variance of the signal is the variance over images of
 * the mean over trials, less the noise that is left in that mean, and at least 0 (Allen et al. 2022). Both variances
 * are unbiased ones, with n - 1. Trials must be comparable: z-score them within each session first.
 */
public final class TrialVariance {
    private final int vertices;
    private final int trials;
    private long images;
    private final double[] mean; // over images, of the mean over trials
    private final double[] squares; // sum of squared deviations from that mean
    private final double[] noise; // sum over images of the variance over trials

    /**
     * @param vertices number V of vertices
     * @param trials number n of trials of each image, at least 2
     */
    public TrialVariance(int vertices, int trials) {
        if (trials < 2) throw new IllegalArgumentException("noise needs at least 2 trials, not " + trials);
        this.vertices = vertices;
        this.trials = trials;
        mean = new double[vertices];
        squares = new double[vertices];
        noise = new double[vertices];
    }

    /**
     * Adds an image.
     *
     * @param responses [n, V]
     */
    public void add(float[] responses) {
        images++;
        for (int v = 0; v < vertices; v++) {
            double sum = 0, deviations = 0;
            for (int t = 0; t < trials; t++) sum += (double) responses[t * vertices + v] - responses[v];
            double shift = sum / trials;
            for (int t = 0; t < trials; t++) {
                double d = (double) responses[t * vertices + v] - responses[v] - shift;
                deviations += d * d;
            }
            noise[v] += deviations / (trials - 1);
            double d = responses[v] + shift - mean[v]; // Welford's update
            mean[v] += d / images;
            squares[v] += d * (responses[v] + shift - mean[v]);
        }
    }

    /**
     * The noise ceilings of responses that are means of some trials; NaN for a vertex with a response that is not
     * finite.
     *
     * @throws IllegalStateException if fewer than 2 images were added
     */
    public NoiseCeiling noiseCeiling(AveragedTrials of) {
        if (images < 2) throw new IllegalStateException(images + " images have no variance");
        double[] signal = new double[vertices], single = new double[vertices];
        Arrays.setAll(single, v -> noise[v] / images);
        Arrays.setAll(signal, v -> Math.max(0, squares[v] / (images - 1) - single[v] / trials));
        return NoiseCeiling.fromVariances(signal, single, of);
    }
}
