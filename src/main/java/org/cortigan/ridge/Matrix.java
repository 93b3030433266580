// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.cortigan.eval.Parallel;
import org.cortigan.jni.Memory;

/** A row-major matrix of doubles or floats outside the Java heap. Its creator closes it. */
final class Matrix implements AutoCloseable {
    private final int rows;
    private final int columns;
    private final int width; // bytes of an element
    private final Memory memory;

    private Matrix(int rows, int columns, int width) {
        this.rows = rows;
        this.columns = columns;
        this.width = width;
        memory = Memory.allocate(Math.max(1, (long) rows * columns) * width);
    }

    /** A matrix of zeros. */
    static Matrix doubles(int rows, int columns) {
        return new Matrix(rows, columns, Double.BYTES);
    }

    /** A matrix of zeros. */
    static Matrix floats(int rows, int columns) {
        return new Matrix(rows, columns, Float.BYTES);
    }

    int rows() {
        return rows;
    }

    int columns() {
        return columns;
    }

    boolean isDouble() {
        return width == Double.BYTES;
    }

    /** Address of an element, for {@link Blas}. */
    DoublePointer doublesAt(int row, int column) {
        return new DoublePointer(at(row, column));
    }

    /** Address of an element, for {@link Blas}. */
    FloatPointer floatsAt(int row, int column) {
        return new FloatPointer(at(row, column));
    }

    private Pointer at(int row, int column) {
        long element = memory.address() + ((long) row * columns + column) * width;
        return new Pointer() {
            {
                address = element;
            }
        };
    }

    /** Copies consecutive values, from the start of a row on. */
    void put(int row, double[] values) {
        put(row, 0, values);
    }

    /** Copies consecutive values, from the start of a row on. */
    void put(int row, float[] values) {
        floatsAt(row, 0).put(values);
    }

    /** Copies values to a part of a row. */
    void put(int row, int column, double[] values) {
        doublesAt(row, column).put(values);
    }

    /** The values of consecutive rows of doubles. */
    double[] getDoubles(int row, int count) {
        double[] values = new double[Math.multiplyExact(count, columns)];
        doublesAt(row, 0).get(values);
        return values;
    }

    /** The values of consecutive rows of floats. */
    float[] getFloats(int row, int count) {
        float[] values = new float[Math.multiplyExact(count, columns)];
        floatsAt(row, 0).get(values);
        return values;
    }

    /** Work on a row of a matrix, which it may change. */
    @FunctionalInterface
    interface RowBody {
        void accept(int row, double[] values);
    }

    /** In parallel: runs {@code body} on each row of doubles. */
    void forEachRow(RowBody body) {
        Parallel.tiles(rows, 1, (row, end) -> {
            double[] values = getDoubles(row, 1);
            body.accept(row, values);
            put(row, values);
        });
    }

    void scaleRows(double[] scale) {
        forEachRow((row, values) -> {
            for (int i = 0; i < values.length; i++) {
                values[i] *= scale[row];
            }
        });
    }

    void scaleColumns(double[] scale) {
        forEachRow((row, values) -> {
            for (int i = 0; i < values.length; i++) {
                values[i] *= scale[i];
            }
        });
    }

    void scale(double factor) {
        forEachRow((row, values) -> {
            for (int i = 0; i < values.length; i++) {
                values[i] *= factor;
            }
        });
    }

    /** Adds a multiple of a matrix of the same shape. */
    void add(double factor, Matrix other) {
        forEachRow((row, values) -> {
            double[] more = other.getDoubles(row, 1);
            for (int i = 0; i < values.length; i++) {
                values[i] += factor * more[i];
            }
        });
    }

    void addToDiagonal(double value) {
        forEachRow((row, values) -> values[row] += value);
    }

    double trace() {
        double sum = 0;
        for (int row = 0; row < rows; row++) {
            sum += doublesAt(row, row).get();
        }
        return sum;
    }

    /** The sum of the products of the elements of two matrices of the same shape. */
    double dot(Matrix other) {
        double sum = 0;
        for (int row = 0; row < rows; row++) {
            double[] a = getDoubles(row, 1), b = other.getDoubles(row, 1);
            for (int i = 0; i < columns; i++) {
                sum += a[i] * b[i];
            }
        }
        return sum;
    }

    /** Copies the lower triangle to the upper one. */
    void mirror() {
        double[] values = getDoubles(0, rows);
        for (int i = 0; i < rows; i++) {
            for (int j = i + 1; j < rows; j++) {
                values[i * rows + j] = values[j * rows + i];
            }
        }
        put(0, values);
    }

    /** The sum of the products of the elements of two symmetric matrices, of which the lower triangles are read. */
    double dotSymmetric(Matrix other) {
        double sum = 0;
        for (int row = 0; row < rows; row++) {
            double[] a = getDoubles(row, 1), b = other.getDoubles(row, 1);
            for (int i = 0; i < row; i++) {
                sum += 2 * a[i] * b[i];
            }
            sum += a[row] * b[row];
        }
        return sum;
    }

    /** A copy of consecutive rows of doubles. */
    Matrix copyOfRows(int first, int count) {
        Matrix copy = doubles(count, columns);
        Parallel.tiles(count, 1, (row, end) -> copy.put(row, getDoubles(first + row, 1)));
        return copy;
    }

    /** The transpose of a matrix of doubles. */
    Matrix transposed() {
        double[] values = new double[Math.multiplyExact(rows, columns)];
        for (int row = 0; row < rows; row++) {
            double[] own = getDoubles(row, 1);
            for (int i = 0; i < columns; i++) {
                values[i * rows + row] = own[i];
            }
        }
        Matrix transposed = doubles(columns, rows);
        transposed.put(0, values);
        return transposed;
    }

    /** The values, rounded. */
    static float[] rounded(double[] values) {
        float[] single = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            single[i] = (float) values[i];
        }
        return single;
    }

    /** The values, exactly. */
    static double[] widened(float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    @Override
    public void close() {
        memory.close();
    }
}
