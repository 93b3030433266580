// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import org.cortigan.eval.Parallel;
import org.cortigan.ridge.Blas.Block;

/**
 * Maps rotated responses to the errors of all held-out images for one penalty; see {@link FoldValidation}. Images are
 * in the order of the folds.
 */
final class ErrorOperator implements AutoCloseable {
    private final Folds folds;
    private final boolean complete;
    private final Matrix ofRotated; // [R, N], floats
    private final float[][] ofResponses; // (I - H_vv)^-1 of each fold

    ErrorOperator(Eigenbasis basis, double lambda, Folds folds) {
        this.folds = folds;
        complete = basis.complete();
        ofRotated = Matrix.floats(basis.components(), basis.images());
        ofResponses = new float[folds.count()][];
        double[] shares = basis.residualShares(lambda);
        // I - H is U' s U - 1/N in a complete basis, else I - U' (1 - s) U - 1/N.
        double[] factors = complete
                ? shares
                : Arrays.stream(shares).map(share -> share - 1).toArray();
        try (Matrix u = Matrix.doubles(basis.components(), basis.images());
                Matrix scaled = Matrix.doubles(basis.components(), basis.images())) {
            Parallel.tiles(basis.components(), 1, (j, end) -> {
                double[] vector = basis.vectors().getDoubles(j, 1);
                double[] sorted =
                        Arrays.stream(folds.order()).mapToDouble(i -> vector[i]).toArray();
                u.put(j, sorted, sorted.length);
                Arrays.setAll(sorted, i -> factors[j] * sorted[i]);
                scaled.put(j, sorted, sorted.length);
            });
            if (folds.count() == folds.images()) {
                leaveOneOut(u, scaled);
            } else {
                Parallel.tiles(folds.count(), 1, (fold, end) -> leaveOut(fold, u, scaled));
            }
        } catch (RuntimeException e) {
            ofRotated.close();
            throw e;
        }
    }

    /** Identity minus hat matrix has this on the diagonal besides what the eigenbasis contributes. */
    private double diagonal() {
        return complete ? 0 : 1;
    }

    /** The folds have one image each, so that (I - H_vv)^-1 is a number. */
    private void leaveOneOut(Matrix u, Matrix scaled) {
        int n = folds.images();
        double[] left = new double[n];
        Arrays.fill(left, diagonal() - 1.0 / n);
        for (int j = 0; j < u.rows(); j++) {
            double[] a = u.getDoubles(j, 1), b = scaled.getDoubles(j, 1);
            for (int i = 0; i < n; i++) {
                left[i] += a[i] * b[i];
            }
        }
        Arrays.setAll(ofResponses, i -> new float[] {(float) (1 / left[i])});
        Parallel.tiles(u.rows(), 1, (j, end) -> {
            double[] row = scaled.getDoubles(j, 1);
            float[] single = new float[n];
            for (int i = 0; i < n; i++) {
                single[i] = (float) (row[i] / left[i]);
            }
            ofRotated.put(j, single, n);
        });
    }

    private void leaveOut(int fold, Matrix u, Matrix scaled) {
        int at = folds.first(fold), m = folds.size(fold), r = u.rows();
        try (Matrix left = Matrix.doubles(m, m);
                Matrix product = Matrix.doubles(r, m)) {
            Blas.multiply(m, m, r, Block.transposed(u, 0, at), Block.of(scaled, 0, at), 0, Block.of(left));
            double[] values = left.getDoubles(0, m);
            for (int i = 0; i < m; i++) {
                values[i * m + i] += diagonal();
                for (int j = 0; j < m; j++) {
                    values[i * m + j] -= 1.0 / folds.images();
                }
            }
            left.put(0, values, values.length);
            Blas.invert(left);
            Blas.multiply(r, m, m, Block.of(scaled, 0, at), Block.of(left), 0, Block.of(product));
            ofResponses[fold] = floats(left.getDoubles(0, m));
            for (int j = 0; j < r; j++) {
                ofRotated.put(j, at, floats(product.getDoubles(j, 1)));
            }
        }
    }

    private static float[] floats(double[] x) {
        float[] single = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            single[i] = (float) x[i];
        }
        return single;
    }

    /**
     * The errors [N, n] of n vertices.
     *
     * @param rotated [R, n]
     * @param y responses [N, n] in the order of the folds
     */
    float[] errors(float[] rotated, double[] y, int n) {
        try (Matrix b = Matrix.floats(ofRotated.rows(), n);
                Matrix errors = Matrix.floats(folds.images(), n)) {
            b.put(0, rotated, rotated.length);
            if (!complete) {
                ofResponses(floats(y), n, errors);
            }
            Blas.multiply(
                    folds.images(),
                    n,
                    ofRotated.rows(),
                    Block.transposed(ofRotated, 0, 0),
                    Block.of(b),
                    complete ? 0 : 1,
                    Block.of(errors));
            return errors.getFloats(0, folds.images());
        }
    }

    private void ofResponses(float[] y, int n, Matrix into) {
        for (int fold = 0; fold < folds.count(); fold++) {
            int first = folds.first(fold), m = folds.size(fold);
            float[] own = Arrays.copyOfRange(y, first * n, (first + m) * n);
            if (m == 1) {
                for (int i = 0; i < n; i++) {
                    own[i] *= ofResponses[fold][0];
                }
                into.put(first, own, n);
            } else {
                try (Matrix left = Matrix.floats(m, m);
                        Matrix responses = Matrix.floats(m, n)) {
                    left.put(0, ofResponses[fold], m * m);
                    responses.put(0, own, m * n);
                    Blas.multiply(m, n, m, Block.of(left), Block.of(responses), 0, Block.of(into, first, 0));
                }
            }
        }
    }

    @Override
    public void close() {
        ofRotated.close();
    }
}
