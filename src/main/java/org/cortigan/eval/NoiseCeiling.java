// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;
import java.util.stream.IntStream;
import org.cortigan.InputException;

/**
 * The noise ceiling NC of each vertex: the fraction, in 0..1, of the variance of the vertex's measured response that
 * the stimulus explains. No model's expected r exceeds sqrt(NC), so the mean of sqrt(NC) over vertices bounds mean r.
 * NaN stands for a vertex whose noise ceiling is unknown.
 */
public final class NoiseCeiling {
    /** Unit of the values in a file. It is never guessed. */
    public enum Unit {
        /** 0..1 */
        FRACTION(1),
        /** 0..100 */
        PERCENT(100);

        private final double full;

        Unit(double full) {
            this.full = full;
        }
    }

    /**
     * Values outside the range by this share of it are rounding errors: a ceiling computed in float, and converted to
     * percent and back, has seen fewer than 16 roundings, each of at most half a step of float.
     */
    private static final double ROUNDING = 8 * Math.ulp(1f);
    /** The largest signal-to-noise ratio that is plausible for a vertex; NSD's are below 3. */
    private static final double MOST_NCSNR = 10;

    private final double[] fractions;

    private NoiseCeiling(double[] fractions) {
        this.fractions = fractions;
    }

    /**
     * Checks and converts noise ceilings.
     *
     * @param where file or source, for error messages
     * @param values one per vertex, NaN if unknown; a value outside the unit's range by a rounding error is clamped
     * @param unit unit of the values
     * @throws InputException if a value is outside the unit's range, if all are NaN, or if the unit is percent but no
     *     value is above 1, which indicates fractions
     */
    public static NoiseCeiling of(String where, float[] values, Unit unit) {
        Objects.requireNonNull(unit);
        double max = largest(where, values);
        for (int v = 0; v < values.length; v++) {
            double fraction = values[v] / unit.full;
            if (fraction < -ROUNDING || fraction > 1 + ROUNDING) {
                throw new InputException(
                        where + ", vertex " + v,
                        "noise ceiling " + values[v] + " is outside 0.." + (int) unit.full + " of unit " + unit,
                        remedy(unit, max));
            }
        }
        if (unit == Unit.PERCENT && max > 0 && max <= 1) {
            throw new InputException(
                    where,
                    "the largest of " + values.length + " noise ceilings is " + max + " percent",
                    "The values are probably fractions: leave out --noise-ceiling-unit percent");
        }
        return clamped(IntStream.range(0, values.length)
                .mapToDouble(v -> values[v] / unit.full)
                .toArray());
    }

    private static String remedy(Unit unit, double max) {
        if (unit == Unit.PERCENT || max <= 1 || max > 100) return "Check the file";
        return max > MOST_NCSNR
                ? "The values are probably in percent: add --noise-ceiling-unit percent"
                : "The largest is " + max
                        + ", which looks like ncsnr, the signal-to-noise ratio: convert the files with"
                        + " cortigan ceiling --ncsnr (or add --noise-ceiling-unit percent if they are in percent)";
    }

    private static double largest(String where, float[] values) {
        double max = Double.NEGATIVE_INFINITY;
        for (float value : values) if (value > max) max = value; // False for NaN.
        if (max == Double.NEGATIVE_INFINITY)
            throw new InputException(where, "has no value that is a number", "Give one value for each vertex");
        return max;
    }

    /** Clamps to 0..1 and keeps NaN. */
    private static NoiseCeiling clamped(double[] fractions) {
        return new NoiseCeiling(
                Arrays.stream(fractions).map(x -> Math.max(0, Math.min(1, x))).toArray());
    }

