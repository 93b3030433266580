// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

/**
 * A square grid of cells on which vertices lie in their order along Hilbert's curve (Hilbert 1891), so that vertices
 * near each other in the order are near each other on the grid. The cells have equal numbers of vertices, up to one.
 *
 * @param side cells along an edge, a power of two
 */
public record CellGrid(int side) {
    public CellGrid {
        if (Integer.bitCount(side) != 1) throw new IllegalArgumentException("the side " + side + " is no power of two");
    }

    private long cells() {
        return (long) side * side;
    }

    /** The cell at a distance along the curve: {x, y}. */
    int[] cell(long distance) {
        int x = 0, y = 0;
        for (int s = 1; s < side; s *= 2, distance /= 4) {
            int right = (int) (distance / 2 & 1), down = (int) ((distance ^ right) & 1);
            if (down == 0) {
                int turned = right == 1 ? s - 1 - y : y;
                y = right == 1 ? s - 1 - x : x;
                x = turned;
            }
            x += s * right;
            y += s * down;
        }
        return new int[] {x, y};
    }

    /** The cell, along the curve, of the vertex at a place in the order of n vertices. */
    private long cellOf(int place, int n) {
        return place * cells() / n;
    }

    /** The largest number of vertices in a cell. */
    public int depth(int vertices) {
        return Math.toIntExact((vertices + cells() - 1) / cells());
    }

    /**
     * The middles of the vertices' cells.
     *
     * @param order each vertex once
     * @return [V, 2], x then y, in -1..1 as {@link org.cortigan.op.PositionReadout} takes them
     */
    public float[] positions(int[] order) {
        float[] at = new float[2 * order.length];
        for (int i = 0; i < order.length; i++) {
            int[] cell = cell(cellOf(i, order.length));
            for (int k = 0; k < 2; k++) at[2 * order[i] + k] = (2 * cell[k] + 1f) / side - 1;
        }
        return at;
    }

    /**
     * The places of the vertices within their cells.
     *
     * @param order each vertex once
     * @return [V, {@link #depth}]: for each vertex a 1 at its place among the vertices of its cell, and zeros
     */
    public float[] places(int[] order) {
        int n = order.length, depth = depth(n);
        float[] at = new float[n * depth];
        int place = 0;
        for (int i = 0; i < n; i++) {
            place = i > 0 && cellOf(i, n) == cellOf(i - 1, n) ? place + 1 : 0;
            at[order[i] * depth + place] = 1;
        }
        return at;
    }
}
