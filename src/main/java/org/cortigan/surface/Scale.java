// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.Arrays;
import java.util.Locale;

/**
 * How values become colours.
 *
 * @param min value of the first colour, which smaller values take too
 * @param max value of the last colour, which larger values take too; above {@code min}
 * @param threshold values below it are hidden, and of a difference those nearer to 0; NaN shows all
 * @param label what the values are, with their unit
 */
public record Scale(Colourmap colourmap, double min, double max, double threshold, String label) {
    /** Share of the values that lie within the limits that are chosen for them. */
    private static final double WITHIN = 0.99;

    public Scale {
        if (!(min < max) || !Double.isFinite(max - min))
            throw new IllegalArgumentException("a scale from " + min + " to " + max);
    }

    /**
     * Limits for values: round numbers that enclose 99 % of them. They begin at 0 unless few values are positive; those
     * of a difference are symmetric about 0.
     *
     * @param values [2][vertices]; NaN does not count
     * @return min and max
     */
    public static double[] limits(Colourmap colourmap, float[]... values) {
        float[] known = new float[Arrays.stream(values).mapToInt(v -> v.length).sum()];
        int n = 0;
        boolean difference = colourmap == Colourmap.DIFFERENCE;
        for (float[] hemisphere : values)
            for (float v : hemisphere) if (Float.isFinite(v)) known[n++] = difference ? Math.abs(v) : v;
        if (n == 0) return new double[] {difference ? -1 : 0, 1};
        Arrays.sort(known, 0, n);
        int last = (int) Math.ceil(WITHIN * (n - 1));
        double high = known[last], low = known[n - 1 - last];
        if (difference) {
            double end = high > 0 ? roundUp(high) : 1;
            return new double[] {-end, end};
        }
        // Few values may be positive, such as those of a mask of a small ROI.
        if (high <= 0) high = known[n - 1];
        if (high > 0) return new double[] {0, roundUp(high)};
        return low < 0 ? new double[] {-roundUp(-low), 0} : new double[] {0, 1};
    }

    /** The next number of two digits at or above a positive one. */
    private static double roundUp(double x) {
        double unit = Math.pow(10, Math.floor(Math.log10(x)) - 1);
        return Math.ceil(x / unit - 1e-4) * unit;
    }

    /** Whether a value has a colour. */
    public boolean shows(float value) {
        if (Float.isNaN(value)) return false;
        return Double.isNaN(threshold) || (colourmap == Colourmap.DIFFERENCE ? Math.abs(value) : value) >= threshold;
    }

    /** The colour 0xRRGGBB of a value. */
    public int rgb(float value) {
        return colourmap.rgb(position(value));
    }

    /** Place of a value in the colour map, 0 to 1. White is 0 in a difference, also if the ends are not symmetric. */
    private double position(double value) {
        if (colourmap != Colourmap.DIFFERENCE || min >= 0 || max <= 0) return (value - min) / (max - min);
        return value < 0 ? 0.5 - 0.5 * value / min : 0.5 + 0.5 * value / max;
    }

    /** The numbers under the colour bar: multiples of 1, 2 or 5 times a power of ten. */
    double[] ticks() {
        double step = step();
        int first = (int) Math.ceil(min / step - 1e-6), last = (int) Math.floor(max / step + 1e-6);
        double[] ticks = new double[last - first + 1];
        for (int i = 0; i < ticks.length; i++) ticks[i] = (first + i) * step;
        return ticks;
    }

    private double step() {
        double rough = (max - min) / 5, power = Math.pow(10, Math.floor(Math.log10(rough)));
        double times = rough / power;
        return power * (times > 5 ? 10 : times > 2 ? 5 : times > 1 ? 2 : 1);
    }

    /** A number under the colour bar, with as many digits as the step needs. */
    String text(double tick) {
        double step = step(), largest = Math.max(Math.abs(min), Math.abs(max));
        if (largest >= 1e5 || step < 1e-4)
            return String.format(Locale.ROOT, "%.1e", tick).replace('-', '\u2212');
        int digits = Math.max(0, (int) -Math.floor(Math.log10(step) + 1e-9));
        return String.format(Locale.ROOT, "%." + digits + "f", tick + 0.0).replace('-', '\u2212');
    }
}
