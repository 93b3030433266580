// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

/**
 * Means and standard deviations of columns, in double and relative to each column's first value, so that the sums of
 * squares of columns far from 0 keep their digits.
 */
final class ColumnMoments {
    private final float[] first;
    private final double[] sum, squares;
    private final int[] count;

    ColumnMoments(int columns) {
        first = new float[columns];
        sum = new double[columns];
        squares = new double[columns];
        count = new int[columns];
    }

    void add(int column, float value) {
        if (count[column]++ == 0) first[column] = value;
        double d = (double) value - first[column];
        sum[column] += d;
        squares[column] += d * d;
    }

    /** 0 without values. */
    double mean(int column) {
        return first[column] + shift(column);
    }

    /** 0 without values. */
    double deviation(int column) {
        if (count[column] == 0) return 0;
        double shift = shift(column);
        return Math.sqrt(Math.max(0, squares[column] / count[column] - shift * shift));
    }

    private double shift(int column) {
        return count[column] == 0 ? 0 : sum[column] / count[column];
    }
}
