// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import org.cortigan.ridge.RidgeOptions.Criterion;

/**
 * Exact cross-validation over folds without fitting any fold. A ridge regression on the images outside fold v has the
 * errors (I - H_vv)^-1 e_v, where e are the residuals of the fit on all images and H is its hat matrix with the
 * intercept. In an eigenbasis U [R, N], with the shares s = lambda / (d + lambda) of the residual, e = U' s U y if the
 * basis is complete, else e = y - U' (1 - s) U y. So the errors of all folds are one product of the rotated responses
 * and a matrix that is the same for all vertices.
 *
 * <p>That matrix is computed in double, since (I - H_vv)^-1 has large elements for small penalties. The product runs in
 * float on standardised responses: its rounding changes a mean squared error by a relative 1e-7 times the root of R / N
 * or less, far below the difference between penalties.
 */
final class FoldValidation implements CrossValidation {
    private final Eigenbasis basis;
    private final double[] lambdas;
    private final Folds folds;
    private final Criterion criterion;

    FoldValidation(Eigenbasis basis, double[] lambdas, Folds folds, Criterion criterion) {
        this.basis = basis;
        this.lambdas = lambdas;
        this.folds = folds;
        this.criterion = criterion;
    }

    private int images() {
        return basis.images();
    }

    @Override
    public void score(Responses.Block block, Rotation rotation, double[][] table) {
        for (int l = 0; l < lambdas.length; l++) {
            double[] row = table[l];
            try (ErrorOperator operator = new ErrorOperator(basis, lambdas[l], folds)) {
                block.forEachTile((tile, n) -> {
                    double[] y = needsResponses() ? inOrder(block.standardised(tile, n), n) : new double[0];
                    float[] errors = operator.errors(rotation.tiles()[tile], y, n);
                    double[] scores = criterion == Criterion.CORRELATION ? correlation(y, errors, n) : r2(errors, n);
                    System.arraycopy(scores, 0, row, tile * Blas.TILE, n);
                });
            }
        }
    }

    private boolean needsResponses() {
        return !basis.complete() || criterion == Criterion.CORRELATION;
    }

    /** The rows of y [N, n], fold by fold. */
    private double[] inOrder(double[] y, int n) {
        double[] sorted = new double[y.length];
        for (int i = 0; i < images(); i++) {
            System.arraycopy(y, folds.order()[i] * n, sorted, i * n, n);
        }
        return sorted;
    }

    /** 1 minus the mean of the folds' mean squared errors. */
    private double[] r2(float[] errors, int n) {
        double[] scores = new double[n];
        Arrays.fill(scores, 1);
        for (int fold = 0; fold < folds.count(); fold++) {
            double weight = 1.0 / folds.count() / folds.size(fold);
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
            double[] r = Correlation.of(y, errors, folds.first(fold), folds.first(fold + 1), n);
            for (int i = 0; i < n; i++) {
                scores[i] += r[i] / folds.count();
            }
        }
        return scores;
    }
}
