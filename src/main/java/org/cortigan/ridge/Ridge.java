// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.List;
import org.cortigan.eval.RowSource;

/** Ridge regression of all vertices. */
public final class Ridge {
    /**
     * A group of features.
     *
     * @param name name in messages
     * @param features [N, F], read once
     */
    public record Band(String name, RowSource features) {}

    /** Work on the predictions [rows, V] of consecutive images, row-major. The array is reused for the next block. */
    @FunctionalInterface
    public interface Body {
        void accept(int firstRow, int rows, double[] predicted);
    }

    private Ridge() {}

    /**
     * Fits all vertices.
     *
     * @param bands features of the training images; several are joined
     * @param targets training responses [N, V]
     */
    public static Ridge fit(List<Band> bands, RowSource targets, RidgeOptions options) {
        throw new UnsupportedOperationException("not finished");
    }

    /** Predicts responses in blocks of images. */
    public void predict(List<RowSource> bands, Body body) {
        throw new UnsupportedOperationException("not finished");
    }

    /** Predicts responses [rows, V]. */
    public double[] predict(RowSource... bands) {
        throw new UnsupportedOperationException("not finished");
    }

    /**
     * The r of each vertex [V] in a nested cross-validation: each fold of images is predicted by a ridge that is fitted,
     * with all its choices, on the other folds. Compares settings on training images alone.
     *
     * @return mean of the folds' r
     */
    public static double[] crossValidatedR(List<Band> bands, RowSource targets, RidgeOptions options, int folds) {
        throw new UnsupportedOperationException("not finished");
    }

    /** The penalty of each vertex [V]. */
    public double[] lambdas() {
        throw new UnsupportedOperationException("not finished");
    }

    /** The weights [bands] of the bands' kernels for a vertex; all 1 in a plain ridge. */
    public double[] bandWeights(int vertex) {
        throw new UnsupportedOperationException("not finished");
    }

    /** Mean over vertices of the cross-validated criterion at the choices made. */
    public double score() {
        throw new UnsupportedOperationException("not finished");
    }

    /** Number of features, of all bands together. */
    public int features() {
        throw new UnsupportedOperationException("not finished");
    }
}
