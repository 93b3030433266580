// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.List;
import java.util.Objects;
import org.cortigan.InputException;
import org.cortigan.eval.Parallel;
import org.cortigan.eval.RowSource;

/** Centring, and division by the standard deviation, of the features of all bands, as fitted on the training images. */
final class Features {
    private static final int TILE = 512;

    private final int[] firstColumn; // [bands + 1]
    private final double[] mean; // [F]
    private final double[] scale; // [F], 0 for a constant feature

    /** Work on a block of scaled rows, row-major. */
    @FunctionalInterface
    interface Body {
        void accept(int firstRow, int rows, double[] values);
    }

    /** Reads the training features once. */
    Features(List<RowSource> bands, boolean standardise) {
        firstColumn = new int[bands.size() + 1];
        for (int b = 0; b < bands.size(); b++) {
            firstColumn[b + 1] = firstColumn[b] + bands.get(b).columns();
        }
        mean = new double[columns()];
        scale = new double[columns()];
        RowSource joined = joined(bands);
        double[] shift = new double[columns()]; // The first row: keeps sums small and constant features exactly 0.
        double[] squares = new double[columns()];
        RowBlocks.forEach(joined, "features", (first, rows, x) -> {
            if (first == 0) {
                for (int f = 0; f < columns(); f++) {
                    shift[f] = x[f];
                }
            }
            Parallel.tiles(columns(), TILE, (from, to) -> addMoments(x, rows, from, to, shift, squares));
        });
        for (int f = 0; f < columns(); f++) {
            double centre = mean[f] / joined.rows();
            double variance = squares[f] / joined.rows() - centre * centre;
            mean[f] = shift[f] + centre;
            scale[f] = variance > 0 ? (standardise ? 1 / Math.sqrt(variance) : 1) : 0;
        }
    }

    private void addMoments(float[] x, int rows, int from, int to, double[] shift, double[] squares) {
        for (int row = 0; row < rows; row++) {
            for (int f = from; f < to; f++) {
                double d = x[row * columns() + f] - shift[f];
                mean[f] += d;
                squares[f] += d * d;
            }
        }
    }

    /** Number of features of all bands. */
    int columns() {
        return firstColumn[firstColumn.length - 1];
    }

    /** Mean of each feature [F]. */
    double[] mean() {
        return mean;
    }

    int bands() {
        return firstColumn.length - 1;
    }

    /** The first feature of a band. */
    int firstColumn(int band) {
        return firstColumn[band];
    }

    /** Number of features of a band. */
    int columns(int band) {
        return firstColumn[band + 1] - firstColumn[band];
    }

    /**
     * Reads features in blocks of at most {@code most} rows, scales them and runs {@code body} on each block.
     *
     * @throws InputException if a feature is not finite, or if numbers of features differ from the training
     */
    void forEachBlock(List<RowSource> bands, int most, Body body) {
        requireFit(bands);
        RowBlocks.forEach(joined(bands), "features", most, (first, rows, x) -> {
            double[] scaled = new double[rows * columns()];
            Parallel.tiles(rows, 16, (from, to) -> {
                for (int row = from; row < to; row++) {
                    for (int f = 0; f < columns(); f++) {
                        int at = row * columns() + f;
                        scaled[at] = (x[at] - mean[f]) * scale[f];
                    }
                }
            });
            body.accept(first, rows, scaled);
        });
    }

    private void requireFit(List<RowSource> bands) {
        if (bands.size() != bands()) {
            throw new IllegalArgumentException(bands.size() + " bands of features, but fitted on " + bands());
        }
        for (int b = 0; b < bands(); b++) {
            if (bands.get(b).rows() != bands.get(0).rows()) {
                throw new InputException(
                        "features",
                        bands.get(0).rows() + " images have features in one band and "
                                + bands.get(b).rows() + " in another",
                        "Give the same images for all bands");
            }
            if (bands.get(b).columns() != columns(b)) {
                throw new InputException(
                        "features",
                        "an image has " + bands.get(b).columns() + ", but the ridge was fitted on " + columns(b),
                        "Compute the features with the same settings");
            }
        }
    }

    /** The scaled features [N, F]. */
    Matrix read(List<RowSource> bands) {
        Matrix x = Matrix.doubles(bands.get(0).rows(), columns());
        try {
            forEachBlock(bands, Integer.MAX_VALUE, (first, rows, values) -> x.put(first, values));
        } catch (RuntimeException e) {
            x.close();
            throw e;
        }
        return x;
    }

    /** All bands side by side. */
    private static RowSource joined(List<RowSource> bands) {
        return bands.size() == 1 ? bands.get(0) : new Joined(bands);
    }

    private record Joined(List<RowSource> bands) implements RowSource {
        @Override
        public int rows() {
            return bands.get(0).rows();
        }

        @Override
        public int columns() {
            return bands.stream().mapToInt(RowSource::columns).sum();
        }

        @Override
        public void read(int first, int count, float[] into) {
            Objects.checkFromIndexSize(first, count, rows());
            int at = 0;
            for (RowSource band : bands) {
                int n = band.columns();
                float[] block = new float[count * n];
                band.read(first, count, block);
                for (int row = 0; row < count; row++) {
                    System.arraycopy(block, row * n, into, row * columns() + at, n);
                }
                at += n;
            }
        }
    }
}
