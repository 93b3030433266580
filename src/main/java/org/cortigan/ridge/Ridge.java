// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.eval.Parallel;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.PermutationTest;
import org.cortigan.eval.RowSource;
import org.cortigan.ridge.RidgeOptions.Sharing;
import org.jspecify.annotations.Nullable;

/**
 * Ridge regression of all vertices on features of images, with cross-validated penalties: the field's linear yardstick.
 *
 * <p>The features of the training images are centred, and by default divided by their standard deviation; constant
 * features drop out. The weights w of a vertex minimise |y - mean - X w|^2 + lambda |w|^2 (Hoerl and Kennard 1970). One
 * eigendecomposition of X X' or X'X, whichever is smaller, serves all penalties and all vertices; keeping only the
 * largest eigenvalues is the regression on principal components.
 *
 * <p>A banded ridge (Nunez-Elizalde, Huth and Gallant 2019; Dupré la Tour et al. 2022) has one penalty for each band of
 * features. It is a ridge whose kernel is a weighted sum of the bands' kernels, and chooses the weights from candidates
 * together with lambda.
 *
 * <p>Results equal those of scikit-learn's RidgeCV, and in bands the formulas of himalaya's MultipleKernelRidgeCV with
 * an intercept. Sums run in double, except the errors of leave-one-out and k folds that compare penalties, and in a
 * fixed order, so that equal input gives equal bits on any number of threads. A fitted instance is immutable and
 * thread-safe.
 *
 * <p>Memory, with M the smaller of N images and F features: outside the Java heap 16 N F bytes for the features and 40
 * M^2 for the eigenvectors, 8 M^2 more for each band, 20 M N more for leave-one-out or k folds, and 20 N for each of
 * the 256 vertices that a thread works on; in the heap 4 M V for the weights of V vertices, 4 M F for each weighting of
 * bands in use, and 512 MiB for a block of responses, which are read again for each candidate of a banded ridge.
 */
public final class Ridge {
    /**
     * A group of features.
     *
     * @param name name in messages
     * @param features [N, F], read twice
     */
    public record Band(String name, RowSource features) {}

    /** Work on the predictions [rows, V] of consecutive images, row-major. */
    @FunctionalInterface
    public interface Body {
        void accept(int firstRow, int rows, double[] predicted);
    }

    /** Values in a block of predictions: 128 MiB of doubles. */
    private static final int BLOCK_VALUES = 1 << 24;

    private final Features features;
    private final List<Readout> readouts; // one for each weighting of bands in use
    private final double[] mean; // [V], of the responses
    private final double[] deviation; // [V]
    private final double[] lambdas; // [V]
    private final double[][] bandWeights; // [V][bands]
    private final double score;

    private Ridge(
            Features features,
            List<Readout> readouts,
            Responses responses,
            List<double[]> weightings,
            Choices choices) {
        this.features = features;
        this.readouts = readouts;
        mean = responses.mean();
        deviation = responses.deviation();
        lambdas = new double[mean.length];
        Arrays.setAll(lambdas, choices::lambda);
        bandWeights = new double[mean.length][];
        Arrays.setAll(bandWeights, v -> weightings.get(choices.candidate(v)));
        score = choices.score();
    }

    /**
     * Fits all vertices.
     *
     * @param bands features of the training images; several are joined
     * @param targets training responses [N, V]
     * @throws InputException if features and targets have different numbers of images, or fewer than 3, if a value is
     *     not finite (the message names row and column), if all features are constant, or if there are too few images
     *     for the folds
     * @throws IllegalArgumentException if weights of bands or groups of vertices do not fit the data
     */
    public static Ridge fit(List<Band> bands, RowSource targets, RidgeOptions options) {
        Blas.load();
        requireSameImages(bands, targets);
        List<double[]> weightings = weightings(bands.size(), options);
        int[] units = units(targets.columns(), options);
        List<RowSource> sources = bands.stream().map(Band::features).toList();
        Features features = new Features(sources, options.standardise());
        try (Matrix x = features.read(sources);
                GramMatrices grams = new GramMatrices(features, x);
                RidgeFit fit = new RidgeFit(grams, new Responses(targets), weightings, options)) {
            Choices choices = fit.choose(units);
            return new Ridge(features, fit.readouts(choices), fit.responses(), weightings, choices);
        }
    }

    /** The same for one band. */
    public static Ridge fit(RowSource features, RowSource targets, RidgeOptions options) {
        return fit(List.of(new Band("features", features)), targets, options);
    }

    private static void requireSameImages(List<Band> bands, RowSource targets) {
        if (bands.isEmpty()) {
            throw new IllegalArgumentException("a ridge needs features");
        }
        for (Band band : bands) {
            if (band.features.rows() != targets.rows() || targets.rows() < 3) {
                throw new InputException(
                        "ridge, " + band.name,
                        band.features.rows() + " images have features and " + targets.rows() + " have responses",
                        "Give the same images for both, at least 3");
            }
        }
    }

