// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Objects;

/** A matrix [rows, columns] of finite floats that is read in blocks of rows, so that it need not be in memory. */
public interface RowSource {
    /** Rows (images). */
    int rows();

    /** Columns (features or vertices). */
    int columns();

    /**
     * Copies {@code count} rows from {@code first} on into {@code into}, row-major from index 0; {@code into} may be
     * longer.
     */
    void read(int first, int count, float[] into);

    /** A matrix in memory, row-major [rows, columns]; the array is not copied. */
    static RowSource of(float[] values, int rows, int columns) {
        if (rows < 0 || columns < 1 || values.length != (long) rows * columns) {
            throw new IllegalArgumentException(values.length + " values are not [" + rows + ", " + columns + "]");
        }
        return new RowSource() {
            @Override
            public int rows() {
                return rows;
            }

            @Override
            public int columns() {
                return columns;
            }

            @Override
            public void read(int first, int count, float[] into) {
                Objects.checkFromIndexSize(first, count, rows);
                System.arraycopy(values, first * columns, into, 0, count * columns);
            }
        };
    }
}
