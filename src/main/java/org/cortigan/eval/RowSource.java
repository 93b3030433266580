// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Objects;

/** A matrix [rows, columns] of floats that is read in blocks of rows, so that it need not fit into memory. */
public interface RowSource {
    /** Number of rows (images). */
    int rows();

    /** Number of columns (features or vertices). */
    int columns();

    /** Copies {@code count} rows, starting with row {@code first}, to the start of {@code into}, row-major. */
    void read(int first, int count, float[] into);

    /** A matrix in memory, row-major [rows, columns]. The array is not copied. */
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

    /**
     * Some columns of a matrix, in the given order, in memory.
     *
     * @throws ArithmeticException if they do not fit into one array
     */
    static RowSource columns(RowSource source, int[] columns) {
        float[] some = new float[Math.multiplyExact(source.rows(), columns.length)];
        float[] row = new float[source.columns()];
        for (int i = 0; i < source.rows(); i++) {
            source.read(i, 1, row);
            for (int j = 0; j < columns.length; j++) some[i * columns.length + j] = row[columns[j]];
        }
        return of(some, source.rows(), columns.length);
    }

    /** Some rows of a matrix, in the given order. */
    static RowSource rows(RowSource source, int[] rows) {
        return new RowSource() {
            @Override
            public int rows() {
                return rows.length;
            }

            @Override
            public int columns() {
                return source.columns();
            }

            @Override
            public void read(int first, int count, float[] into) {
                Objects.checkFromIndexSize(first, count, rows.length);
                float[] row = new float[columns()];
                for (int i = 0; i < count; i++) {
                    source.read(rows[first + i], 1, row);
                    System.arraycopy(row, 0, into, i * row.length, row.length);
                }
            }
        };
    }
}
