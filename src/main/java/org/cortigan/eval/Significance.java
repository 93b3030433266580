// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * How likely each vertex's r is by chance.
 *
 * @param p one-sided p-value of each vertex, in (0, 1]
 * @param q false discovery rate of each vertex, over all vertices of the test: the share of false positives that is
 *     expected among the vertices with a p at most as large
 * @param permutations number of permutations behind p
 */
public record Significance(double[] p, double[] q, int permutations) {
    /** Computes q from the p of all vertices. */
    public static Significance of(double[] p, int permutations) {
        return new Significance(p, falseDiscoveryRates(p), permutations);
    }

    /**
     * Adjusts p-values by the procedure of Benjamini and Hochberg, "Controlling the false discovery rate" (1995), which
     * holds for tests that are independent or positively dependent, as those of neighbouring vertices are.
     *
     * @return for each p the least rate at which the procedure rejects its hypothesis
     */
    static double[] falseDiscoveryRates(double[] p) {
        int[] descending = IntStream.range(0, p.length)
                .boxed()
                .sorted(Comparator.comparingDouble((Integer v) -> p[v]).reversed())
                .mapToInt(v -> v)
                .toArray();
        double[] q = new double[p.length];
        double least = 1;
        for (int i = 0; i < p.length; i++) {
            int v = descending[i];
            least = Math.min(least, p[v] * p.length / (p.length - i));
            q[v] = least;
        }
        return q;
    }

    /** The significance of some vertices, with the q of the whole test. */
    Significance of(int[] vertices) {
        return new Significance(Vertices.select(p, vertices), Vertices.select(q, vertices), permutations);
    }

    /** Number of vertices whose q is below {@code rate}. */
    public long countBelow(double rate) {
        return Arrays.stream(q).filter(x -> x < rate).count();
    }
}
