// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;

/** Aggregates Pearson's r over vertices. All arrays have one value per vertex and at least one vertex. */
public final class Metrics {
    /** The challenge replaces a noise ceiling of 0 by this value. */
    private static final double ZERO_CEILING = 1e-14;

    private Metrics() {}

    /**
     * Mean over the vertices of all parts (hemispheres, subjects) together. Every vertex has the same weight.
     *
     * @throws IllegalArgumentException if there are no values
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

    /** Median. For an even number of values, the mean of the middle two. */
    public static double median(double[] values) {
        if (values.length == 0) {
            throw new IllegalArgumentException("no values to take the median of");
        }
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /**
     * Mean of sqrt(noise ceiling) over the vertices whose ceiling is known; NaN if none is. No model's expected mean r
     * over these vertices exceeds it.
     */
    public static double boundOfMeanR(NoiseCeiling ceiling) {
        return meanOfKnown(ceiling.sqrt());
    }

    /** The challenge's score: the mean of {@link #challengeScores} over the vertices whose ceiling is known. */
    public static double challengeScore(double[] r, NoiseCeiling ceiling) {
        return meanOfKnown(challengeScores(r, ceiling));
    }

    /** Mean of the values that are not NaN; NaN if there are none. */
    static double meanOfKnown(double[] values) {
        double[] known = Arrays.stream(values).filter(x -> !Double.isNaN(x)).toArray();
        return known.length == 0 ? Double.NaN : mean(known);
    }

    /** Mean of r * r. Ignores the sign of r, unlike {@link #challengeScores}. */
    public static double meanSquared(double[] r) {
        return mean(Arrays.stream(r).map(x -> x * x).toArray());
    }

    /**
     * The Algonauts 2023 score of each vertex, in percent: max(r, 0)^2 divided by the noise ceiling (1e-14 if it is 0),
     * times 100, at most 100; NaN if the noise ceiling is unknown. The challenge's score is the mean of these scores
     * over the vertices of both hemispheres and all subjects.
     *
     * @throws IllegalArgumentException if {@code r} and {@code ceiling} have different numbers of vertices
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
