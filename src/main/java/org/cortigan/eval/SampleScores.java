// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How well samples of the responses to photographs predict the responses, and their means. If the samples have the
 * distribution of the responses to a photograph, one sample has the r of their mean squared.
 *
 * @param means of the first K samples, for several K
 * @param spread variance of the samples for one photograph over that of the responses around the samples' mean, pooled
 *     over vertices: 1 if calibrated; NaN if unknown, that is, for one sample. One antithetic pair does not tell how
 *     the means of pairs vary: of it the spread is a lower bound
 * @param extrapolatedR r of the mean of infinitely many samples, pooled over vertices: estimated from the variance that
 *     finitely many leave; NaN if unknown, that is, for fewer than two independent samples or antithetic pairs, or if
 *     the samples vary too much to tell
 * @param antithetic whether every second sample depends on the one before
 * @param crps of all samples; null if unknown, that is, for one sample, and for antithetic ones, whose distances from
 *     each other do not tell those of independent ones
 */
public record SampleScores(
        List<Score> means,
        double spread,
        double extrapolatedR,
        boolean antithetic,
        @Nullable Crps crps) {
    /**
     * Of the mean of some samples.
     *
     * @param meanR Pearson's r over images of each vertex, mean over vertices
     * @param medianR the same, median over vertices
     */
    public record Score(int samples, double meanR, double medianR) {}

    public SampleScores {
        means = List.copyOf(means);
    }

    /** The lines of a table. */
    List<String> lines() {
        List<String> cells = new ArrayList<>();
        for (Score s : means)
            cells.add(String.format(
                    Locale.ROOT, "%s %.4f", s.samples == 1 ? "one sample" : "mean of " + s.samples, s.meanR));
        List<String> lines = new ArrayList<>();
        lines.add("mean r of samples: " + String.join(", ", cells)
                + (Double.isNaN(extrapolatedR)
                        ? ""
                        : String.format(
                                Locale.ROOT,
                                "; extrapolated to infinitely many, pooled over vertices: %.4f",
                                extrapolatedR)));
        if (!Double.isNaN(spread))
            lines.add(String.format(
                    Locale.ROOT,
                    "spread of the samples: %.2f of the variance of the responses around their mean (1: calibrated)",
                    spread));
        if (antithetic)
            lines.add("CRPS skill: unknown, because antithetic samples are not independent: add --independent");
        else if (crps == null) lines.add("CRPS skill: unknown of one sample: give --samples 2 or more");
        return lines;
    }

    /** For metrics.json: null for what is unknown. */
    Map<String, Object> json() {
        List<Object> rows = new ArrayList<>();
        for (Score s : means) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("samples", s.samples);
            row.put("mean_r", s.meanR);
            row.put("median_r", s.medianR);
            rows.add(row);
        }
        Map<String, Object> m = new LinkedHashMap<>(); // values may be null
        m.put("means", rows);
        m.put("spread", Double.isNaN(spread) ? null : spread);
        m.put("extrapolated_r", Double.isNaN(extrapolatedR) ? null : extrapolatedR);
        m.put("antithetic", antithetic);
        return m;
    }
}
