// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Random permutations of 0 to n - 1. The same seed gives the same permutation in every process. */
final class Permutations {
    private Permutations() {}

    /** 0 to n - 1 in their order. */
    static int[] identity(int n) {
        return IntStream.range(0, n).toArray();
    }

    /** The order of the n photographs of an epoch. */
    static int[] order(int n, long seed, long epoch) {
        int[] order = identity(n);
        shuffle(order, seed, epoch);
        return order;
    }

    /** Shuffles in place (Fisher and Yates). */
    static void shuffle(int[] items, long seed, long epoch) {
        SplittableRandom random = new SplittableRandom(seed * RandomKey.GOLDEN_RATIO + epoch);
        for (int i = items.length - 1; i > 0; i--) {
            int j = random.nextInt(i + 1), item = items[i];
            items[i] = items[j];
            items[j] = item;
        }
    }

    /** A permutation without fixed points (for n above 1): one random cycle through all numbers. */
    static int[] derangement(int n, long seed) {
        int[] cycle = order(n, ~seed, 0), next = new int[n];
        for (int i = 0; i < n; i++) next[cycle[i]] = cycle[(i + 1) % n];
        return next;
    }
}
