// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.List;

/**
 * What expectation maximisation needs of some vertices of a subject, and of the images' coordinates A [N, M].
 *
 * @param gram A'A [M, M], of which the lower triangle is read
 * @param cross mean over the vertices of c c' for c = A'y [M, M], of which steps read the lower triangle and
 *     {@link #squaredError} all; y are standardised responses, whose sum of squares is N
 * @param images number N of images
 * @param vertices number of vertices that are not constant
 */
record PriorMoments(Matrix gram, Matrix cross, int images, int vertices) implements AutoCloseable {
    /** Least share of noise: keeps matrices well conditioned if features explain the responses entirely. */
    private static final double LEAST_NOISE = 1e-4;

    /**
     * One step of expectation maximisation for weights w ~ N(0, covariance) of all vertices and y = A w + noise.
     *
     * @param covariance the prior's [M, M], positive definite; is replaced
     * @param precision the covariance's inverse
     * @param noise variance of each subject's noise; is replaced
     * @param moments those of each subject
     * @param start variance of the isotropic prior that the covariance is shrunk to. It counts as much as M vertices:
     *     the mode under an inverse Wishart prior with M degrees of freedom.
     */
    static void improve(Matrix covariance, Matrix precision, double[] noise, List<PriorMoments> moments, double start) {
        int dimensions = covariance.rows();
        double vertices = dimensions
                + moments.stream().mapToDouble(PriorMoments::vertices).sum();
        covariance.scale(0);
        covariance.addToDiagonal(start * dimensions / vertices);
        for (int s = 0; s < noise.length; s++) {
            PriorMoments own = moments.get(s);
            noise[s] = own.addExpectation(precision, noise[s], own.vertices / vertices, covariance);
        }
    }

    /** The inverse of a covariance. */
    static Matrix inverse(Matrix covariance) {
        Matrix precision = covariance.copyOfRows(0, covariance.rows());
        try {
            Blas.invert(precision);
            return precision;
        } catch (RuntimeException | Error e) {
            precision.close();
            throw e;
        }
    }

    /**
     * Adds the mean over vertices of E[w w'], given their responses, times a factor.
     *
     * @return the variance of the noise that maximises the likelihood
     */
    private double addExpectation(Matrix precision, double noise, double factor, Matrix into) {
        if (vertices == 0) {
            return noise;
        }
        try (Matrix q = posterior(precision, noise);
                Matrix crossQ = Blas.symmetricProduct(cross, q);
                Matrix secondMoment = Blas.product(q, crossQ)) {
            secondMoment.add(noise, q);
            into.add(factor, secondMoment);
            double squares = images - 2 * crossQ.trace() + secondMoment.dotSymmetric(gram);
            return Math.max(LEAST_NOISE, squares / images);
        }
    }

    /** The posterior covariance of a vertex's weights, divided by the noise: times A'y it is the posterior mean. */
    private Matrix posterior(Matrix precision, double noise) {
        Matrix q = Matrix.doubles(gram.rows(), gram.rows());
        try {
            q.add(1, gram);
            q.add(noise, precision);
            Blas.invert(q);
            return q;
        } catch (RuntimeException | Error e) {
            q.close();
            throw e;
        }
    }

    /**
     * The mean over vertices of the sum of squared errors of the responses h to images that these moments lack.
     *
     * @param precision inverse of the prior's covariance [M, M]
     * @param coordinates of these images [n, M]
     * @param heldOut mean over the vertices of h c' [n, M]
     */
    double squaredError(Matrix precision, double noise, Matrix coordinates, Matrix heldOut) {
        try (Matrix q = posterior(precision, noise);
                Matrix hat = Blas.product(coordinates, q);
                Matrix crossHat = Blas.productWithTransposed(hat, cross)) {
            return coordinates.rows() - 2 * hat.dot(heldOut) + hat.dot(crossHat);
        }
    }

    @Override
    public void close() {
        gram.close();
        cross.close();
    }
}
