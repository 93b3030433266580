// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

/** Element type and shape of a value. */
public record Type(DType dtype, Shape shape) {
    /**
     * The type with the given element type and extents.
     *
     * @throws IllegalArgumentException if an extent is below 1
     */
    public static Type of(DType dtype, int... dims) {
        return new Type(dtype, Shape.of(dims));
    }

    @Override
    public String toString() {
        return dtype.name().toLowerCase(java.util.Locale.ROOT) + shape;
    }
}
