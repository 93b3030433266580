// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.stream.IntStream;

/** The best penalty and weighting of bands so far, for each set of vertices that share a choice. */
final class Choices {
    private final int[] unitOfVertex; // [V]
    private final double[] best; // [units], sums of scores
    private final int[] candidate; // [units]
    private final double[] lambda; // [units]

    /** @param unitOfVertex [V], numbers from 0 */
    Choices(int[] unitOfVertex) {
        this.unitOfVertex = unitOfVertex;
        int units = 1 + Arrays.stream(unitOfVertex).max().orElse(0);
        best = new double[units];
        Arrays.fill(best, Double.NEGATIVE_INFINITY);
        candidate = new int[units];
        lambda = new double[units];
    }

    /**
     * Takes the penalties of a weighting where they score better than all before.
     *
     * @param table a row of scores [V] for each penalty
     */
    void offer(int newCandidate, double[] lambdas, double[][] table) {
        for (int l = 0; l < lambdas.length; l++) {
            double[] sum = new double[best.length];
            for (int v = 0; v < unitOfVertex.length; v++) {
                sum[unitOfVertex[v]] += table[l][v];
            }
            for (int unit = 0; unit < best.length; unit++) {
                if (sum[unit] > best[unit]) {
                    best[unit] = sum[unit];
                    candidate[unit] = newCandidate;
                    lambda[unit] = lambdas[l];
                }
            }
        }
    }

    /** Mean score of all vertices at their choices. */
    double score() {
        return Arrays.stream(best).sum() / unitOfVertex.length;
    }

    double lambda(int vertex) {
        return lambda[unitOfVertex[vertex]];
    }

    int candidate(int vertex) {
        return candidate[unitOfVertex[vertex]];
    }

    /** The vertices with a weighting of bands, in ascending order. */
    int[] verticesWith(int wanted) {
        return IntStream.range(0, unitOfVertex.length)
                .filter(v -> candidate(v) == wanted)
                .toArray();
    }
}
