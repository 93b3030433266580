// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.InputException;

/**
 * Accumulates what samples of the responses tell, over all images of a split, in blocks of images. The samples of a
 * block come one after the other. Not thread-safe.
 *
 * <p>The variance of the samples for one image is unbiased. That of antithetic samples is the variance of the pairs'
 * means and of the differences from them, which do not depend on each other. {@link Crps} is of independent samples
 * only: those of a block are kept for it.
 */
public final class SampleAccumulator {
    /** Vertices per task. */
    private static final int TILE = 512;

    private final int nVertices;
    private final float[] deviations;
    private final int[] counts;
    private final boolean antithetic;
    /** Of the means of the first samples, for each of the counts. */
    private final List<PearsonAccumulator> means = new ArrayList<>();
    /** For each vertex the sums over images of the variance of units, single samples or pairs, and within pairs. */
    private final double[] ofUnits, withinPairs;
    /** For each vertex the sums over images of the scores of the samples and of the climatology. */
    private final double[] ofSamples, ofClimatology;

    /** The samples of the block, [samples][rows, V]; none if no score is computed of them. */
    private final float[][] drawn;

    /** The block: its responses, the sum of its samples, the last sample, and mean and squares of its units. */
    private float[] targets = new float[0], last = new float[0];

    private double[] sum = new double[0], unitMean = new double[0], unitSquares = new double[0];
    private int rows, samples;

    /**
     * @param deviations standard deviation of each vertex's training responses, above 0; NaN if it is not known
     * @param counts numbers of samples whose means are scored, ascending, each once
     * @param antithetic whether every second sample begins with the negative of the noise of the one before
     */
    public SampleAccumulator(float[] deviations, int[] counts, boolean antithetic) {
        nVertices = deviations.length;
        this.deviations = deviations.clone();
        this.counts = counts.clone();
        this.antithetic = antithetic;
        for (int i = 0; i < counts.length; i++) means.add(new PearsonAccumulator(nVertices));
        ofUnits = new double[nVertices];
        withinPairs = new double[nVertices];
        ofSamples = new double[nVertices];
        ofClimatology = new double[nVertices];
        drawn = new float[antithetic || samples() < 2 ? 0 : samples()][0];
    }

    /** Samples of a photograph. */
    public int samples() {
        return counts[counts.length - 1];
    }

    /** Bytes of the samples of a block that are kept until its last one: those of independent samples. */
    public long keptBytes(int rows) {
        return (long) drawn.length * rows * nVertices * Float.BYTES;
    }

    /**
     * Begins a block of images.
     *
     * @param targets [rows, V], less the means of the training responses, unchanged until the block's last sample; the
     *     array may be longer
     */
    public void begin(float[] targets, int rows) {
        int n = rows * nVertices;
        this.targets = targets;
        this.rows = rows;
        samples = 0;
        if (sum.length < n) {
            last = new float[n];
            sum = new double[n];
            unitMean = new double[n];
            unitSquares = new double[n];
            for (int k = 0; k < drawn.length; k++) drawn[k] = new float[n];
        }
        for (double[] x : List.of(sum, unitMean, unitSquares)) Arrays.fill(x, 0);
    }

    /**
     * Adds the next sample of the block's images.
     *
     * @param sample [rows, V], less the same means; the array may be longer
     * @throws InputException if a value is not finite
     */
    public void add(float[] sample) {
        int n = rows * nVertices;
        samples++;
        boolean second = antithetic && samples % 2 == 0;
        int units = antithetic ? samples / 2 : samples;
        for (int i = 0; i < n; i++) {
            sum[i] += sample[i];
            if (antithetic && !second) continue;
            double unit = second ? (last[i] + (double) sample[i]) / 2 : sample[i], d = unit - unitMean[i];
            unitMean[i] += d / units;
            unitSquares[i] += d * (unit - unitMean[i]);
            if (second) {
                double half = ((double) sample[i] - last[i]) / 2;
                withinPairs[i % nVertices] += half * half / pairs();
            }
        }
        System.arraycopy(sample, 0, last, 0, n);
        if (drawn.length > 0) System.arraycopy(sample, 0, drawn[samples - 1], 0, n);
        int count = Arrays.binarySearch(counts, samples);
        if (count >= 0) means.get(count).add(meanSoFar(n), targets, rows);
        if (samples < samples() || units() < 2) return;
        for (int i = 0; i < n; i++) ofUnits[i % nVertices] += unitSquares[i] / (units() - 1);
        if (drawn.length > 0) Parallel.tiles(nVertices, TILE, this::addScores);
    }

