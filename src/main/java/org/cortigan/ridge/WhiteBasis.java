// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

/**
 * Directions along which a Gaussian prior of weights is white and the images' coordinates A [N, M] are not correlated.
 *
 * @param eigenvalues sum over the images of the squared coordinate along each direction [M], ascending: the variance
 *     that the direction gives to predictions under the prior, times N
 * @param rows the directions [M, M], a row for each eigenvalue; a white vector times the rows has the prior's
 *     covariance
 */
record WhiteBasis(double[] eigenvalues, Matrix rows) implements AutoCloseable {
    /**
     * @param gram A'A [M, M], of which the lower triangle is read
     * @param covariance the prior's [M, M], positive definite, of which the lower triangle is read
     */
    static WhiteBasis of(Matrix gram, Matrix covariance) {
        try (Matrix root = covariance.copyOfRows(0, covariance.rows())) {
            Blas.cholesky(root);
            try (Matrix gramRoot = Blas.symmetricProduct(gram, root);
                    Matrix white = Blas.transposedProduct(root, gramRoot)) {
                double[] eigenvalues = Blas.eigenvectors(white);
                return new WhiteBasis(eigenvalues, Blas.productWithTransposed(white, root));
            }
        }
    }

    @Override
    public void close() {
        rows.close();
    }
}
