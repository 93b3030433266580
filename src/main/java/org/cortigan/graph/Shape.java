// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.util.Arrays;

/** Immutable extents of a tensor, outermost first, row-major. Every extent is at least 1. */
public final class Shape {
    private final int[] dims;

    private Shape(int[] dims) {
        this.dims = dims;
    }

    /**
     * The shape with the given extents.
     *
     * @throws IllegalArgumentException if an extent is below 1
     */
    public static Shape of(int... dims) {
        for (int d : dims)
            if (d < 1)
                throw new IllegalArgumentException("shape " + Arrays.toString(dims) + ": every extent must be >= 1");
        return new Shape(dims.clone());
    }

    /** Number of axes. */
    public int rank() {
        return dims.length;
    }

    /** Extent of an axis; negative axes count from the end. */
    public int dim(int axis) {
        return dims[axis < 0 ? axis + dims.length : axis];
    }

    /** A copy of the extents. */
    public int[] dims() {
        return dims.clone();
    }

    /** Product of all extents. */
    public long elements() {
        return elements(0, dims.length);
    }

    /** Product of the extents of axes [from, to). */
    public long elements(int from, int to) {
        long n = 1;
        for (int i = from; i < to; i++) n = Math.multiplyExact(n, dims[i]);
        return n;
    }

    /** This shape with one axis replaced. */
    public Shape with(int axis, int extent) {
        int[] d = dims.clone();
        d[axis < 0 ? axis + d.length : axis] = extent;
        return of(d);
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof Shape s && Arrays.equals(dims, s.dims);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(dims);
    }

    @Override
    public String toString() {
        return Arrays.toString(dims);
    }
}
