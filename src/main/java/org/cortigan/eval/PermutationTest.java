// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Tests whether each vertex's r could be chance: how often is r at least as large when the predictions are assigned to
 * the images at random? One-sided, because a useful prediction correlates positively. Every permutation shuffles whole
 * images, the same for all vertices, so that the dependence between vertices stays. Images must be exchangeable:
 * repeats of an image must be averaged first.
 *
 * <p>Keeps predictions and responses in memory, 8 bytes for each image and vertex. Not thread-safe; {@link #run} uses
 * all cores, and its result depends on the seed alone.
 */
public final class PermutationTest {
    /** Doubles of a tile of predictions and responses, which should stay in the L2 cache. */
    private static final int TILE_VALUES = 1 << 15;
    /** Fewer vertices in a tile would make the inner loop too short to vectorise well. */
    private static final int LEAST_TILE = 32, MOST_TILE = 128;
    /**
     * A permuted r this little below r counts as equal. A permutation of equal values adds the same products in another
     * order; a double sum of n products of unit vectors then differs by at most n 2^-53.
     */
    private static final double TIE = 1e-11;

    /**
     * How to test.
     *
     * @param permutations number of permutations; 0 for no test
     * @param seed of the permutations
     */
    public record Design(int permutations, long seed) {
        /** No test. */
        public static final Design NONE = new Design(0, 0);

        /** A test of that many vertices without images yet; null for no test. */
        public @Nullable PermutationTest test(int vertices) {
            return permutations == 0 ? null : new PermutationTest(vertices, this);
        }
    }

    /** One image: its predictions and responses, each less the first image's, so that a large offset costs nothing. */
    private record Image(float[] prediction, float[] target) {}

    private final Design design;
    private final int vertices;
    private final List<Image> images = new ArrayList<>();
    private final double[] firstPrediction;
    private final double[] firstTarget;

    /**
     * @param vertices number V of vertices, at least 1
     * @param design with at least 1 permutation
     */
    public PermutationTest(int vertices, Design design) {
        if (design.permutations < 1) throw new IllegalArgumentException(design.permutations + " permutations");
        this.vertices = vertices;
        this.design = design;
        firstPrediction = new double[vertices];
        firstTarget = new double[vertices];
    }

    /**
     * Adds a block of images.
     *
     * @param prediction [rows, V] row-major; the array may be longer
     * @param target [rows, V] row-major; the array may be longer
     */
    public void add(float[] prediction, float[] target, int rows) {
        add((row, v) -> prediction[row * vertices + v], target, rows);
    }

    /** The same for predictions in double. */
    public void add(double[] prediction, float[] target, int rows) {
        add((row, v) -> prediction[row * vertices + v], target, rows);
    }

    @FunctionalInterface
    private interface Matrix {
        double at(int row, int vertex);
    }

    private void add(Matrix prediction, float[] target, int rows) {
        for (int row = 0; row < rows; row++) {
            float[] p = new float[vertices], t = new float[vertices];
            for (int v = 0; v < vertices; v++) {
                double predicted = prediction.at(row, v), measured = target[row * vertices + v];
                if (images.isEmpty()) {
                    firstPrediction[v] = predicted;
                    firstTarget[v] = measured;
                }
                p[v] = (float) (predicted - firstPrediction[v]);
                t[v] = (float) (measured - firstTarget[v]);
            }
            images.add(new Image(p, t));
        }
    }

    /**
     * Runs the test: p = (1 + number of permutations with an r at least as large) / (1 + permutations). So the smallest
     * possible p is 1 / (1 + permutations), and a vertex with a constant prediction or response has p = 1.
     *
     * @throws InputException if there are fewer than 3 images
     */
    public Significance run() {
        if (images.size() < 3)
            throw new InputException(
                    "permutation test", "has " + images.size() + " images", "Give at least 3, or leave it out");
        int[][] orders = orders();
        double[] p = new double[vertices];
        int tile = Math.max(LEAST_TILE, Math.min(MOST_TILE, TILE_VALUES / images.size() / 8 * 8));
        Parallel.tiles(vertices, tile, (from, to) -> test(from, to, orders, p));
        return Significance.of(p, design.permutations);
    }

    private int[][] orders() {
        SplittableRandom random = new SplittableRandom(design.seed);
        int[][] orders = new int[design.permutations][images.size()];
        for (int[] order : orders) {
            for (int i = 0; i < order.length; i++) { // Fisher and Yates, from the inside out
                int j = random.nextInt(i + 1);
                order[i] = order[j];
                order[j] = i;
            }
        }
        return orders;
    }

    private void test(int from, int to, int[][] orders, double[] p) {
        int n = to - from;
        double[] x = standardised(from, n, true), y = standardised(from, n, false);
        int[] inOrder = new int[images.size()];
        for (int i = 0; i < inOrder.length; i++) inOrder[i] = i;
        double[] observed = new double[n], permuted = new double[n];
        correlate(x, y, inOrder, n, observed);
        int[] atLeast = new int[n];
        for (int[] order : orders) {
            correlate(x, y, order, n, permuted);
            for (int v = 0; v < n; v++) if (permuted[v] >= observed[v] - TIE) atLeast[v]++;
        }
        for (int v = 0; v < n; v++) p[from + v] = (1.0 + atLeast[v]) / (1.0 + orders.length);
    }

    /** Columns [images, n] of mean 0 and norm 1; a constant column is 0. */
    private double[] standardised(int from, int n, boolean predictions) {
        int count = images.size();
        double[] x = new double[count * n], mean = new double[n], squares = new double[n];
        for (int i = 0; i < count; i++) {
            Image image = images.get(i);
            float[] row = predictions ? image.prediction : image.target;
            for (int v = 0; v < n; v++) mean[v] += x[i * n + v] = row[from + v];
        }
        for (int v = 0; v < n; v++) mean[v] /= count;
        for (int i = 0; i < count; i++)
            for (int v = 0; v < n; v++) {
                double d = x[i * n + v] -= mean[v];
                squares[v] += d * d;
            }
        double[] factor = new double[n];
        for (int v = 0; v < n; v++) factor[v] = isConstant(from + v, predictions) ? 0 : 1 / Math.sqrt(squares[v]);
        for (int i = 0; i < count; i++) for (int v = 0; v < n; v++) x[i * n + v] *= factor[v];
        return x;
    }

    private boolean isConstant(int v, boolean predictions) {
        return images.stream().allMatch(i -> (predictions ? i.prediction : i.target)[v] == 0);
    }

    /** r[v] = sum over i of x[order[i], v] y[i, v], four images at a time, which saves reads and writes of r. */
    private static void correlate(double[] x, double[] y, int[] order, int n, double[] r) {
        int i = 0;
        Arrays.fill(r, 0);
        for (; i + 4 <= order.length; i += 4) {
            int a = order[i] * n, b = order[i + 1] * n, c = order[i + 2] * n, d = order[i + 3] * n, at = i * n;
            for (int v = 0; v < n; v++)
                r[v] += x[a + v] * y[at + v]
                        + x[b + v] * y[at + n + v]
                        + x[c + v] * y[at + 2 * n + v]
                        + x[d + v] * y[at + 3 * n + v];
        }
        for (; i < order.length; i++) {
            int a = order[i] * n, at = i * n;
            for (int v = 0; v < n; v++) r[v] += x[a + v] * y[at + v];
        }
    }
}
