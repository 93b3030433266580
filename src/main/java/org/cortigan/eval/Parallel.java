// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.stream.IntStream;

/** Splits a range over the cores. Tiles must be independent, so that results do not depend on the number of threads. */
public final class Parallel {
    private Parallel() {}

    /** Work on the indices {@code from} (inclusive) to {@code to} (exclusive). */
    @FunctionalInterface
    public interface Body {
        void run(int from, int to);
    }

    /** Runs {@code body} on consecutive tiles of 0..n-1. */
    public static void tiles(int n, int tile, Body body) {
        int nTiles = (int) (((long) n + tile - 1) / tile);
        IntStream.range(0, nTiles).parallel().forEach(t -> body.run(t * tile, (int) Math.min(n, (t + 1L) * tile)));
    }
}
