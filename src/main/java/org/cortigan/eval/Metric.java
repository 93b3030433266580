// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A metric of a set of vertices, computed from Pearson's r and the noise ceiling of each vertex. Reports show the
 * metrics in the order of the constants; a new constant adds a column to every evaluation, and to the comparison of
 * runs if it has a {@link Comparison}.
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
                    "mean r over vertices: Pearson's r of each vertex over the images, mean over all vertices, mean"
                            + " over seeds; its bound is the mean of sqrt(noise ceiling)")),

    /** Median of r. */
    MEDIAN_R("median_r", "median r", "", 9, 4, (r, ceiling) -> Metrics.median(r), null),

    /** Mean of r * r. */
    MEAN_R_SQUARED("mean_r_squared", "mean r^2", "", 8, 4, (r, ceiling) -> Metrics.meanSquared(r), null),

    /** Mean of sqrt(noise ceiling), the upper bound of mean r. */
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
            "noise-normalised r^2 (r < 0 counts as 0), in percent",
            10,
            2,
            (r, ceiling) -> ceiling == null ? Double.NaN : Metrics.mean(Metrics.challengeScores(r, ceiling)),
            new Comparison(
                    "score (%)",
                    "95% interval of score",
                    "challenge_score_by_seed",
                    "score: noise-normalised r^2 (r < 0 counts as 0, at most 100), mean over vertices, in percent; by"
                            + " the challenge's rule a vertex of noise ceiling 0 counts 100 if r is above 0, so chance"
                            + " scores above 0"));

    /** Note below the table of an evaluation without noise ceilings. */
    static final String WITHOUT_CEILINGS = "bound and score: unknown, because there are no noise ceilings";

    @FunctionalInterface
    private interface Function {
        /**
         * @param r r of each vertex, at least one
         * @param ceiling noise ceilings of the same vertices, or null
         * @return the figure; NaN if unknown
         */
        double of(double[] r, @Nullable NoiseCeiling ceiling);
    }

    /**
     * How the comparison of runs shows a metric.
     *
     * @param heading heading of the mean over seeds
     * @param intervalHeading heading of the interval over seeds; null for a metric that does not vary with the seed
     * @param bySeedKey CSV column of the values of every seed; null for a metric that does not vary with the seed
     * @param explanation note below the table; null for none
     */
    record Comparison(
            String heading,
            @Nullable String intervalHeading,
            @Nullable String bySeedKey,
            @Nullable String explanation) {
        /** Whether the metric varies with the seed. */
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
    private final @Nullable Comparison comparison;

    Metric(
            String key,
            String heading,
            String explanation,
            int width,
            int decimals,
            Function function,
            @Nullable Comparison comparison) {
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

    /** Name in JSON and CSV, with the unit if there is one. */
    public String key() {
        return key;
    }

    /** Heading in tables, with the unit if there is one. */
    public String heading() {
        return heading;
    }

    /** Note below the table of an evaluation, as "heading: meaning"; empty for a metric that explains itself. */
    String explanation() {
        return explanation.isEmpty() ? "" : heading.replaceFirst(" \\(.*", "") + ": " + explanation;
    }

    /** Column width in the table of an evaluation. */
    int width() {
        return width;
    }

    /** How the comparison of runs shows the metric, one of {@link #compared}. */
    Comparison comparison() {
        return Objects.requireNonNull(comparison, "the comparison of runs does not show " + key);
    }

    /** Computes the metric of some vertices; NaN if unknown. */
    double of(double[] r, @Nullable NoiseCeiling ceiling) {
        return function.of(r, ceiling);
    }

    /** Formats a figure with the metric's decimals. */
    String format(double figure) {
        return String.format(Locale.ROOT, "%." + decimals + "f", figure);
    }
}
