// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.Random;
import org.cortigan.InputException;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.EigenDecomposition_F64;
import org.ejml.interfaces.decomposition.QRDecomposition;
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
    /** Additional sketch columns, which speed up the convergence of the last components. */
    private static final int OVERSAMPLE = 10;
    /** Values in a block of rows: 16 MiB of doubles. */
    private static final int BLOCK_VALUES = 1 << 21;

    private static final int TILE = 512;
    /** Components with a smaller share of the largest eigenvalue are rounding noise of a rank-deficient matrix. */
    private static final double RANK_TOLERANCE = 1e-12;

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
    private final double[] mean; // [F]
    private final double[] inverseDeviation; // [F], 0 for a constant feature
    private final double[] basis; // [F, k]
    private final double[] eigenvalues; // [k] of X'X: sums of squares of the scores
    private final int nTrainingImages;
    private final double[] intercept; // [V]
    private final double[] weights; // [k, V]
    private final double[] lambda; // [V]

    private RidgeBaseline(RowSource features, int nVertices, Options options) {
        nFeatures = features.columns();
        this.nVertices = nVertices;
        nTrainingImages = features.rows();
        mean = new double[nFeatures];
        inverseDeviation = new double[nFeatures];
        standardise(features);
        int nSketch = Math.min(options.components + OVERSAMPLE, Math.min(nTrainingImages, nFeatures));
        double[] sketch = subspace(features, nSketch, options);
        double[] gram = new double[nSketch * nSketch];
        forEachStandardisedBlock(features, (first, rows, x) -> {
            double[] projected = multiply(x, rows, sketch, nSketch);
            addTransposedProduct(projected, nSketch, projected, nSketch, rows, gram);
        });
        EigenDecomposition_F64<DMatrixRMaj> eigen = DecompositionFactory_DDRM.eig(nSketch, true, true);
        if (!eigen.decompose(DMatrixRMaj.wrap(nSketch, nSketch, gram))) {
            throw new IllegalStateException(
                    "the eigenvalue decomposition of the features' Gram matrix did not converge");
        }
        int[] order = java.util.stream.IntStream.range(0, nSketch)
                .boxed()
                .sorted((a, b) -> Double.compare(eigen.getEigenvalue(b).real, eigen.getEigenvalue(a).real))
                .mapToInt(Integer::intValue)
                .toArray();
        double largest = eigen.getEigenvalue(order[0]).real;
        int k = 0;
        while (k < Math.min(options.components, nSketch)
                && eigen.getEigenvalue(order[k]).real > RANK_TOLERANCE * largest) {
            k++;
        }
        if (k == 0) {
            throw new InputException(
                    "features",
                    "all " + nFeatures + " features are constant over the " + nTrainingImages + " training images",
                    "Check that the features belong to the images");
        }
        nComponents = k;
        eigenvalues = new double[k];
        double[] rotation = new double[nSketch * k];
        for (int j = 0; j < k; j++) {
            eigenvalues[j] = eigen.getEigenvalue(order[j]).real;
            DMatrixRMaj vector = eigen.getEigenVector(order[j]);
            for (int i = 0; i < nSketch; i++) {
                rotation[i * k + j] = vector.get(i);
            }
        }
        basis = multiply(sketch, nFeatures, rotation, k, nSketch);
        weights = new double[Math.multiplyExact(k, nVertices)];
        intercept = new double[nVertices];
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
        RidgeBaseline model = new RidgeBaseline(features, targets.columns(), options);
        model.regress(features, targets, options);
        return model;
    }

    private void standardise(RowSource features) {
        double[] shift = new double[nFeatures]; // The first row: keeps sums small and constant features exactly 0.
        double[] sum = new double[nFeatures];
        double[] squares = new double[nFeatures];
        forEachBlock(features, "features", (first, rows, x) -> {
            if (first == 0) {
                for (int f = 0; f < nFeatures; f++) {
                    shift[f] = x[f];
                }
            }
            Parallel.tiles(nFeatures, TILE, (from, to) -> {
                for (int row = 0; row < rows; row++) {
                    for (int f = from; f < to; f++) {
                        double d = x[row * nFeatures + f] - shift[f];
                        sum[f] += d;
                        squares[f] += d * d;
                    }
                }
            });
        });
        for (int f = 0; f < nFeatures; f++) {
            double centre = sum[f] / nTrainingImages;
            double variance = squares[f] / nTrainingImages - centre * centre;
            mean[f] = shift[f] + centre;
            inverseDeviation[f] = variance > 0 ? 1 / Math.sqrt(variance) : 0;
        }
    }

    /** An orthonormal basis [F, nSketch] near the leading right singular vectors of the standardised features. */
    private double[] subspace(RowSource features, int nSketch, Options options) {
        double[] q = new double[nFeatures * nSketch];
        Random random = new Random(options.seed); // The Java API specifies nextGaussian exactly.
        for (int i = 0; i < q.length; i++) {
            q[i] = random.nextGaussian();
        }
        for (int pass = 0; pass <= options.powerIterations; pass++) {
            double[] sketch = q;
            double[] image = new double[nFeatures * nSketch];
            forEachStandardisedBlock(
                    features,
                    (first, rows, x) -> addTransposedProduct(
                            x, nFeatures, multiply(x, rows, sketch, nSketch), nSketch, rows, image));
            QRDecomposition<DMatrixRMaj> qr = DecompositionFactory_DDRM.qr(nFeatures, nSketch);
            if (!qr.decompose(DMatrixRMaj.wrap(nFeatures, nSketch, image))) {
                throw new IllegalStateException("the QR decomposition of the sketch failed");
            }
            q = qr.getQ(null, true).data;
        }
        return q;
    }

    private void regress(RowSource features, RowSource targets, Options options) {
        int k = nComponents;
        double[] scores = new double[Math.multiplyExact(nTrainingImages, k)];
        forEachStandardisedBlock(
                features,
                (first, rows, x) -> System.arraycopy(multiply(x, rows, basis, k), 0, scores, first * k, rows * k));

        float[] shift = new float[nVertices]; // The first row, as in standardise.
        double[] sum = new double[nVertices];
        double[] squares = new double[nVertices];
        forEachBlock(targets, "responses", (first, rows, y) -> {
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
                addProduct(scores, first * k, 1, k, tile, 0, n, weights, from, nVertices, k, rows, n);
            });
        });

        double[] grid = options.lambdas != null ? options.lambdas.clone() : defaultGrid();
        for (int v = 0; v < nVertices; v++) {
            intercept[v] = shift[v] + sum[v] / nTrainingImages;
            squares[v] = Math.max(0, squares[v] - sum[v] * sum[v] / nTrainingImages);
        }
        Parallel.tiles(nVertices, TILE, (from, to) -> {
            for (int v = from; v < to; v++) {
                lambda[v] = bestPenalty(v, squares[v], grid);
            }
        });
        Parallel.tiles(k, 1, (j, end) -> {
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
        forEachStandardisedBlock(features, (first, rows, x) -> {
            double[] z = multiply(x, rows, basis, nComponents);
            Parallel.tiles(nVertices, TILE, (from, to) -> {
                int n = to - from;
                double[] tile = new double[rows * n];
                for (int row = 0; row < rows; row++) {
                    System.arraycopy(intercept, from, tile, row * n, n);
                }
                addProduct(z, 0, nComponents, 1, weights, from, nVertices, tile, 0, n, rows, nComponents, n);
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

    @FunctionalInterface
    private interface FloatBlock {
        void accept(int firstRow, int rows, float[] values);
    }

    @FunctionalInterface
    private interface DoubleBlock {
        void accept(int firstRow, int rows, double[] values);
    }

    private static void forEachBlock(RowSource source, String what, FloatBlock body) {
        int columns = source.columns();
        int blockRows = Math.max(1, Math.min(source.rows(), BLOCK_VALUES / columns));
        float[] block = new float[blockRows * columns];
        for (int first = 0; first < source.rows(); first += blockRows) {
            int rows = Math.min(blockRows, source.rows() - first);
            source.read(first, rows, block);
            for (int i = 0; i < rows * columns; i++) {
                if (!Float.isFinite(block[i])) {
                    throw new InputException(
                            what + ", image row " + (first + i / columns) + ", column " + i % columns,
                            "the value is " + block[i] + ", not a finite number",
                            "Check the file or model that the value comes from (rows and columns count from 0)");
                }
            }
            body.accept(first, rows, block);
        }
    }

    private void forEachStandardisedBlock(RowSource features, DoubleBlock body) {
        double[][] reused = new double[1][];
        forEachBlock(features, "features", (first, rows, x) -> {
            if (reused[0] == null) {
                reused[0] = new double[x.length];
            }
            double[] standardised = reused[0];
            Parallel.tiles(rows, 16, (from, to) -> {
                for (int row = from; row < to; row++) {
                    for (int f = 0; f < nFeatures; f++) {
                        standardised[row * nFeatures + f] = (x[row * nFeatures + f] - mean[f]) * inverseDeviation[f];
                    }
                }
            });
            body.accept(first, rows, standardised);
        });
    }

    private double[] multiply(double[] x, int rows, double[] b, int n) {
        return multiply(x, rows, b, n, nFeatures);
    }

    /** x [rows, inner] times b [inner, n]. */
    private static double[] multiply(double[] x, int rows, double[] b, int n, int inner) {
        double[] c = new double[rows * n];
        Parallel.tiles(
                rows,
                16,
                (from, to) -> addProduct(x, from * inner, inner, 1, b, 0, n, c, from * n, n, to - from, inner, n));
        return c;
    }

    /** c [m, n] += a' b for a [rows, m] and b [rows, n]. */
    private static void addTransposedProduct(double[] a, int m, double[] b, int n, int rows, double[] c) {
        Parallel.tiles(m, 16, (from, to) -> addProduct(a, from, 1, m, b, 0, n, c, from * n, n, to - from, rows, n));
    }

    /**
     * c [m, n] += a [m, inner] b [inner, n], where rows of b and c are contiguous. Each element of c adds its terms in
     * ascending order of the inner index, in groups of four. The order does not depend on the tiles, so the result does
     * not depend on the number of threads.
     */
    private static void addProduct(
            double[] a,
            int aAt,
            int aRow,
            int aInner,
            double[] b,
            int bAt,
            int bRow,
            double[] c,
            int cAt,
            int cRow,
            int m,
            int inner,
            int n) {
        int block = 32; // Rows of b that stay in the L2 cache during the loop over all rows of c.
        for (int from = 0; from < inner; from += block) {
            int to = Math.min(inner, from + block);
            for (int i = 0; i < m; i++) {
                int at = aAt + i * aRow;
                int p = from;
                for (; p + 3 < to; p += 4) {
                    axpy4(
                            a[at + p * aInner],
                            a[at + (p + 1) * aInner],
                            a[at + (p + 2) * aInner],
                            a[at + (p + 3) * aInner],
                            b,
                            bAt + p * bRow,
                            bRow,
                            c,
                            cAt + i * cRow,
                            n);
                }
                for (; p < to; p++) {
                    axpy(a[at + p * aInner], b, bAt + p * bRow, c, cAt + i * cRow, n);
                }
            }
        }
    }

    /** A separate small method, because the JIT compiler vectorises a loop of exactly this shape. */
    private static void axpy4(
            double a0, double a1, double a2, double a3, double[] b, int b0, int bRow, double[] c, int cAt, int n) {
        int b1 = b0 + bRow;
        int b2 = b1 + bRow;
        int b3 = b2 + bRow;
        for (int i = 0; i < n; i++) {
            c[cAt + i] += (a0 * b[b0 + i] + a1 * b[b1 + i]) + (a2 * b[b2 + i] + a3 * b[b3 + i]);
        }
    }

    private static void axpy(double a, double[] b, int bAt, double[] c, int cAt, int n) {
        for (int i = 0; i < n; i++) {
            c[cAt + i] += a * b[bAt + i];
        }
    }
}
