// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * The standard baseline of the field: features -> standardisation -> PCA -> ridge regression for each vertex.
 *
 * <p>Standardisation uses the mean and standard deviation of the training images; constant features drop out. The
 * principal components come from a randomised subspace iteration with a seeded Gaussian sketch (Halko, Martinsson and
 * Tropp 2011, algorithm 4.4, on X'X) and a final Rayleigh-Ritz step, so that the training scores Z are orthogonal and
 * Z'Z is diagonal. The ridge problem min |y - mean - Z w|^2 + lambda |w|^2 then splits into one division per component,
 * and generalised cross-validation (Golub, Heath and Wahba 1979) of the whole lambda grid is cheap.
 *
 * <p>Features and targets are read in blocks of rows. Memory: about 40 bytes * components * (features + vertices) plus
 * 8 bytes * images * components. Sums run in double in a fixed order, so that equal input and seed give equal bits on
 * any number of threads. A fitted instance is immutable and thread-safe.
 */
public final class RidgeBaseline {
    private static final int TILE = 512;

    /**
     * Options of the fit.
     *
     * @param components maximum number of principal components; fewer if the rank of the features is lower
     * @param lambdas penalties to choose from, each above 0, in units of the scores' sum of squares; null for 25
     *     logarithmic steps from 1e-4 to 1e4 times the mean sum of squares of a component. One value fixes lambda.
     * @param powerIterations steps of the subspace iteration; 6 are enough for the leading components of natural-image
     *     features
     * @param seed seed of the Gaussian sketch
     */
    public record Options(int components, double @Nullable [] lambdas, int powerIterations, long seed) {
        public Options {
            if (components < 1 || powerIterations < 0) {
                throw new IllegalArgumentException("components must be at least 1 and powerIterations at least 0, not "
                        + components + " and " + powerIterations);
            }
            if (lambdas != null
                    && (lambdas.length == 0
                            || !Arrays.stream(lambdas).allMatch(l -> l > 0 && l < Double.POSITIVE_INFINITY))) {
                throw new IllegalArgumentException(
                        "lambdas must be finite and above 0, not " + Arrays.toString(lambdas));
            }
        }

        /** 100 components, the default grid, 6 power iterations, seed 0. */
        public static Options defaults() {
            return new Options(100, null, 6, 0);
        }

        /** These options with another number of components. */
        public Options withComponents(int n) {
            return new Options(n, lambdas, powerIterations, seed);
        }
    }

    private final int nFeatures;
    private final int nVertices;
    private final int nComponents;
    private final int nTrainingImages;
    private final PrincipalComponents components;
    private final double[] eigenvalues; // [k], those of the components
    private final double[] intercept; // [V]
    private final double[] weights; // [k, V]
    private final double[] lambda; // [V]

    private RidgeBaseline(PrincipalComponents components, int nTrainingImages, int nVertices) {
        this.components = components;
        this.nTrainingImages = nTrainingImages;
        this.nVertices = nVertices;
        nFeatures = components.features();
        nComponents = components.count();
        eigenvalues = components.eigenvalues();
        intercept = new double[nVertices];
        weights = new double[Math.multiplyExact(nComponents, nVertices)];
        lambda = new double[nVertices];
    }

    /**
     * Fits all vertices.
     *
     * @param features training features [N, F], read several times
     * @param targets training responses [N, V], read once
     * @throws InputException if features and targets have different numbers of images, or fewer than 3, or if a value
     *     is not finite (the message names row and column)
     */
    public static RidgeBaseline fit(RowSource features, RowSource targets, Options options) {
        if (features.rows() != targets.rows() || features.rows() < 3) {
            throw new InputException(
                    "ridge baseline",
                    features.rows() + " images have features and " + targets.rows() + " have responses",
                    "Give the same images for both, at least 3");
        }
        PrincipalComponents components =
                new PrincipalComponents(features, options.components, options.powerIterations, options.seed);
        RidgeBaseline model = new RidgeBaseline(components, features.rows(), targets.columns());
        double[] squares = model.correlate(model.scores(features), targets);
        model.regress(squares, options.lambdas != null ? options.lambdas.clone() : model.defaultGrid());
        return model;
    }

    /** The training scores Z [N, k]. */
    private double[] scores(RowSource features) {
        int k = nComponents;
        double[] scores = new double[Math.multiplyExact(nTrainingImages, k)];
        components.forEachScoreBlock(features, (first, rows, z) -> System.arraycopy(z, 0, scores, first * k, rows * k));
        return scores;
    }

    /**
     * Sets the intercepts to the mean responses and the weights to z_j'y.
     *
     * @return sum of squares of the centred responses of each vertex
     */
    private double[] correlate(double[] scores, RowSource targets) {
        int k = nComponents;
        float[] shift = new float[nVertices]; // The first row, as in Standardisation.
        double[] sum = new double[nVertices];
        double[] squares = new double[nVertices];
        RowBlocks.forEach(targets, "responses", (first, rows, y) -> {
            if (first == 0) {
                System.arraycopy(y, 0, shift, 0, nVertices);
            }
            Parallel.tiles(nVertices, TILE, (from, to) -> {
                int n = to - from;
                double[] tile = new double[rows * n];
                for (int row = 0; row < rows; row++) {
                    for (int i = 0; i < n; i++) {
                        double d = (double) y[row * nVertices + from + i] - (double) shift[from + i];
                        tile[row * n + i] = d;
                        sum[from + i] += d;
                        squares[from + i] += d * d;
                    }
                }
                MatrixProducts.add(scores, first * k, 1, k, tile, 0, n, weights, from, nVertices, k, rows, n);
            });
        });
        for (int v = 0; v < nVertices; v++) {
            intercept[v] = shift[v] + sum[v] / nTrainingImages;
            squares[v] = Math.max(0, squares[v] - sum[v] * sum[v] / nTrainingImages);
        }
        return squares;
    }

    /** Chooses the penalty of each vertex from the grid, and divides z_j'y by eigenvalue and penalty. */
    private void regress(double[] squares, double[] grid) {
        Parallel.tiles(nVertices, TILE, (from, to) -> {
            for (int v = from; v < to; v++) {
                lambda[v] = bestPenalty(v, squares[v], grid);
            }
        });
        Parallel.tiles(nComponents, 1, (j, end) -> {
            for (int v = 0; v < nVertices; v++) {
                weights[j * nVertices + v] /= eigenvalues[j] + lambda[v];
            }
        });
    }

    /** The penalty of the grid with the smallest generalised cross-validation error on the training images. */
    private double bestPenalty(int v, double total, double[] grid) {
        double best = grid[0];
        double least = crossValidation(v, total, best);
        for (int g = 1; g < grid.length; g++) {
            double error = crossValidation(v, total, grid[g]);
            if (error < least) {
                least = error;
                best = grid[g];
            }
        }
        return best;
    }

    private double[] defaultGrid() {
        double scale = Arrays.stream(eigenvalues).sum() / nComponents;
        double[] grid = new double[25];
        Arrays.setAll(grid, i -> scale * Math.pow(10, -4 + i / 3.0));
        return grid;
    }

    /**
     * The generalised cross-validation error N * RSS / (N - degrees of freedom)^2, where the intercept takes one
     * degree. {@link #weights} must still hold z_j'y.
     *
     * @param total sum of squares of the centred responses of the vertex
     */
    private double crossValidation(int v, double total, double penalty) {
        double residual = total;
        double free = nTrainingImages - 1;
        for (int j = 0; j < nComponents; j++) {
            double zy = weights[j * nVertices + v];
            double kept = eigenvalues[j] / (eigenvalues[j] + penalty);
            residual -= zy * zy / eigenvalues[j] * kept * (2 - kept);
            free -= kept;
        }
        return nTrainingImages * Math.max(0, residual) / (free * free);
    }

    /**
     * Predicts responses.
     *
     * @param features [rows, F] row-major
     * @return [rows, V] row-major
     */
    public float[] predict(float[] features, int rows) {
        if (rows < 0 || features.length < (long) rows * nFeatures) {
            throw new IllegalArgumentException(
                    features.length + " values are not " + rows + " rows of " + nFeatures + " features");
        }
        return predict(RowSource.of(
                features.length == rows * nFeatures ? features : Arrays.copyOf(features, rows * nFeatures),
                rows,
                nFeatures));
    }

    /**
     * Predicts responses from features that are read in blocks. The result [rows, V] must fit into one array.
     *
     * @throws InputException if a feature is not finite, or if the number of features differs from the training
     */
    public float[] predict(RowSource features) {
        if (features.columns() != nFeatures) {
            throw new InputException(
                    "features",
                    "an image has " + features.columns() + ", but the baseline was fitted on " + nFeatures,
                    "Compute the features with the same settings");
        }
        float[] predicted = new float[Math.multiplyExact(features.rows(), nVertices)];
        components.forEachScoreBlock(features, (first, rows, z) -> {
            Parallel.tiles(nVertices, TILE, (from, to) -> {
                int n = to - from;
                double[] tile = new double[rows * n];
                for (int row = 0; row < rows; row++) {
                    System.arraycopy(intercept, from, tile, row * n, n);
                }
                MatrixProducts.add(z, 0, nComponents, 1, weights, from, nVertices, tile, 0, n, rows, nComponents, n);
                for (int row = 0; row < rows; row++) {
                    for (int i = 0; i < n; i++) {
                        predicted[(first + row) * nVertices + from + i] = (float) tile[row * n + i];
                    }
                }
            });
        });
        return predicted;
    }

    /** Number of principal components in use. */
    public int components() {
        return nComponents;
    }

    /** The penalty chosen for each vertex. */
    public double[] lambdas() {
        return lambda.clone();
    }
}
