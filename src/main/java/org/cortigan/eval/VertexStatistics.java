// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import org.jspecify.annotations.Nullable;

/**
 * What is known about each of some vertices, over the images of a split.
 *
 * @param r Pearson's r
 * @param explainedVariance see {@link PearsonAccumulator#explainedVariance()}
 * @param r2 see {@link PearsonAccumulator#r2()}
 * @param ceiling noise ceilings; null if the subject has none
 * @param significance of r; null if it was not tested
 * @param crps of samples of the responses; null if there are none, or it is unknown of them
 */
record VertexStatistics(
        double[] r,
        double[] explainedVariance,
        double[] r2,
        @Nullable NoiseCeiling ceiling,
        @Nullable Significance significance,
        @Nullable Crps crps) {
    /** The statistics of some vertices. */
    VertexStatistics of(int[] vertices) {
        return new VertexStatistics(
                Vertices.select(r, vertices),
                Vertices.select(explainedVariance, vertices),
                Vertices.select(r2, vertices),
                ceiling == null ? null : ceiling.of(vertices),
                significance == null ? null : significance.of(vertices),
                crps == null ? null : crps.of(vertices));
    }
}
