// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

/**
 * Means and standard deviations of columns, in double and relative to each column's first value, so that the sums of
 * squares of columns far from 0 keep their digits.
 */
public final class ColumnMoments {
    private final double[] first, sum, squares;
    private final int[] count;

    public ColumnMoments(int columns) {
        first = new double[columns];
        sum = new double[columns];
        squares = new double[columns];
        count = new int[columns];
    }

    /** Adds a finite value. */
    public void add(int column, double value) {
        if (count[column]++ == 0) first[column] = value;
        double d = value - first[column];
        sum[column] += d;
        squares[column] += d * d;
    }

    /** The mean of a column's values; 0 without values. */
    public double mean(int column) {
        return first[column] + shift(column);
    }

    /** The standard deviation of a column's values, by their number; 0 without values. */
    public double deviation(int column) {
        if (count[column] == 0) return 0;
        double shift = shift(column);
        return Math.sqrt(Math.max(0, squares[column] / count[column] - shift * shift));
    }

    private double shift(int column) {
        return count[column] == 0 ? 0 : sum[column] / count[column];
    }
}
