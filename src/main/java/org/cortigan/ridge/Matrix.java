// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
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
