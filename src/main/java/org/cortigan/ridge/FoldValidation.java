// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import org.cortigan.eval.Parallel;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.ridge.Blas.Block;
import org.cortigan.ridge.RidgeOptions.Criterion;

/**
 * Exact cross-validation over folds: the errors of all held-out images are one product of an {@link ErrorOperator} and
 * the rotated responses.
 *
 * <p>The operator is computed in double, since (I - H_vv)^-1 has large elements for small penalties. The product runs
 * in float on standardised responses. Its rounding, about 2^-24 times the root of R for each error and independent
 * between images, changes a mean squared error by less than a relative 1e-6, far below the difference between
 * penalties.
 */
record FoldValidation(Eigenbasis basis, double[] lambdas, Folds folds, Criterion criterion) implements CrossValidation {
    @Override
    public void score(Responses.Block block, Rotation rotation, double[][] table) {
        for (int l = 0; l < lambdas.length; l++) {
            double[] row = table[l];
            try (ErrorOperator operator = new ErrorOperator(basis, lambdas[l], folds);
                    Matrix ofRotated = floats(operator.ofRotated())) {
                block.forEachTile((tile, n) -> {
                    double[] y = needsResponses() ? inOrder(block.standardised(tile, n), n) : new double[0];
                    float[] errors = errors(operator, ofRotated, rotation.tiles()[tile], y, n);
                    double[] scores = criterion == Criterion.CORRELATION ? correlation(y, errors, n) : r2(errors, n);
                    System.arraycopy(scores, 0, row, tile * Blas.TILE, n);
                });
            }
        }
    }

    private boolean needsResponses() {
        return !basis.complete() || criterion == Criterion.CORRELATION;
    }

    private static Matrix floats(Matrix m) {
        Matrix single = Matrix.floats(m.rows(), m.columns());
        Parallel.tiles(m.rows(), 1, (row, end) -> single.put(row, Matrix.rounded(m.getDoubles(row, 1))));
        return single;
    }

    /** The rows of y [N, n], fold by fold. */
    private double[] inOrder(double[] y, int n) {
        double[] sorted = new double[y.length];
        for (int i = 0; i < basis.images(); i++) {
            System.arraycopy(y, folds.order()[i] * n, sorted, i * n, n);
        }
        return sorted;
    }

    /** The errors [N, n] of n vertices. */
    private float[] errors(ErrorOperator operator, Matrix ofRotated, float[] rotated, double[] y, int n) {
        try (Matrix b = Matrix.floats(basis.components(), n);
                Matrix errors = Matrix.floats(basis.images(), n)) {
            b.put(0, rotated);
            if (!basis.complete()) {
                putOwnShare(operator, Matrix.rounded(y), n, errors);
            }
            Blas.multiply(
                    basis.images(),
                    n,
                    basis.components(),
                    Block.transposed(ofRotated, 0, 0),
                    Block.of(b),
                    basis.complete() ? 0 : 1,
                    Block.of(errors));
            return errors.getFloats(0, basis.images());
        }
    }

    /** Writes what the errors of each fold owe to its responses directly. */
    private void putOwnShare(ErrorOperator operator, float[] y, int n, Matrix into) {
        for (int fold = 0; fold < folds.count(); fold++) {
            int first = folds.first(fold), m = folds.size(fold);
            float[] own = Arrays.copyOfRange(y, first * n, (first + m) * n);
            float[] factors = Matrix.rounded(operator.ofResponses(fold));
            if (m == 1) {
                for (int i = 0; i < n; i++) {
                    own[i] *= factors[0];
                }
                into.put(first, own);
            } else {
                try (Matrix left = Matrix.floats(m, m);
                        Matrix responses = Matrix.floats(m, n)) {
                    left.put(0, factors);
                    responses.put(0, own);
                    Blas.multiply(m, n, m, Block.of(left), Block.of(responses), 0, Block.of(into, first, 0));
                }
            }
        }
    }

    /** 1 minus the mean of the folds' mean squared errors. */
    private double[] r2(float[] errors, int n) {
        double[] scores = new double[n];
        Arrays.fill(scores, 1);
        for (int fold = 0; fold < folds.count(); fold++) {
            double weight = folds.weight(fold);
            for (int at = folds.first(fold) * n; at < folds.first(fold + 1) * n; at += n) {
                for (int i = 0; i < n; i++) {
                    scores[i] -= weight * errors[at + i] * errors[at + i];
                }
            }
        }
        return scores;
    }

    /** The mean of the folds' r. */
    private double[] correlation(double[] y, float[] errors, int n) {
        double[] scores = new double[n];
        for (int fold = 0; fold < folds.count(); fold++) {
            int at = folds.first(fold) * n;
            double[] predicted = new double[folds.size(fold) * n];
            Arrays.setAll(predicted, i -> y[at + i] - errors[at + i]);
            PearsonAccumulator accumulator = new PearsonAccumulator(n);
            accumulator.add(
                    predicted, Matrix.rounded(Arrays.copyOfRange(y, at, at + predicted.length)), folds.size(fold));
            double[] r = accumulator.r();
            for (int i = 0; i < n; i++) {
                scores[i] += r[i] / folds.count();
            }
        }
        return scores;
    }
}
