// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A metric of a set of vertices, computed from the {@link VertexStatistics} of each vertex. Reports show the metrics in
 * the order of the constants; a new constant adds a column to every evaluation, and to the comparison of runs if it has
 * a {@link Comparison}.
 */
public enum Metric {
    /** Mean of r. */
    MEAN_R(
            "mean_r",
            "mean r",
            "",
            8,
            4,
            s -> Metrics.mean(s.r()),
            new Comparison(
                    "mean r over vertices",
                    "95% interval",
                    "mean_r_by_seed",
                    "mean r over vertices: Pearson's r of each vertex over the images, mean over all vertices, mean"
                            + " over seeds; its bound is the mean of sqrt(noise ceiling)")),

    /** Median of r. */
    MEDIAN_R("median_r", "median r", "", 9, 4, s -> Metrics.median(s.r()), null),

    /** Mean of r * r. */
    MEAN_R_SQUARED("mean_r_squared", "mean r^2", "", 8, 4, s -> Metrics.meanSquared(s.r()), null),

    /** Mean of sqrt(noise ceiling), the upper bound of mean r. */
    BOUND(
            "mean_sqrt_noise_ceiling",
            "bound of r",
            "mean of sqrt(noise ceiling)",
            11,
            4,
            s -> s.ceiling() == null ? Double.NaN : Metrics.boundOfMeanR(s.ceiling()),
            new Comparison("bound: mean sqrt(noise ceiling)", null, null, null)),

    /** The challenge's score: mean of noise-normalised r^2 in percent. */
    SCORE(
            "challenge_score_percent",
            "score (%)",
            "noise-normalised r^2 (r < 0 counts as 0), in percent",
            10,
            2,
            s -> s.ceiling() == null ? Double.NaN : Metrics.challengeScore(s.r(), s.ceiling()),
            new Comparison(
                    "score (%)",
                    "95% interval of score",
                    "challenge_score_by_seed",
                    "score: noise-normalised r^2 (r < 0 counts as 0, at most 100), mean over vertices, in percent; by"
                            + " the challenge's rule a vertex of noise ceiling 0 counts 100 if r is above 0, so chance"
                            + " scores above 0")),

    /** Mean of the explained variance. */
    MEAN_EXPLAINED_VARIANCE(
            "mean_explained_variance",
            "EV",
            "mean explained variance, 1 - var(response - prediction) / var(response)",
            8,
            4,
            s -> Metrics.mean(s.explainedVariance()),
            null),

    /** Median of the explained variance. */
    MEDIAN_EXPLAINED_VARIANCE(
            "median_explained_variance", "median EV", "", 9, 4, s -> Metrics.median(s.explainedVariance()), null),

    /** Mean of the coefficient of determination. */
    MEAN_R2(
            "mean_r2",
            "R2",
            "mean coefficient of determination, which also counts a wrong mean as an error",
            8,
            4,
            s -> Metrics.mean(s.r2()),
            null),

    /** Median of the coefficient of determination. */
    MEDIAN_R2("median_r2", "median R2", "", 9, 4, s -> Metrics.median(s.r2()), null),

    /** Number of vertices whose r is significant. */
    SIGNIFICANT(
            "vertices_q_below_0.05",
            "q < 0.05",
            "vertices whose r is above chance at a false discovery rate below 0.05 over all vertices",
            8,
            0,
            s -> s.significance() == null ? Double.NaN : s.significance().countBelow(0.05),
            null),

    /** Skill of the samples of a model that draws them. */
    CRPS_SKILL(
            "crps_skill",
            "CRPS skill",
            "1 - mean CRPS of the samples / mean CRPS of the normal distribution of the training responses, each vertex"
                    + " in units of its training responses' deviation",
            10,
            4,
            s -> s.crps() == null ? Double.NaN : s.crps().skill(),
            null);

    /** Note below the table of an evaluation without noise ceilings. */
    static final String WITHOUT_CEILINGS = "bound and score: unknown, because there are no noise ceilings";

    @FunctionalInterface
    private interface Function {
        /**
         * @param s of at least one vertex
         * @return the figure; NaN if unknown
         */
        double of(VertexStatistics s);
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
    double of(VertexStatistics s) {
        return function.of(s);
    }

    /** Formats a figure with the metric's decimals. */
    String format(double figure) {
        return String.format(Locale.ROOT, "%." + decimals + "f", figure);
    }
}
