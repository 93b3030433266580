// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;

/**
 * Generalised cross-validation: the mean squared error of held-out images is N RSS / (N - degrees of freedom)^2, where
 * the intercept takes one degree (Golub, Heath and Wahba 1979). In an eigenbasis it needs no more than the squares of
 * the rotated responses.
 */
record GeneralisedCrossValidation(Eigenbasis basis, double[] lambdas) implements CrossValidation {
    @Override
    public void score(Responses.Block block, Rotation rotation, double[][] table) {
        block.forEachTile((tile, n) -> {
            int first = tile * Blas.TILE;
            double[] squares = squares(rotation.tiles()[tile]);
            for (int l = 0; l < lambdas.length; l++) {
                double[] shares = basis.residualShares(lambdas[l]);
                double[] residual = Arrays.copyOfRange(rotation.unexplained(), first, first + n);
                addResidualSquares(squares, shares, residual);
                double free = basis.images()
                        - 1
                        - basis.components()
                        + Arrays.stream(shares).sum();
                for (int i = 0; i < n; i++) {
                    table[l][first + i] = 1 - basis.images() * (residual[i] / free / free);
                }
            }
        });
    }

    private static double[] squares(float[] b) {
        double[] squares = new double[b.length];
        for (int i = 0; i < b.length; i++) {
            squares[i] = (double) b[i] * b[i];
        }
        return squares;
    }

    private static void addResidualSquares(double[] squares, double[] shares, double[] residual) {
        int n = residual.length;
        for (int j = 0; j < shares.length; j++) {
            double factor = shares[j] * shares[j];
            for (int i = 0; i < n; i++) {
                residual[i] += factor * squares[j * n + i];
            }
        }
    }
}
