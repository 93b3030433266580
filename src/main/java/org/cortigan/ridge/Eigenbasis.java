// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

/**
 * The eigenvectors of the kernel X X' of scaled features, in which a ridge regression for any penalty is one division a
 * component.
 *
 * @param eigenvalues [R] of the kernel, in ascending order; 0 for the directions without features
 * @param vectors [R, N], orthonormal rows
 * @param projection [R, F]: the scaled features of an image, multiplied by this, give its scores, the training images'
 *     scores being the vectors times the roots of the eigenvalues
 * @param complete whether the vectors span the space of all N images
 */
record Eigenbasis(double[] eigenvalues, Matrix vectors, float[][] projection, boolean complete)
        implements AutoCloseable {
    /** Number R of components. */
    int components() {
        return eigenvalues.length;
    }

    /** Number N of training images. */
    int images() {
        return vectors.columns();
    }

    /** Mean of the positive eigenvalues. */
    double meanEigenvalue() {
        double sum = 0;
        int positive = 0;
        for (double d : eigenvalues) {
            sum += d;
            positive += d > 0 ? 1 : 0;
        }
        return sum / positive;
    }

    /** What a penalty leaves of each component in the residual: lambda / (d + lambda) [R]. */
    double[] residualShares(double lambda) {
        double[] shares = new double[components()];
        for (int j = 0; j < shares.length; j++) {
            shares[j] = lambda / (eigenvalues[j] + lambda);
        }
        return shares;
    }

    @Override
    public void close() {
        vectors.close();
    }
}
