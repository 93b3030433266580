// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.stream.IntStream;

/** Selects values by vertex. */
final class Vertices {
    private Vertices() {}

    /** The values of some vertices. */
    static double[] select(double[] values, int[] vertices) {
        return IntStream.of(vertices).mapToDouble(v -> values[v]).toArray();
    }
}
