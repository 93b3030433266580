// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

/** Mean and standard deviation of every feature over the training images. Constant features become 0. */
final class Standardisation {
    private static final int TILE = 512;

    private final int nFeatures;
    private final double[] mean; // [F]
    private final double[] inverseDeviation; // [F], 0 for a constant feature

    /** Work on a block of standardised rows, row-major. The array is reused for the next block. */
    @FunctionalInterface
    interface Body {
        void accept(int firstRow, int rows, double[] values);
    }

    /** Reads the training features once. */
    Standardisation(RowSource features) {
        nFeatures = features.columns();
        mean = new double[nFeatures];
        inverseDeviation = new double[nFeatures];
        double[] shift = new double[nFeatures]; // The first row: keeps sums small and constant features exactly 0.
        double[] sum = new double[nFeatures];
        double[] squares = new double[nFeatures];
        RowBlocks.forEach(features, "features", (first, rows, x) -> {
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
            double centre = sum[f] / features.rows();
            double variance = squares[f] / features.rows() - centre * centre;
            mean[f] = shift[f] + centre;
            inverseDeviation[f] = variance > 0 ? 1 / Math.sqrt(variance) : 0;
        }
    }

    /** Reads features in blocks, standardises them and runs {@code body} on each block. */
    void forEachBlock(RowSource features, Body body) {
        double[][] reused = new double[1][];
        RowBlocks.forEach(features, "features", (first, rows, x) -> {
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
}
