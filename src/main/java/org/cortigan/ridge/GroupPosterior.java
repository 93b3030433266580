// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import org.cortigan.eval.Parallel;
import org.cortigan.ridge.Blas.Block;

/**
 * The weights of the vertices of a group, given the group's prior and noise. A vertex averages over the ratio lambda of
 * its noise to its prior's scale: each lambda counts with the evidence that the vertex's responses give it (Bayesian
 * model averaging), where the vertex's own variance is integrated out, and with the share of the group's vertices that
 * favour it.
 */
final class GroupPosterior implements AutoCloseable {
    private static final double[] LAMBDAS = {0x1p-3, 0x1p-2, 0x1p-1, 1, 2, 4, 8, 16, 32}; // multiples of the noise

    /** Rounds in which the shares of the lambdas settle, and the least share. */
    private static final int ROUNDS = 3;

    private static final double LEAST_SHARE = 1e-4;

    private final int images;
    private final double[] eigenvalues; // [R], those of the white basis
    private final Matrix basis; // [R, R], its rows
    private final double[][] gains; // [lambdas][R]: 1 / (eigenvalue + lambda)
    private final double[] logVolumes; // [lambdas]: sum of log(1 + eigenvalue / lambda)

    /**
     * @param gram A'A [R, R], of which the lower triangle is read
     * @param covariance the prior's [R, R], of which the lower triangle is read
     * @param noise variance of the noise
     * @param images number N of images
     */
    GroupPosterior(Matrix gram, Matrix covariance, double noise, int images) {
        this.images = images;
        gains = new double[LAMBDAS.length][gram.rows()];
        logVolumes = new double[LAMBDAS.length];
        WhiteBasis white = WhiteBasis.of(gram, covariance);
        eigenvalues = white.eigenvalues();
        basis = white.rows();
        computeGains(eigenvalues, noise, gains, logVolumes);
    }

    private static void computeGains(double[] eigenvalues, double noise, double[][] gains, double[] logVolumes) {
        for (int l = 0; l < LAMBDAS.length; l++) {
            double lambda = LAMBDAS[l] * noise;
            for (int j = 0; j < eigenvalues.length; j++) {
                double d = Math.max(0, eigenvalues[j]);
                gains[l][j] = 1 / (d + lambda);
                logVolumes[l] += Math.log1p(d / lambda);
            }
        }
    }

    /** Takes the weights [n, R] of consecutive vertices. */
    @FunctionalInterface
    interface Consumer {
        void accept(int first, int n, double[] weights);
    }

    /**
     * Computes the posterior means of the weights.
     *
     * @param cross A'y [R, all vertices] for standardised responses y
     * @param from first vertex of the group
     * @param to end of the group
     */
    void weights(Matrix cross, int from, int to, Consumer consumer) {
        double[][] evidence = new double[to - from][LAMBDAS.length];
        forEachTile(from, to, (first, n) -> {
            double[] rotated = rotated(cross, first, n);
            for (int i = 0; i < n; i++) {
                evidence[first - from + i] = logEvidence(rotated, i, n);
            }
        });
        double[][] shares = shares(evidence);
        forEachTile(from, to, (first, n) -> {
            double[] rotated = rotated(cross, first, n); // Cheaper to repeat than to keep for all vertices.
            average(rotated, n, shares, first - from);
            consumer.accept(first, n, weights(rotated, n));
        });
    }

    @FunctionalInterface
    private interface TileBody {
        void accept(int first, int n);
    }

    private static void forEachTile(int from, int to, TileBody body) {
        Parallel.tiles(to - from, Blas.TILE, (a, b) -> body.accept(from + a, b - a));
    }

    /** Basis times A'y of n vertices [R, n]. */
    private double[] rotated(Matrix cross, int first, int n) {
        try (Matrix z = Matrix.doubles(basis.rows(), n)) {
            Blas.multiply(basis.rows(), n, basis.columns(), Block.of(basis), Block.of(cross, 0, first), 0, Block.of(z));
            return z.getDoubles(0, basis.rows());
        }
    }

    /** The logarithm of each lambda's evidence for vertex {@code i} of a tile, up to a constant. */
    private double[] logEvidence(double[] rotated, int i, int n) {
        double[] evidence = new double[LAMBDAS.length];
        for (int l = 0; l < LAMBDAS.length; l++) {
            double squares = images;
            for (int j = 0; j < eigenvalues.length; j++) {
                double z = rotated[j * n + i];
                squares -= z * z * gains[l][j];
            }
            double positive = Math.max(squares, 1e-12 * images);
            evidence[l] = -0.5 * ((images - 1) * Math.log(positive) + logVolumes[l]);
        }
        return evidence;
    }

    /** For each vertex the posterior share of each lambda, under a prior that is the group's mean share. */
    private static double[][] shares(double[][] evidence) {
        double[] logPrior = new double[LAMBDAS.length];
        double[][] shares = new double[evidence.length][];
        for (int round = 0; round < ROUNDS; round++) {
            double[] mean = new double[LAMBDAS.length];
            for (int v = 0; v < shares.length; v++) {
                shares[v] = softmax(evidence[v], logPrior);
                for (int l = 0; l < mean.length; l++) {
                    mean[l] += shares[v][l] / shares.length;
                }
            }
            Arrays.setAll(logPrior, l -> Math.log(mean[l] + LEAST_SHARE));
        }
        return shares;
    }

    private static double[] softmax(double[] evidence, double[] logPrior) {
        double[] shares = new double[evidence.length];
        Arrays.setAll(shares, l -> evidence[l] + logPrior[l]);
        double largest = Arrays.stream(shares).max().orElseThrow();
        Arrays.setAll(shares, l -> Math.exp(shares[l] - largest));
        double sum = Arrays.stream(shares).sum();
        Arrays.setAll(shares, l -> shares[l] / sum);
        return shares;
    }

    /** Replaces rotated responses [R, n] by the posterior mean in the same coordinates. */
    private void average(double[] rotated, int n, double[][] shares, int firstVertex) {
        for (int j = 0; j < eigenvalues.length; j++) {
            for (int i = 0; i < n; i++) {
                double gain = 0;
                for (int l = 0; l < LAMBDAS.length; l++) {
                    gain += shares[firstVertex + i][l] * gains[l][j];
                }
                rotated[j * n + i] *= gain;
            }
        }
    }

    /** The weights [n, R] from whitened weights [R, n]. */
    private double[] weights(double[] white, int n) {
        try (Matrix w = Matrix.doubles(basis.rows(), n);
                Matrix product = Matrix.doubles(n, basis.columns())) {
            w.put(0, white);
            Blas.multiply(
                    n, basis.columns(), basis.rows(), Block.transposed(w, 0, 0), Block.of(basis), 0, Block.of(product));
            return product.getDoubles(0, n);
        }
    }

    @Override
    public void close() {
        basis.close();
    }
}
