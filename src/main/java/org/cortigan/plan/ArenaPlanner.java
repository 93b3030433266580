// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Assigns offsets in one arena to buffers with known lifetimes. Buffers are placed from the largest to the smallest,
 * each in the smallest sufficient gap between the buffers alive at the same time ("greedy by size" of Pisarchyk and Lee
 * 2020, with best fit).
 */
public final class ArenaPlanner {
    private ArenaPlanner() {}

    /** A buffer of {@code bytes} that is alive from step {@code first} to step {@code last}, both included. */
    public record Life(long bytes, int first, int last) {
        boolean meets(Life o) {
            return first <= o.last && o.first <= last;
        }
    }

    /**
     * Result of {@link #layout}, in bytes.
     *
     * @param offsets offset of each buffer
     * @param bytes size of the arena
     * @param lowerBound most bytes alive at one step
     * @param peakStep first step at which that many are alive
     */
    public record Layout(long[] offsets, long bytes, long lowerBound, int peakStep) {}

    /**
     * Places the buffers.
     *
     * @param alignment of every offset in bytes, a power of two
     */
    public static Layout layout(List<Life> lives, int alignment) {
        int n = lives.size();
        Integer[] order = new Integer[n];
        for (int i = 0; i < n; i++) order[i] = i;
        java.util.Arrays.sort(
                order,
                Comparator.<Integer>comparingLong(i -> -lives.get(i).bytes).thenComparing(i -> lives.get(i).first));
        long[] offsets = new long[n];
        List<Integer> placed = new ArrayList<>(); // sorted by offset
        long end = 0;
        for (int i : order) {
            Life a = lives.get(i);
            long best = -1, bestGap = Long.MAX_VALUE, at = 0;
            for (int j : placed) {
                Life b = lives.get(j);
                if (!a.meets(b)) continue;
                long gap = offsets[j] - at;
                if (gap >= a.bytes && gap < bestGap) {
                    best = at;
                    bestGap = gap;
                }
                at = Math.max(at, align(offsets[j] + b.bytes, alignment));
            }
            offsets[i] = best >= 0 ? best : at;
            end = Math.max(end, offsets[i] + a.bytes);
            int pos = 0;
            while (pos < placed.size() && offsets[placed.get(pos)] <= offsets[i]) pos++;
            placed.add(pos, i);
        }
        int steps = 0;
        for (Life a : lives) steps = Math.max(steps, a.last + 1);
        long[] delta = new long[steps + 1];
        for (Life a : lives) {
            delta[a.first] += align(a.bytes, alignment);
            delta[a.last + 1] -= align(a.bytes, alignment);
        }
        long live = 0, bound = 0;
        int peak = 0;
        for (int s = 0; s < steps; s++) {
            live += delta[s];
            if (live > bound) {
                bound = live;
                peak = s;
            }
        }
        return new Layout(offsets, align(end, alignment), bound, peak);
    }

    static long align(long n, int alignment) {
        return (n + alignment - 1) & -(long) alignment;
    }
}
