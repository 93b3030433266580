// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import org.cortigan.eval.Parallel;
import org.cortigan.eval.RowSource;

/**
 * The training responses, read in blocks of vertices that fit into memory and standardised in double: each vertex has
 * mean 0 and variance 1 over the images. So responses of any offset and scale are fitted equally well.
 */
final class Responses {
    /** Most values in a block: 512 MiB of floats. */
    private static final int BLOCK_VALUES = 1 << 27;

    /** The part of the Java heap that a block may fill is one of so many. */
    private static final int HEAP_PARTS = 8;

    private final RowSource source;
    private final int blockValues;
    private final double[] mean; // [V], known for vertices that have been read
    private final double[] deviation; // [V], 0 for a constant vertex

    Responses(RowSource source) {
        this(source, (int) Math.min(BLOCK_VALUES, Runtime.getRuntime().maxMemory() / HEAP_PARTS / Float.BYTES));
    }

    /** @param blockValues most values in a block, unless the fewest tiles of a block have more */
    Responses(RowSource source, int blockValues) {
        this.source = source;
        this.blockValues = blockValues;
        mean = new double[source.columns()];
        deviation = new double[source.columns()];
    }

    int images() {
        return source.rows();
    }

    int vertices() {
        return source.columns();
    }

    double[] mean() {
        return mean;
    }

    double[] deviation() {
        return deviation;
    }

    /** Work on a block of vertices. */
    @FunctionalInterface
    interface Body {
        void accept(Block block);
    }

    /**
     * Reads the responses of the given vertices in blocks, each a multiple of {@link Blas#TILE} vertices except the
     * last.
     */
    void forEachBlock(int[] vertices, Body body) {
        forEachBlock(vertices, 1, body);
    }

    /** The same in blocks that are each a multiple of {@code tiles} tiles, except the last. */
    void forEachBlock(int[] vertices, int tiles, Body body) {
        int unit = tiles * Blas.TILE;
        int most = Math.max(1, blockValues / images() / unit) * unit;
        for (int first = 0; first < vertices.length; first += most) {
            int[] own = Arrays.copyOfRange(vertices, first, Math.min(vertices.length, first + most));
            body.accept(new Block(own, first / Blas.TILE));
        }
    }

    /** The responses of some vertices, in tiles of {@link Blas#TILE} vertices. */
    final class Block {
        private final int[] vertices;
        private final int firstTile;
        private final float[] values; // [N, vertices]

        private Block(int[] vertices, int firstTile) {
            this.vertices = vertices;
            this.firstTile = firstTile;
            values = new float[Math.multiplyExact(images(), vertices.length)];
            RowBlocks.forEach(
                    source,
                    "responses",
                    (first, rows, y) -> Parallel.tiles(rows, 1, (row, end) -> {
                        int from = row * source.columns(), to = (first + row) * vertices.length;
                        for (int v : vertices) {
                            values[to++] = y[from + v];
                        }
                    }));
        }

        /** The number of the first tile among all tiles. */
        int firstTile() {
            return firstTile;
        }

        int tiles() {
            return (vertices.length + Blas.TILE - 1) / Blas.TILE;
        }

        int vertices() {
            return vertices.length;
        }

        /** Work on a tile, given its number among all tiles and the number of its vertices. */
        @FunctionalInterface
        interface TileBody {
            void accept(int tile, int vertices);
        }

        /** Runs {@code body} on all tiles, in parallel. */
        void forEachTile(TileBody body) {
            Parallel.tiles(
                    vertices.length, Blas.TILE, (from, to) -> body.accept(firstTile + from / Blas.TILE, to - from));
        }

        /** The standardised responses [N, n] of a tile of n vertices. */
        double[] standardised(int tile, int n) {
            double[] y = new double[images() * n];
            standardise(tile, n, (row, values) -> System.arraycopy(values, 0, y, row * n, n));
            return y;
        }

        /** Runs {@code body} on each image's standardised responses [n]; the array is reused for the next image. */
        void standardise(int tile, int n, Matrix.RowBody body) {
            int from = (tile - firstTile) * Blas.TILE;
            double[] centre = new double[n];
            double[] squares = new double[n];
            for (int row = 0; row < images(); row++) {
                for (int i = 0; i < n; i++) {
                    centre[i] += shifted(row, from + i);
                }
            }
            for (int i = 0; i < n; i++) {
                centre[i] /= images();
            }
            for (int row = 0; row < images(); row++) {
                for (int i = 0; i < n; i++) {
                    double y = shifted(row, from + i) - centre[i];
                    squares[i] += y * y;
                }
            }
            for (int i = 0; i < n; i++) {
                int v = vertices[from + i];
                mean[v] = values[from + i] + centre[i];
                deviation[v] = Math.sqrt(squares[i] / images());
            }
            double[] y = new double[n];
            for (int row = 0; row < images(); row++) {
                for (int i = 0; i < n; i++) {
                    double scale = squares[i] > 0 ? 1 / deviation[vertices[from + i]] : 0;
                    y[i] = (shifted(row, from + i) - centre[i]) * scale;
                }
                body.accept(row, y);
            }
        }

        /** A value less that of the first row. The shift keeps a constant vertex exactly 0. */
        private double shifted(int row, int i) {
            return (double) values[row * vertices.length + i] - (double) values[i];
        }
    }
}
