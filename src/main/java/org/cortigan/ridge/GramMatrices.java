// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.eval.Parallel;

/**
 * The training images' features X [N, F] and what all weightings of their bands share: the kernel X_b X_b' [N, N] of
 * each band (the dual form), or if there are fewer features than images, X'X [F, F] (the primal form). Both have the
 * same eigenvalues; the smaller one is decomposed.
 */
final class GramMatrices implements AutoCloseable {
    /** Components with a smaller share of the largest eigenvalue are rounding noise of a rank-deficient matrix. */
    private static final double RANK_TOLERANCE = 1e-12;

    private final Features features;
    private final Matrix x; // [N, F]
    private final boolean dual;
    private final List<Matrix> grams = new ArrayList<>(); // one a band, or X'X alone; only lower triangles

    GramMatrices(Features features, Matrix x) {
        this.features = features;
        this.x = x;
        dual = x.rows() <= x.columns();
        if (dual) {
            for (int b = 0; b < features.bands(); b++) {
                grams.add(Blas.gramOfRows(x, features.firstColumn(b), features.columns(b)));
            }
        } else {
            grams.add(Blas.gramOfColumns(x));
        }
    }

    /**
     * The eigenvectors of the kernel that is the bands' kernels in a weighted sum.
     *
     * @param bandWeights [bands]
     * @param most number of principal components to keep; 0 for all
     * @throws InputException if all features are constant
     */
    Eigenbasis eigenbasis(double[] bandWeights, int most) {
        try (Matrix q = dual ? weightedSum(bandWeights) : scaled(bandWeights)) {
            double[] d = Blas.eigenvectors(q);
            int rank = rank(d);
            boolean complete = dual && most == 0;
            int kept = complete ? d.length : most == 0 ? rank : Math.min(most, rank);
            int first = d.length - kept;
            double[] eigenvalues = new double[kept];
            for (int j = 0; j < kept; j++) {
                eigenvalues[j] = first + j < d.length - rank ? 0 : d[first + j];
            }
            return dual
                    ? fromKernel(q, first, eigenvalues, bandWeights, complete)
                    : fromFeatures(q, first, eigenvalues, bandWeights);
        }
    }

    private int rank(double[] ascending) {
        return rank(ascending, RANK_TOLERANCE, x);
    }

    /**
     * The number of eigenvalues above a share of the largest.
     *
     * @param ascending the eigenvalues
     * @param x centred features [N, F], for the message
     * @throws InputException if there are none
     */
    static int rank(double[] ascending, double tolerance, Matrix x) {
        double largest = ascending[ascending.length - 1];
        int rank = 0;
        while (rank < ascending.length && ascending[ascending.length - 1 - rank] > tolerance * largest) {
            rank++;
        }
        if (rank == 0) {
            throw new InputException(
                    "features",
                    "all " + x.columns() + " features are constant over the " + x.rows() + " training images",
                    "Check that the features belong to the images");
        }
        return rank;
    }

    /** For eigenvectors u of the kernel, the rows of {@code q}, the projection has rows u' X / root of d. */
    private Eigenbasis fromKernel(Matrix q, int first, double[] eigenvalues, double[] bandWeights, boolean complete) {
        Matrix vectors = q.copyOfRows(first, eigenvalues.length);
        double[] scale = new double[eigenvalues.length];
        for (int j = 0; j < scale.length; j++) {
            scale[j] = eigenvalues[j] > 0 ? 1 / Math.sqrt(eigenvalues[j]) : 0;
        }
        try (Matrix projection = Blas.product(vectors, x)) {
            projection.scaleRows(scale);
            return new Eigenbasis(eigenvalues, vectors, floats(projection, ofFeatures(bandWeights)), complete);
        }
    }

    /** For eigenvectors q of X'X, the rows of {@code q}, the kernel has the eigenvectors X q / root of d. */
    private Eigenbasis fromFeatures(Matrix q, int first, double[] eigenvalues, double[] bandWeights) {
        try (Matrix kept = q.copyOfRows(first, eigenvalues.length)) {
            kept.scaleColumns(roots(ofFeatures(bandWeights)));
            Matrix vectors = Blas.productWithTransposed(kept, x);
            vectors.scaleRows(
                    Arrays.stream(eigenvalues).map(d -> 1 / Math.sqrt(d)).toArray());
            return new Eigenbasis(eigenvalues, vectors, floats(kept, ones(x.columns())), false);
        }
    }

    /** The sum of the bands' kernels. */
    private Matrix weightedSum(double[] bandWeights) {
        Matrix sum = Matrix.doubles(x.rows(), x.rows());
        sum.forEachRow((row, values) -> {
            for (int b = 0; b < bandWeights.length; b++) {
                double[] kernel = grams.get(b).getDoubles(row, 1);
                for (int i = 0; i < values.length; i++) {
                    values[i] += bandWeights[b] * kernel[i];
                }
            }
        });
        return sum;
    }

    /** X'X for features that are multiplied by the roots of their bands' weights. */
    private Matrix scaled(double[] bandWeights) {
        double[] roots = roots(ofFeatures(bandWeights));
        Matrix gram = grams.get(0).copyOfRows(0, x.columns());
        gram.scaleRows(roots);
        gram.scaleColumns(roots);
        return gram;
    }

    /** The weight of each feature [F]. */
    private double[] ofFeatures(double[] bandWeights) {
        double[] weights = new double[x.columns()];
        for (int b = 0; b < bandWeights.length; b++) {
            int from = features.firstColumn(b);
            Arrays.fill(weights, from, from + features.columns(b), bandWeights[b]);
        }
        return weights;
    }

    private static double[] roots(double[] values) {
        return Arrays.stream(values).map(Math::sqrt).toArray();
    }

    private static double[] ones(int n) {
        double[] ones = new double[n];
        Arrays.fill(ones, 1);
        return ones;
    }

    /** The matrix as floats, with scaled columns. */
    private static float[][] floats(Matrix m, double[] columnScale) {
        float[][] rows = new float[m.rows()][m.columns()];
        Parallel.tiles(m.rows(), 1, (row, end) -> {
            double[] values = m.getDoubles(row, 1);
            for (int i = 0; i < values.length; i++) {
                rows[row][i] = (float) (values[i] * columnScale[i]);
            }
        });
        return rows;
    }

    @Override
    public void close() {
        grams.forEach(Matrix::close);
    }
}