    /** Adds the scores of the block's samples. */
    private void addScores(int from, int to) {
        double[] x = new double[drawn.length];
        for (int row = 0; row < rows; row++)
            for (int v = from; v < to; v++) {
                int i = row * nVertices + v;
                for (int k = 0; k < x.length; k++) x[k] = drawn[k][i];
                ofSamples[v] += Crps.ofSamples(x, targets[i]);
                ofClimatology[v] += Crps.ofNormal(targets[i] / (double) deviations[v]);
            }
    }

    private double[] meanSoFar(int n) {
        double[] mean = new double[n];
        for (int i = 0; i < n; i++) mean[i] = sum[i] / samples;
        return mean;
    }

    private int pairs() {
        return samples() / 2;
    }

    /** Independent draws of an image. */
    private int units() {
        return antithetic ? pairs() : samples();
    }

    /** The means of all samples of each image, and their correlation with the targets. */
    public PearsonAccumulator ofAll() {
        return means.get(means.size() - 1);
    }

    /**
     * The scores over all images so far, at least two.
     *
     * @param notMeasured vertices whose targets are all 0 because they were not measured, ascending; they are left out
     */
    public SampleScores scores(int[] notMeasured) {
        List<SampleScores.Score> scores = new ArrayList<>();
        int[] measured = IntStream.range(0, nVertices)
                .filter(v -> Arrays.binarySearch(notMeasured, v) < 0)
                .toArray();
        for (int i = 0; i < counts.length; i++) {
            double[] all = means.get(i).r(),
                    r = Arrays.stream(measured).mapToDouble(v -> all[v]).toArray();
            scores.add(new SampleScores.Score(counts[i], Metrics.mean(r), Metrics.median(r)));
        }
        PearsonAccumulator all = ofAll();
        double images = all.images(), covariance = 0, predicted = 0, left = 0, within = 0;
        int varying = 0;
        // Each vertex in units of its responses' deviation, so that a vertex with large responses counts no more.
        for (int v = 0; v < nVertices; v++) {
            double target = all.targetVariance(v);
            if (!(target > 0)) continue;
            varying++;
            covariance += all.covariance(v) / target;
            predicted += all.predictionVariance(v) / target;
            if (units() > 0) left += ofUnits[v] / images / units() / target;
            within += (ofUnits[v] + withinPairs[v]) / images / target;
        }
        boolean whole = samples() > 1 && !(antithetic && samples() % 2 == 1);
        double ofMean = predicted - left, residual = ofMean + varying - 2 * covariance;
        return new SampleScores(
                scores,
                whole && residual > 0 ? within / residual : Double.NaN,
                whole && units() > 1 && ofMean > 0 ? covariance / Math.sqrt(ofMean * varying) : Double.NaN,
                antithetic,
                drawn.length > 0 ? crps(images) : null);
    }

    private Crps crps(double images) {
        double[] samples = new double[nVertices], climatology = new double[nVertices];
        Arrays.setAll(climatology, v -> ofClimatology[v] / images);
        // Of a constant response the skill is 0, as r is.
        Arrays.setAll(
                samples, v -> ofAll().targetVariance(v) > 0 ? ofSamples[v] / images / deviations[v] : climatology[v]);
        return new Crps(samples, climatology);
    }
}
