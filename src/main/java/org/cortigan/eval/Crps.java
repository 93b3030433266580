// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;

/**
 * The continuous ranked probability score of samples of each vertex's response: E|X - y| - E|X - X'| / 2 for
 * independent samples X and X' and the measured response y (Gneiting and Raftery, "Strictly proper scoring rules,
 * prediction, and estimation", 2007, equation 21). No other distribution scores lower on average than that of the
 * responses. Means over photographs, in units of the deviation of the vertex's training responses, so that a vertex
 * with large responses counts no more.
 *
 * <p>A vertex whose response is the same for all photographs has the samples' score of the climatology, that is, skill
 * 0. A vertex whose deviation is not known has NaN and does not count: its training responses were constant, or varied
 * at most a thousandth as much as those of the median vertex.
 *
 * @param samples of the samples
 * @param climatology of the normal distribution with mean and deviation of the training responses, the same for every
 *     photograph
 */
public record Crps(double[] samples, double[] climatology) {
    private static final double ROOT_PI = Math.sqrt(Math.PI);

    /** From here on the mean of |X - z| is |z| to the last bit. */
    private static final double FAR = 9;

    /** The scores of some vertices. */
    Crps of(int[] vertices) {
        return new Crps(Vertices.select(samples, vertices), Vertices.select(climatology, vertices));
    }

    /**
     * 1 - mean score of the samples / mean score of the climatology: 1 is perfect, 0 tells nothing of photographs; NaN
     * if no vertex counts.
     */
    public double skill() {
        return 1 - Metrics.meanOfKnown(samples) / Metrics.meanOfKnown(climatology);
    }

    /** Number of vertices that do not count. */
    int unknown() {
        return (int) Arrays.stream(climatology).filter(Double::isNaN).count();
    }

    /**
     * The fair estimate from K samples: mean |x - y| - sum over pairs of |x - x'| / (K (K - 1)), which is unbiased if
     * they are independent (Ferro, "Fair scores for ensemble forecasts", 2014).
     *
     * @param x at least two samples; sorted on return
     */
    static double ofSamples(double[] x, double y) {
        Arrays.sort(x);
        int k = x.length;
        double errors = 0, pairs = 0;
        for (int i = 0; i < k; i++) {
            errors += Math.abs(x[i] - y);
            pairs += (2 * i - (k - 1)) * (x[i] - x[0]); // larger than i others, smaller than k - 1 - i
        }
        return (errors - pairs / (k - 1)) / k;
    }

    /**
     * The score of the standard normal distribution at z: z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi). Phi is
     * Marsaglia's series, all of whose terms are positive ("Evaluating the normal distribution", 2004): 2 Phi(z) - 1 =
     * 2 phi(z) (z + z^3 / 3 + z^5 / (3 5) + ...).
     */
    static double ofNormal(double z) {
        double mean = Math.abs(z);
        if (mean < FAR) {
            double term = 1, sum = 1;
            for (int odd = 1; term > Math.ulp(sum) / 2; odd += 2) {
                term *= z * z / odd;
                sum += term;
            }
            mean = 2 * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI) * sum;
        }
        return mean - 1 / ROOT_PI;
    }
}
