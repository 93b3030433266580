// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Random;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;
import org.ejml.interfaces.decomposition.QRDecomposition;

/**
 * The principal components of standardised features, by a randomised subspace iteration with a seeded Gaussian sketch
 * (Halko, Martinsson and Tropp 2011, algorithm 4.4, on X'X) and a final Rayleigh-Ritz step. The training scores Z are
 * orthogonal, so Z'Z is diagonal.
 */
final class PrincipalComponents {
    /** Additional sketch columns, which speed up the convergence of the last components. */
    private static final int OVERSAMPLE = 10;
    /** Components with a smaller share of the largest eigenvalue are rounding noise of a rank-deficient matrix. */
    private static final double RANK_TOLERANCE = 1e-12;

    private final Standardisation standard;
    private final int nFeatures;
    private final int nComponents;
    private final double[] basis; // [F, k]
    private final double[] eigenvalues; // [k]

    /**
     * Reads the training features several times.
     *
     * @param most maximum number of components; fewer if the rank of the features is lower
     * @throws InputException if a feature is not finite, or if all features are constant
     */
    PrincipalComponents(RowSource features, int most, int powerIterations, long seed) {
        standard = new Standardisation(features);
        nFeatures = features.columns();
        int nSketch = Math.min(most + OVERSAMPLE, Math.min(features.rows(), nFeatures));
        double[] sketch = subspace(features, nSketch, powerIterations, seed);
        EigenDecomposition_F64<DMatrixRMaj> eigen = eigen(gram(features, sketch, nSketch), nSketch);
        int[] order = IntStream.range(0, nSketch)
                .boxed()
                .sorted((a, b) -> Double.compare(eigen.getEigenvalue(b).real, eigen.getEigenvalue(a).real))
                .mapToInt(Integer::intValue)
                .toArray();
        nComponents = rank(eigen, order, Math.min(most, nSketch));
        if (nComponents == 0) {
            throw new InputException(
                    "features",
                    "all " + nFeatures + " features are constant over the " + features.rows() + " training images",
                    "Check that the features belong to the images");
        }
        eigenvalues = new double[nComponents];
        double[] rotation = new double[nSketch * nComponents];
        for (int j = 0; j < nComponents; j++) {
            eigenvalues[j] = eigen.getEigenvalue(order[j]).real;
            DMatrixRMaj vector = eigen.getEigenVector(order[j]);
            for (int i = 0; i < nSketch; i++) {
                rotation[i * nComponents + j] = vector.get(i);
            }
        }
        basis = MatrixProducts.multiply(sketch, nFeatures, rotation, nComponents, nSketch);
    }

    /** An orthonormal basis [F, nSketch] near the leading right singular vectors of the standardised features. */
    private double[] subspace(RowSource features, int nSketch, int powerIterations, long seed) {
        double[] q = new double[nFeatures * nSketch];
        Random random = new Random(seed); // The Java API specifies nextGaussian exactly.
        for (int i = 0; i < q.length; i++) {
            q[i] = random.nextGaussian();
        }
        for (int pass = 0; pass <= powerIterations; pass++) {
            double[] sketch = q;
            double[] image = new double[nFeatures * nSketch];
            standard.forEachBlock(
                    features,
                    (first, rows, x) -> MatrixProducts.addTransposed(
                            x, nFeatures, project(x, rows, sketch, nSketch), nSketch, rows, image));
            QRDecomposition<DMatrixRMaj> qr = DecompositionFactory_DDRM.qr(nFeatures, nSketch);
            if (!qr.decompose(DMatrixRMaj.wrap(nFeatures, nSketch, image))) {
                throw new IllegalStateException("the QR decomposition of the sketch failed");
            }
            q = qr.getQ(null, true).data;
        }
        return q;
    }

    /** The Gram matrix [nSketch, nSketch] of the features' projections on the sketch. */
    private double[] gram(RowSource features, double[] sketch, int nSketch) {
        double[] gram = new double[nSketch * nSketch];
        standard.forEachBlock(features, (first, rows, x) -> {
            double[] projected = project(x, rows, sketch, nSketch);
            MatrixProducts.addTransposed(projected, nSketch, projected, nSketch, rows, gram);
        });
        return gram;
    }

    private static EigenDecomposition_F64<DMatrixRMaj> eigen(double[] gram, int n) {
        EigenDecomposition_F64<DMatrixRMaj> eigen = DecompositionFactory_DDRM.eig(n, true, true);
        if (!eigen.decompose(DMatrixRMaj.wrap(n, n, gram))) {
            throw new IllegalStateException(
                    "the eigenvalue decomposition of the features' Gram matrix did not converge");
        }
        return eigen;
    }

    /** The number of eigenvalues, in descending order, that are not rounding noise; {@code most} at most. */
    private static int rank(EigenDecomposition_F64<DMatrixRMaj> eigen, int[] order, int most) {
        double largest = eigen.getEigenvalue(order[0]).real;
        int k = 0;
        while (k < most && eigen.getEigenvalue(order[k]).real > RANK_TOLERANCE * largest) {
            k++;
        }
        return k;
    }

    /** Rows x [rows, F] times b [F, n]. */
    private double[] project(double[] x, int rows, double[] b, int n) {
        return MatrixProducts.multiply(x, rows, b, n, nFeatures);
    }

    /** Number of components. */
    int count() {
        return nComponents;
    }

    /** Number of features. */
    int features() {
        return nFeatures;
    }

    /** Sums of squares of the training scores, in descending order; not to be changed. */
    double[] eigenvalues() {
        return eigenvalues;
    }

    /** Reads features in blocks and runs {@code body} on the scores [rows, count] of each block. */
    void forEachScoreBlock(RowSource features, Standardisation.Body body) {
        standard.forEachBlock(
                features, (first, rows, x) -> body.accept(first, rows, project(x, rows, basis, nComponents)));
    }
}
