// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import org.cortigan.eval.Parallel;
import org.cortigan.ridge.Blas.Block;

/**
 * Maps rotated responses to the errors of all held-out images for one penalty, without fitting any fold. A ridge
 * regression on the images outside fold v has the errors (I - H_vv)^-1 e_v, where e are the residuals of the fit on all
 * images and H is its hat matrix with the intercept. In an eigenbasis U [R, N], with the shares s = lambda / (d +
 * lambda) of the residual, e = U' s U y if the basis is complete, else e = y - U' (1 - s) U y. Images are in the order
 * of the folds.
 */
final class ErrorOperator implements AutoCloseable {
    private final Folds folds;
    private final boolean complete;
    private final Matrix ofRotated; // [R, N]; the errors are its transpose times the rotated responses
    private final double[][] ofResponses; // (I - H_vv)^-1 of each fold; plus these times y if the basis is incomplete

    ErrorOperator(Eigenbasis basis, double lambda, Folds folds) {
        this.folds = folds;
        complete = basis.complete();
        ofRotated = Matrix.doubles(basis.components(), basis.images());
        ofResponses = new double[folds.count()][];
        double[] shares = basis.residualShares(lambda);
        // I - H is U' s U - 1/N in a complete basis, else I - U' (1 - s) U - 1/N.
        double[] factors = complete
                ? shares
                : Arrays.stream(shares).map(share -> share - 1).toArray();
        try (Matrix u = Matrix.doubles(basis.components(), basis.images())) {
            Parallel.tiles(basis.components(), 1, (j, end) -> {
                double[] vector = basis.vectors().getDoubles(j, 1);
                double[] sorted =
                        Arrays.stream(folds.order()).mapToDouble(i -> vector[i]).toArray();
                u.put(j, sorted);
                Arrays.setAll(sorted, i -> factors[j] * sorted[i]);
                ofRotated.put(j, sorted);
            });
            if (folds.count() == folds.images()) {
                leaveOneOut(u);
            } else {
                Parallel.tiles(folds.count(), 1, (fold, end) -> leaveOut(fold, u));
            }
        } catch (RuntimeException e) {
            ofRotated.close();
            throw e;
        }
    }

    /** What I - H has on its diagonal besides the eigenbasis' part. */
    private double diagonal() {
        return complete ? 0 : 1;
    }

    /** The folds have one image each, so that (I - H_vv)^-1 is a number. */
    private void leaveOneOut(Matrix u) {
        int n = folds.images();
        double[] left = new double[n];
        Arrays.fill(left, diagonal() - 1.0 / n);
        for (int j = 0; j < u.rows(); j++) {
            double[] a = u.getDoubles(j, 1), b = ofRotated.getDoubles(j, 1);
            for (int i = 0; i < n; i++) {
                left[i] += a[i] * b[i];
            }
        }
        Arrays.setAll(ofResponses, i -> new double[] {1 / left[i]});
        Parallel.tiles(u.rows(), 1, (j, end) -> {
            double[] row = ofRotated.getDoubles(j, 1);
            Arrays.setAll(row, i -> row[i] / left[i]);
            ofRotated.put(j, row);
        });
    }

    private void leaveOut(int fold, Matrix u) {
        int at = folds.first(fold), m = folds.size(fold), r = u.rows();
        try (Matrix left = Matrix.doubles(m, m);
                Matrix product = Matrix.doubles(r, m)) {
            Blas.multiply(m, m, r, Block.transposed(u, 0, at), Block.of(ofRotated, 0, at), 0, Block.of(left));
            double[] values = left.getDoubles(0, m);
            for (int i = 0; i < m; i++) {
                values[i * m + i] += diagonal();
                for (int j = 0; j < m; j++) {
                    values[i * m + j] -= 1.0 / folds.images();
                }
            }
            left.put(0, values);
            Blas.invert(left);
            Blas.multiply(r, m, m, Block.of(ofRotated, 0, at), Block.of(left), 0, Block.of(product));
            ofResponses[fold] = left.getDoubles(0, m);
            for (int j = 0; j < r; j++) {
                ofRotated.put(j, at, product.getDoubles(j, 1));
            }
        }
    }

    /** The operator on rotated responses [R, N]. */
    Matrix ofRotated() {
        return ofRotated;
    }

    /** The operator on the responses of a fold, for an incomplete basis. */
    double[] ofResponses(int fold) {
        return ofResponses[fold];
    }

    @Override
    public void close() {
        ofRotated.close();
    }
}
