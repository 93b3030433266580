// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.nio.DoubleBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.IntToDoubleFunction;
import org.cortigan.InputException;

/**
 * Accumulates Pearson's r of every vertex over all images of a split, in blocks of images. The result is the r of the
 * whole split, not an average of r per batch: each block's exact means and co-moments (two passes, in double) are
 * merged into the running moments by the pairwise update of Chan, Golub and LeVeque, "Updating formulae and a pairwise
 * algorithm for computing sample variances" (1979).
 *
 * <p>A vertex whose prediction or target is the same for all images has r = 0 and is counted as constant. The detection
 * is exact: a block is shifted by its first row, so equal values contribute exactly 0 and unequal values more than 0.
 *
 * <p>Not thread-safe. Give each thread its own instance and {@link #merge} them.
 */
public final class PearsonAccumulator {
    /** Vertices per task. The ten rows of doubles that a task touches stay in the L1 cache. */
    private static final int TILE = 512;

    private final int nVertices;
    private long nImages;
    private final double[] meanP;
    private final double[] meanT;
    private final double[] squaresP; // sums of squared deviations from the mean
    private final double[] squaresT;
    private final double[] products; // sum of products of deviations

    /** @param nVertices number V of vertices, at least 1 */
    public PearsonAccumulator(int nVertices) {
        if (nVertices < 1) {
            throw new IllegalArgumentException("nVertices must be at least 1, not " + nVertices);
        }
        this.nVertices = nVertices;
        meanP = new double[nVertices];
        meanT = new double[nVertices];
        squaresP = new double[nVertices];
        squaresT = new double[nVertices];
        products = new double[nVertices];
    }

    /** Number V of vertices. */
    public int vertices() {
        return nVertices;
    }

    /** Number of images added so far. */
    public long images() {
        return nImages;
    }

    /**
     * Adds a block of images.
     *
     * @param prediction [rows, V] row-major; the array may be longer
     * @param target [rows, V] row-major; the array may be longer
     * @param rows images in the block, 0 or more
     * @throws InputException if a value is not finite; the message names the image row (counted over all blocks) and
     *     the vertex, and the accumulator is unchanged
     */
    public void add(float[] prediction, float[] target, int rows) {
        add(doubles(prediction, rows), target, rows);
    }

    /** The same for predictions in double, which keep their correlation at any offset. */
    public void add(double[] prediction, float[] target, int rows) {
        if (rows < 0 || prediction.length < (long) rows * nVertices || target.length < (long) rows * nVertices) {
            throw new IllegalArgumentException("a block of " + rows + " rows of " + nVertices
                    + " vertices does not fit arrays of " + prediction.length + " and " + target.length + " values");
        }
        if (rows == 0) {
            return;
        }
        double[] wide = doubles(target, rows);
        double[] shiftP = new double[nVertices];
        double[] shiftT = new double[nVertices];
        // Compute all block means before any change of state, so that a bad value leaves the accumulator unchanged.
        Parallel.tiles(nVertices, TILE, (from, to) -> {
            blockMean(prediction, rows, from, to, shiftP);
            blockMean(wide, rows, from, to, shiftT);
        });
        requireFinite(shiftP, prediction, rows, "prediction");
        requireFinite(shiftT, wide, rows, "target");
        Parallel.tiles(nVertices, TILE, (from, to) -> mergeBlock(prediction, wide, rows, from, to, shiftP, shiftT));
        nImages += rows;
    }

    private double[] doubles(float[] x, int rows) {
        double[] wide = new double[(int) Math.min(x.length, Math.max(0, (long) rows * nVertices))];
        Arrays.setAll(wide, i -> x[i]);
        return wide;
    }

    /** mean[v] = mean over rows of (x[row, v] - x[0, v]). */
    @SuppressWarnings("IdentityBinaryExpression") // x - x is NaN if x is NaN or infinite
    private void blockMean(double[] x, int rows, int from, int to, double[] mean) {
        for (int row = 1; row < rows; row++) {
            int at = row * nVertices;
            for (int v = from; v < to; v++) {
                mean[v] += x[at + v] - x[v];
            }
        }
        for (int v = from; v < to; v++) {
            // The loop takes no difference for a single row. x - x is 0, or NaN if x is not finite.
            mean[v] = (mean[v] + (x[v] - x[v])) / rows;
        }
    }

    private void mergeBlock(
            double[] prediction, double[] target, int rows, int from, int to, double[] shiftP, double[] shiftT) {
        int n = to - from;
        double[] centreP = new double[n];
        double[] centreT = new double[n];
        double[] sumPp = new double[n];
        double[] sumTt = new double[n];
        double[] sumPt = new double[n];
        for (int row = 0; row < rows; row++) {
            int at = row * nVertices + from;
            for (int i = 0; i < n; i++) {
                double p = (prediction[at + i] - prediction[from + i]) - shiftP[from + i];
                double t = (target[at + i] - target[from + i]) - shiftT[from + i];
                sumPp[i] += p * p;
                sumTt[i] += t * t;
                sumPt[i] += p * t;
            }
        }
        for (int i = 0; i < n; i++) {
            centreP[i] = prediction[from + i] + shiftP[from + i];
            centreT[i] = target[from + i] + shiftT[from + i];
        }
        mergeMoments(from, n, rows, centreP, centreT, sumPp, sumTt, sumPt, 0);
    }

