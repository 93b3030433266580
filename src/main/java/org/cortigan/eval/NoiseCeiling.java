// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.Objects;
import java.util.stream.IntStream;
import org.cortigan.InputException;

/**
 * The noise ceiling NC of each vertex: the fraction, in 0..1, of the variance of the vertex's measured response that
 * the stimulus explains. No model's expected r exceeds sqrt(NC), so the mean of sqrt(NC) over vertices bounds mean r.
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

    private final double[] fractions;

    private NoiseCeiling(double[] fractions) {
        this.fractions = fractions;
    }

    /**
     * Checks and converts noise ceilings.
     *
     * @param where file or source, for error messages
     * @param values one per vertex
     * @param unit unit of the values
     * @throws InputException if a value is not finite or outside the unit's range, or if the unit is percent but no
     *     value is above 1, which indicates fractions
     */
    public static NoiseCeiling of(String where, float[] values, Unit unit) {
        Objects.requireNonNull(unit);
        double[] fractions = new double[values.length];
        double max = 0;
        for (int v = 0; v < values.length; v++) {
            float value = values[v];
            if (!(value >= 0 && value <= unit.full)) { // also catches NaN
                boolean likelyPercent = unit == Unit.FRACTION && value > 1 && value <= 100;
                throw new InputException(
                        where + ", vertex " + v,
                        "noise ceiling " + value + " is outside 0.." + (int) unit.full + " of unit " + unit,
                        likelyPercent ? "The values are probably in percent: use the unit PERCENT" : "Check the file");
            }
            fractions[v] = value / unit.full;
            max = Math.max(max, value);
        }
        if (unit == Unit.PERCENT && max > 0 && max <= 1) {
            throw new InputException(
                    where,
                    "the largest of " + values.length + " noise ceilings is " + max + " percent",
                    "The values are probably fractions: use the unit FRACTION");
        }
        return new NoiseCeiling(fractions);
    }

    /** Number of vertices. */
    public int vertices() {
        return fractions.length;
    }

    /** NC of one vertex, a fraction in 0..1. */
    public double fraction(int vertex) {
        return fractions[vertex];
    }

    /** sqrt(NC) of each vertex. */
    double[] sqrt() {
        return Arrays.stream(fractions).map(Math::sqrt).toArray();
    }

    /** The noise ceilings of some vertices. */
    NoiseCeiling of(int[] vertices) {
        return new NoiseCeiling(
                IntStream.of(vertices).mapToDouble(v -> fractions[v]).toArray());
    }

    /** The noise ceilings of {@code left} followed by those of {@code right}. */
    public static NoiseCeiling concat(NoiseCeiling left, NoiseCeiling right) {
        double[] both = Arrays.copyOf(left.fractions, left.vertices() + right.vertices());
        System.arraycopy(right.fractions, 0, both, left.vertices(), right.vertices());
        return new NoiseCeiling(both);
    }
}