    /**
     * From signal-to-noise ratios: NC = ncsnr^2 / (ncsnr^2 + noise share) (Allen et al. 2022, "A massive 7T fMRI
     * dataset to bridge cognitive neuroscience and artificial intelligence").
     *
     * @param where file or source, for error messages
     * @param ncsnr for each vertex the standard deviation of the signal over that of a single trial's noise; NaN if
     *     unknown
     * @param trials of the responses whose ceiling is wanted
     * @param remedy what to do about values that are no ncsnr
     * @throws InputException if a value is negative or infinite, all are NaN, or one is too large for a ratio
     */
    public static NoiseCeiling fromNcsnr(String where, float[] ncsnr, AveragedTrials trials, String remedy) {
        double max = largest(where, ncsnr);
        for (int v = 0; v < ncsnr.length; v++)
            if (ncsnr[v] < -ROUNDING || ncsnr[v] > MOST_NCSNR)
                throw new InputException(
                        where + ", vertex " + v,
                        ncsnr[v] + " is no signal-to-noise ratio (0 to about 3)"
                                + (max > MOST_NCSNR && max <= 100 ? ", but probably a noise ceiling in percent" : ""),
                        remedy);
        return clamped(IntStream.range(0, ncsnr.length)
                .mapToDouble(v -> Math.max(0, ncsnr[v]))
                .map(snr -> snr * snr / (snr * snr + trials.noiseShare()))
                .toArray());
    }

    /**
     * From the variances of signal and single-trial noise of each vertex; 0 for a vertex with neither, NaN for one with
     * a variance that is not finite.
     */
    static NoiseCeiling fromVariances(double[] signal, double[] noise, AveragedTrials trials) {
        double[] fractions = new double[signal.length];
        Arrays.setAll(fractions, v -> {
            double total = signal[v] + noise[v] * trials.noiseShare();
            return total == 0 ? 0 : signal[v] / total;
        });
        return clamped(fractions);
    }

    /** Number of vertices. */
    public int vertices() {
        return fractions.length;
    }

    /** NC of one vertex, a fraction in 0..1; NaN if unknown. */
    public double fraction(int vertex) {
        return fractions[vertex];
    }

    /** NC of all vertices as fractions, NaN if unknown. */
    public float[] toFloats() {
        float[] f = new float[fractions.length];
        for (int v = 0; v < f.length; v++) f[v] = (float) fractions[v];
        return f;
    }

    /** Number of vertices whose noise ceiling is unknown. */
    public int unknown() {
        return vertices() - known().length;
    }

    /** The vertices whose noise ceiling is known. */
    int[] known() {
        return IntStream.range(0, fractions.length)
                .filter(v -> !Double.isNaN(fractions[v]))
                .toArray();
    }

    /** sqrt(NC) of each vertex. */
    double[] sqrt() {
        return Arrays.stream(fractions).map(Math::sqrt).toArray();
    }

    /** The distribution over vertices, in one line. */
    public String summary() {
        double[] sorted =
                Arrays.stream(Vertices.select(fractions, known())).sorted().toArray();
        if (sorted.length == 0) return "no vertex has a known noise ceiling";
        return String.format(
                Locale.ROOT,
                "%d vertices, %d unknown; noise ceiling %.4f, %.4f, %.4f, %.4f, %.4f (minimum, quartiles, maximum);"
                        + " bound of mean r %.4f",
                vertices(),
                vertices() - sorted.length,
                quantile(sorted, 0),
                quantile(sorted, 0.25),
                quantile(sorted, 0.5),
                quantile(sorted, 0.75),
                quantile(sorted, 1),
                Arrays.stream(sorted).map(Math::sqrt).average().orElseThrow());
    }

    /** Linear interpolation between order statistics, as numpy.quantile does it. */
    private static double quantile(double[] sorted, double q) {
        double at = q * (sorted.length - 1);
        int below = (int) at;
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
    }

    /** The noise ceilings of some vertices. */
    public NoiseCeiling of(int[] vertices) {
        return new NoiseCeiling(Vertices.select(fractions, vertices));
    }

    /** The noise ceilings of {@code left} followed by those of {@code right}. */
    public static NoiseCeiling concat(NoiseCeiling left, NoiseCeiling right) {
        double[] both = Arrays.copyOf(left.fractions, left.vertices() + right.vertices());
        System.arraycopy(right.fractions, 0, both, left.vertices(), right.vertices());
        return new NoiseCeiling(both);
    }
}
