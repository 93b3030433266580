// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * A figure of a set of vertices, from Pearson's r of each and its noise ceiling. Reports show the metrics in the order
 * of the constants: a new constant is a new column in every one of them.
 */
public enum Metric {
    /** Mean of r. */
    MEAN_R(
            "mean_r",
            "mean r",
            "",
            8,
            4,
            (r, ceiling) -> Metrics.mean(r),
            new Comparison(
                    "mean r over vertices",
                    "95% interval",
                    "mean_r_by_seed",
                    "mean r over vertices: Pearson's r over the images for each vertex, mean over all vertices, mean"
                            + " over seeds; its bound is the mean of sqrt(noise ceiling)")),

    /** Median of r. */
    MEDIAN_R("median_r", "median r", "", 9, 4, (r, ceiling) -> Metrics.median(r), null),

    /** Mean of r * r. */
    MEAN_R_SQUARED("mean_r_squared", "mean r^2", "", 8, 4, (r, ceiling) -> Metrics.meanSquared(r), null),

    /** Mean of sqrt(NC), which bounds mean r. */
    BOUND(
            "mean_sqrt_noise_ceiling",
            "bound of r",
            "mean of sqrt(noise ceiling)",
            11,
            4,
            (r, ceiling) -> ceiling == null ? Double.NaN : Metrics.boundOfMeanR(ceiling),
            new Comparison("bound: mean sqrt(noise ceiling)", null, null, null)),

    /** The challenge's score: mean of noise-normalised r^2 in percent. */
    SCORE(
            "challenge_score_percent",
            "score (%)",
            "noise-normalised r^2, r < 0 as 0, in percent",
            10,
            2,
            (r, ceiling) -> ceiling == null ? Double.NaN : Metrics.mean(Metrics.challengeScores(r, ceiling)),
            new Comparison(
                    "score (%)",
                    "95% interval of score",
                    "challenge_score_by_seed",
                    "score: noise-normalised r^2, r < 0 as 0, at most 100, mean over vertices, in percent; by the"
                            + " challenge's rule a vertex of noise ceiling 0 counts 100 where r is above 0, so that"
                            + " chance alone does not score 0"));

    /** What an evaluation's table says where the metrics that need noise ceilings are unknown. */
    static final String WITHOUT_CEILINGS = "bound and score: not known, there are no noise ceilings";

    @FunctionalInterface
    private interface Function {
        /**
         * @param r of each vertex, at least one
         * @param ceiling of the same vertices, or null
         * @return the figure, NaN where it is unknown
         */
        double of(double[] r, NoiseCeiling ceiling);
    }

    /**
     * How a metric stands in the comparison of runs.
     *
     * @param heading of its mean over seeds
     * @param intervalHeading of the interval over seeds; null for a metric of the data, which no seed changes
     * @param bySeedKey key in CSV of the figures of every seed; null likewise
     * @param explanation below the table; null for none
     */
    record Comparison(String heading, String intervalHeading, String bySeedKey, String explanation) {
        /** Whether the figure differs from seed to seed. */
        boolean variesWithSeed() {
            return intervalHeading != null;
        }
    }

    private static final List<Metric> COMPARED =
            Arrays.stream(values()).filter(m -> m.comparison != null).toList();

    private final String key;
    private final String heading;
    private final String explanation;
    private final int width;
    private final int decimals;
    private final Function function;
    private final Comparison comparison;

    Metric(
            String key,
            String heading,
            String explanation,
            int width,
            int decimals,
            Function function,
            Comparison comparison) {
        this.key = key;
        this.heading = heading;
        this.explanation = explanation;
        this.width = width;
        this.decimals = decimals;
        this.function = function;
        this.comparison = comparison;
    }

    /** The metrics that a comparison of runs shows. */
    public static List<Metric> compared() {
        return COMPARED;
    }

    /** Name in JSON and CSV, with the unit where it has one. */
    public String key() {
        return key;
    }

    /** Heading in tables, with the unit where it has one. */
    public String heading() {
        return heading;
    }

    /** What an evaluation's table says below it, as "heading: meaning"; empty for a metric that explains itself. */
    String explanation() {
        return explanation.isEmpty() ? "" : heading.replaceFirst(" \\(.*", "") + ": " + explanation;
    }

    /** Width of the column in an evaluation's table. */
    int width() {
        return width;
    }

    /** How a comparison of runs shows it; null where it does not. */
    Comparison comparison() {
        return comparison;
    }

    /** The figure of some vertices; NaN where it is unknown. */
    double of(double[] r, NoiseCeiling ceiling) {
        return function.of(r, ceiling);
    }

    /** A figure with the metric's decimals. */
    String format(double figure) {
        return String.format(Locale.ROOT, "%." + decimals + "f", figure);
    }
}