    private void mergeMoments(
            int from,
            int n,
            long rows,
            double[] otherMeanP,
            double[] otherMeanT,
            double[] otherPp,
            double[] otherTt,
            double[] otherPt,
            int otherFrom) {
        double total = (double) nImages + rows;
        double share = rows / total;
        double weight = nImages * share;
        for (int i = 0; i < n; i++) {
            int v = from + i;
            int o = otherFrom + i;
            double deltaP = otherMeanP[o] - meanP[v];
            double deltaT = otherMeanT[o] - meanT[v];
            squaresP[v] += otherPp[o] + deltaP * deltaP * weight;
            squaresT[v] += otherTt[o] + deltaT * deltaT * weight;
            products[v] += otherPt[o] + deltaP * deltaT * weight;
            meanP[v] += deltaP * share;
            meanT[v] += deltaT * share;
        }
    }

    private void requireFinite(double[] mean, double[] x, int rows, String what) {
        for (int v = 0; v < nVertices; v++) {
            if (!Double.isFinite(mean[v])) {
                for (int row = 0; row < rows; row++) {
                    double value = x[row * nVertices + v];
                    if (!Double.isFinite(value)) {
                        throw new InputException(
                                what + ", image row " + (nImages + row) + ", vertex " + v,
                                "the value is " + value + ", not a finite number",
                                "Check the file or model that the value comes from (rows and vertices count from 0)");
                    }
                }
            }
        }
    }

    /**
     * Adds all images of another accumulator, as if its blocks had been added to this one.
     *
     * @throws IllegalArgumentException if the numbers of vertices differ
     */
    public void merge(PearsonAccumulator other) {
        Objects.requireNonNull(other);
        if (other.nVertices != nVertices) {
            throw new IllegalArgumentException("cannot merge " + other.nVertices + " vertices into " + nVertices);
        }
        if (other.nImages > 0) {
            mergeMoments(
                    0,
                    nVertices,
                    other.nImages,
                    other.meanP,
                    other.meanT,
                    other.squaresP,
                    other.squaresT,
                    other.products,
                    0);
            nImages += other.nImages;
        }
    }

    /**
     * Adds images whose moments a device has summed (kernels/pearson_moments).
     *
     * @param moments [5, V]: means of prediction and target, their sums of squared deviations, sum of products of
     *     deviations
     * @param images number of images that the moments cover, at least 1
     * @return whether all moments are finite; if not, the accumulator is unchanged
     */
    public boolean merge(DoubleBuffer moments, long images) {
        PearsonAccumulator other = new PearsonAccumulator(nVertices);
        int at = moments.position();
        for (double[] x : List.of(other.meanP, other.meanT, other.squaresP, other.squaresT, other.products)) {
            moments.get(at, x);
            at += nVertices;
            for (double d : x) if (!Double.isFinite(d)) return false;
        }
        other.nImages = images;
        merge(other);
        return true;
    }

    /** The moments of all images, [5, V], in the order in which {@link #merge(DoubleBuffer, long)} takes them. */
    public double[] moments() {
        double[] all = new double[5 * nVertices];
        int at = 0;
        for (double[] x : List.of(meanP, meanT, squaresP, squaresT, products)) {
            System.arraycopy(x, 0, all, at, nVertices);
            at += nVertices;
        }
        return all;
    }

    /** Pearson's r of each vertex over all images, in -1..1; 0 if the prediction or the target is constant. */
    public double[] r() {
        double[] r = new double[nVertices];
        Arrays.setAll(
                r,
                v -> squaresP[v] == 0 || squaresT[v] == 0
                        ? 0
                        : Math.max(-1, Math.min(1, products[v] / (Math.sqrt(squaresP[v]) * Math.sqrt(squaresT[v])))));
        return r;
    }

    /**
     * Explained variance of each vertex: 1 - var(target - prediction) / var(target), at most 1. Unlike r, it counts a
     * prediction of the wrong scale as an error; a wrong mean it forgives. Of a constant target it is 1 if the
     * prediction is constant too, else 0, as in scikit-learn's explained_variance_score.
     */
    public double[] explainedVariance() {
        return shareExplained(v -> 0);
    }

    /**
     * Coefficient of determination of each vertex: 1 - sum (target - prediction)^2 / sum (target - mean target)^2, at
     * most 1. It counts a wrong scale and a wrong mean as errors. Of a constant target it is 1 if the prediction equals
     * it, else 0, as in scikit-learn's r2_score.
     */
    public double[] r2() {
        return shareExplained(v -> nImages * (meanP[v] - meanT[v]) * (meanP[v] - meanT[v]));
    }

    /** 1 - (sum of squared centred errors + extra) / sum of squared deviations of the target. */
    private double[] shareExplained(IntToDoubleFunction extra) {
        double[] share = new double[nVertices];
        Arrays.setAll(share, v -> {
            double errors = squaresP[v] - 2 * products[v] + squaresT[v] + extra.applyAsDouble(v);
            if (squaresT[v] == 0) return errors == 0 ? 1 : 0;
            return Math.min(1, 1 - errors / squaresT[v]);
        });
        return share;
    }

    /** Covariance of prediction and target of a vertex over all images, unbiased. */
    double covariance(int vertex) {
        return products[vertex] / (nImages - 1);
    }

    /** Variance of the prediction of a vertex over all images, unbiased. */
    double predictionVariance(int vertex) {
        return squaresP[vertex] / (nImages - 1);
    }

    /** Variance of the target of a vertex over all images, unbiased. */
    double targetVariance(int vertex) {
        return squaresT[vertex] / (nImages - 1);
    }

    /** Number of vertices whose prediction is the same for all images. */
    public int constantPredictions() {
        return zeros(squaresP);
    }

    /** Number of vertices whose target is the same for all images. */
    public int constantTargets() {
        return zeros(squaresT);
    }

    private static int zeros(double[] values) {
        return (int) Arrays.stream(values).filter(x -> x == 0).count();
    }
}
