// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.function.IntToDoubleFunction;
import org.cortigan.eval.Parallel;

/**
 * The mean of {@link FoldValidation}'s squared errors over all vertices of a block, for a complete basis. The errors of
 * rotated responses B are M B for the same operator M, so the sum of their squares over vertices needs no more than B
 * B' [R, R], once for all penalties. Every vertex of the block receives the mean score.
 *
 * @param vertexWeight weight of a vertex in the mean
 */
record SharedFoldValidation(Eigenbasis basis, double[] lambdas, Folds folds, IntToDoubleFunction vertexWeight)
        implements CrossValidation {
    /** Tiles of vertices that are converted to double at a time. */
    private static final int TILES = 16;

    @Override
    public void score(Responses.Block block, Rotation rotation, double[][] table) {
        int firstTile = block.firstTile(), endTile = firstTile + block.tiles();
        try (Matrix gram = Matrix.doubles(basis.components(), basis.components())) {
            for (int tile = firstTile; tile < endTile; tile += TILES) {
                addGram(rotation, tile, Math.min(endTile, tile + TILES), gram);
            }
            int first = firstTile * Blas.TILE, end = first + block.vertices();
            double weights = Arrays.stream(rotation.vertices(), first, end)
                    .mapToDouble(vertexWeight::applyAsDouble)
                    .sum();
            for (int l = 0; l < lambdas.length; l++) {
                double error = weights > 0 ? squaredError(lambdas[l], gram) / weights : 0;
                Arrays.fill(table[l], first, end, 1 - error);
            }
        }
    }

    /** Adds B W B' of some tiles, where W has the vertices' weights. */
    private void addGram(Rotation rotation, int firstTile, int endTile, Matrix gram) {
        try (Matrix b = Matrix.doubles(basis.components(), (endTile - firstTile) * Blas.TILE)) {
            Parallel.tiles(endTile - firstTile, 1, (i, end) -> {
                float[] tile = rotation.tiles()[firstTile + i];
                int n = tile.length / basis.components();
                double[] row = new double[n];
                for (int j = 0; j < basis.components(); j++) {
                    for (int v = 0; v < n; v++) {
                        int vertex = rotation.vertices()[(firstTile + i) * Blas.TILE + v];
                        row[v] = Math.sqrt(vertexWeight.applyAsDouble(vertex)) * tile[j * n + v];
                    }
                    b.put(j, i * Blas.TILE, row);
                }
            });
            Blas.addGramOfRows(b, 0, b.columns(), gram);
        }
    }

    /** The sum over vertices of the mean of the folds' mean squared errors: the weighted trace of M B B' M'. */
    private double squaredError(double lambda, Matrix gram) {
        double[] imageWeight = new double[folds.images()];
        for (int fold = 0; fold < folds.count(); fold++) {
            Arrays.fill(imageWeight, folds.first(fold), folds.first(fold + 1), folds.weight(fold));
        }
        double sum = 0;
        try (ErrorOperator operator = new ErrorOperator(basis, lambda, folds);
                Matrix product = Blas.symmetricProduct(gram, operator.ofRotated())) {
            for (int j = 0; j < basis.components(); j++) {
                double[] a = operator.ofRotated().getDoubles(j, 1), b = product.getDoubles(j, 1);
                for (int i = 0; i < a.length; i++) {
                    sum += imageWeight[i] * a[i] * b[i];
                }
            }
        }
        return sum;
    }
}
