// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.function.IntToDoubleFunction;
import org.cortigan.eval.Parallel;
import org.cortigan.ridge.Blas.Block;

/**
 * The weights of vertices in the coordinates of an eigenbasis.
 *
 * @param projection [R, F] from scaled features to scores
 * @param unit the root of the basis' mean eigenvalue, by which scores are divided, so that weights and scores have no
 *     scale
 * @param vertices the vertices, in the order of the tiles
 * @param tiles weights, each [R, vertices of the tile]
 */
record Readout(float[][] projection, double unit, int[] vertices, float[][] tiles) {
    /**
     * The ridge's weights from rotated responses, whose memory the readout takes over.
     *
     * @param lambda penalty of each vertex
     */
    static Readout of(Eigenbasis basis, Rotation rotation, IntToDoubleFunction lambda) {
        double unit = Math.sqrt(basis.meanEigenvalue());
        Readout readout = new Readout(basis.projection(), unit, rotation.vertices(), rotation.tiles());
        Parallel.tiles(rotation.tiles().length, 1, (tile, end) -> readout.divide(tile, basis.eigenvalues(), lambda));
        return readout;
    }

    private void divide(int tile, double[] eigenvalues, IntToDoubleFunction lambda) {
        float[] b = tiles[tile];
        int n = b.length / components();
        for (int i = 0; i < n; i++) {
            double penalty = lambda.applyAsDouble(vertices[tile * Blas.TILE + i]);
            for (int j = 0; j < components(); j++) {
                b[j * n + i] *= (float) (unit * Math.sqrt(eigenvalues[j]) / (eigenvalues[j] + penalty));
            }
        }
    }

    int components() {
        return projection.length;
    }

    /**
     * Writes the standardised predictions of the readout's vertices.
     *
     * @param x scaled features [rows, F]
     * @param predicted [rows, V], row-major
     * @param allVertices number V of vertices of all readouts
     */
    void predict(Matrix x, double[] predicted, int allVertices) {
        try (Matrix scores = scores(x)) {
            Parallel.tiles(tiles.length, 1, (tile, end) -> {
                double[] own = product(scores, tiles[tile]);
                int n = own.length / x.rows();
                for (int row = 0; row < x.rows(); row++) {
                    for (int i = 0; i < n; i++) {
                        predicted[row * allVertices + vertices[tile * Blas.TILE + i]] = own[row * n + i] / unit;
                    }
                }
            });
        }
    }

    /** The scores [rows, R]. */
    private Matrix scores(Matrix x) {
        Matrix scores = Matrix.doubles(x.rows(), components());
        Parallel.tiles(components(), Blas.TILE, (from, to) -> {
            try (Matrix part = Matrix.doubles(to - from, x.columns())) {
                for (int j = from; j < to; j++) {
                    part.put(j - from, Matrix.widened(projection[j]));
                }
                Blas.multiply(
                        x.rows(),
                        to - from,
                        x.columns(),
                        Block.of(x),
                        Block.transposed(part, 0, 0),
                        0,
                        Block.of(scores, 0, from));
            }
        });
        return scores;
    }

    /** The scores [rows, R] times the weights [R, n] of a tile. */
    private double[] product(Matrix scores, float[] tile) {
        int n = tile.length / components();
        try (Matrix weights = Matrix.doubles(components(), n);
                Matrix product = Matrix.doubles(scores.rows(), n)) {
            weights.put(0, Matrix.widened(tile));
            Blas.multiply(scores.rows(), n, components(), Block.of(scores), Block.of(weights), 0, Block.of(product));
            return product.getDoubles(0, scores.rows());
        }
    }
}