    private static List<double[]> weightings(int bands, RidgeOptions options) {
        if (options.bandWeights().isEmpty()) {
            double[] equal = new double[bands];
            Arrays.fill(equal, 1);
            return List.of(equal);
        }
        for (double[] weights : options.bandWeights()) {
            if (weights.length != bands
                    || !Arrays.stream(weights).allMatch(w -> w >= 0 && w < Double.POSITIVE_INFINITY)
                    || Arrays.stream(weights).max().orElse(0) == 0) {
                throw new IllegalArgumentException("weights of " + bands
                        + " bands must be finite, at least 0 and not all 0, not " + Arrays.toString(weights));
            }
        }
        return options.bandWeights();
    }

    /** For each vertex the number of the set of vertices that share its choice. */
    private static int[] units(int vertices, RidgeOptions options) {
        int[] groups = options.groupOfVertex();
        if (groups != null) {
            if (groups.length != vertices || Arrays.stream(groups).min().orElse(0) < 0) {
                throw new IllegalArgumentException(
                        groups.length + " groups, which must be numbers from 0, for " + vertices + " vertices");
            }
            return groups;
        }
        return options.sharing() == Sharing.VERTEX
                ? IntStream.range(0, vertices).toArray()
                : new int[vertices];
    }

    /**
     * Predicts responses in blocks of images.
     *
     * @param bands features, as in the fit
     * @throws InputException if a feature is not finite, or if numbers of features differ from the training
     */
    public void predict(List<RowSource> bands, Body body) {
        features.forEachBlock(bands, Math.max(1, BLOCK_VALUES / vertices()), (first, rows, x) -> {
            double[] predicted = new double[Math.multiplyExact(rows, vertices())];
            try (Matrix scaled = Matrix.doubles(rows, features.columns())) {
                scaled.put(0, x);
                for (Readout readout : readouts) {
                    readout.predict(scaled, predicted, vertices());
                }
            }
            Parallel.tiles(rows, 1, (row, end) -> {
                for (int v = 0; v < vertices(); v++) {
                    int at = row * vertices() + v;
                    predicted[at] = mean[v] + deviation[v] * predicted[at];
                }
            });
            body.accept(first, rows, predicted);
        });
    }

    /** Predicts responses [rows, V], which must fit into one array. */
    public double[] predict(RowSource... bands) {
        double[] all = new double[Math.multiplyExact(bands[0].rows(), vertices())];
        predict(
                List.of(bands),
                (first, rows, predicted) -> System.arraycopy(predicted, 0, all, first * vertices(), rows * vertices()));
        return all;
    }

    /**
     * The r of each vertex [V] in a nested cross-validation: each fold of images, at random, is predicted by a ridge
     * that is fitted, with all its choices, on the other folds. It compares settings on training images alone.
     *
     * @param folds number of folds, at least 2
     * @param seed seed of the folds
     * @return mean of the folds' r
     * @throws InputException as {@link #fit(List, RowSource, RidgeOptions)}, or if there are fewer than 2 images a fold
     */
    public static double[] crossValidatedR(
            List<Band> bands, RowSource targets, RidgeOptions options, int folds, long seed) {
        requireSameImages(bands, targets);
        Folds split = Folds.of(targets.rows(), folds, seed);
        double[] mean = new double[targets.columns()];
        for (int fold = 0; fold < folds; fold++) {
            int[] training = split.others(fold), test = split.images(fold);
            Ridge ridge = fit(
                    bands.stream()
                            .map(b -> new Band(b.name, RowSource.rows(b.features, training)))
                            .toList(),
                    RowSource.rows(targets, training),
                    options);
            double[] r = ridge.correlate(
                            bands.stream()
                                    .map(b -> RowSource.rows(b.features, test))
                                    .toList(),
                            RowSource.rows(targets, test))
                    .r();
            Arrays.setAll(mean, v -> mean[v] + r[v] / folds);
        }
        return mean;
    }

    /** Correlates predictions, in double, with the responses [rows, V] to the same images. */
    public PearsonAccumulator correlate(List<RowSource> bands, RowSource targets) {
        return correlate(bands, targets, null);
    }

    /**
     * The same, and adds the images to a test of each vertex's r.
     *
     * @param test null for none
     */
    public PearsonAccumulator correlate(List<RowSource> bands, RowSource targets, @Nullable PermutationTest test) {
        PearsonAccumulator acc = new PearsonAccumulator(vertices());
        predict(bands, (first, rows, predicted) -> {
            float[] y = new float[rows * vertices()];
            targets.read(first, rows, y);
            acc.add(predicted, y, rows);
            if (test != null) test.add(predicted, y, rows);
        });
        return acc;
    }

    /** Number V of vertices. */
    public int vertices() {
        return mean.length;
    }

    /** Number of features, of all bands together. */
    public int features() {
        return features.columns();
    }

    /** Number of components in use, the largest among the weightings of bands. */
    public int components() {
        return readouts.stream().mapToInt(Readout::components).max().orElse(0);
    }

    /** The penalty of each vertex [V]. */
    public double[] lambdas() {
        return lambdas.clone();
    }

    /** The weights [bands] of the bands' kernels for a vertex; all 1 in a plain ridge. */
    public double[] bandWeights(int vertex) {
        return bandWeights[vertex].clone();
    }

    /** Mean over vertices of the cross-validated criterion at the choices made. */
    public double score() {
        return score;
    }
}
