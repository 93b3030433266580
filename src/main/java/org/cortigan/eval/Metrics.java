// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;

/** Aggregates over vertices of Pearson's r over images. All arrays hold one value per vertex and have at least one. */
public final class Metrics {
    /** What the challenge divides by where the noise ceiling is 0. */
    private static final double ZERO_CEILING = 1e-14;

    private Metrics() {}

    /**
     * Mean over the vertices of all parts together (hemispheres, subjects), each vertex with the same weight.
     *
     * @throws IllegalArgumentException if there is no value
     */
    public static double mean(double[]... parts) {
        double sum = 0;
        long n = 0;
        for (double[] part : parts) {
            for (double value : part) {
                sum += value;
            }
            n += part.length;
        }
        if (n == 0) {
            throw new IllegalArgumentException("no values to average");
        }
        return sum / n;
    }

    /** Median; of an even number of values the mean of the two in the middle. */
    public static double median(double[] values) {
        if (values.length == 0) {
            throw new IllegalArgumentException("no values to take the median of");
        }
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /** Mean of sqrt(NC) over the vertices, which no model's expected mean r exceeds. */
    public static double boundOfMeanR(NoiseCeiling ceiling) {
        return mean(ceiling.sqrt());
    }

    /** Mean of r * r; the sign of r is lost, unlike in {@link #challengeScores}. */
    public static double meanSquared(double[] r) {
        return mean(Arrays.stream(r).map(x -> x * x).toArray());
    }

    /**
     * The Algonauts 2023 score of each vertex, in percent: r below 0 counts as 0, squared, divided by the noise ceiling
     * (1e-14 where that is 0), times 100, at most 100. The challenge's score is the {@link #mean} of this over the
     * vertices of both hemispheres and all subjects.
     *
     * @throws IllegalArgumentException if the numbers of vertices differ
     */
    public static double[] challengeScores(double[] r, NoiseCeiling ceiling) {
        if (r.length != ceiling.vertices()) {
            throw new IllegalArgumentException(
                    r.length + " values of r, but " + ceiling.vertices() + " noise ceilings");
        }
        double[] scores = new double[r.length];
        for (int v = 0; v < r.length; v++) {
            double positive = Math.max(0, r[v]);
            double nc = ceiling.fraction(v) == 0 ? ZERO_CEILING : ceiling.fraction(v);
            scores[v] = Math.min(100, positive * positive / nc * 100);
        }
        return scores;
    }
}
