// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Offsets in one arena for buffers with known lives: the largest first, each into the smallest gap that holds it among
 * the buffers that live at the same time (the "greedy by size" of Pisarchyk and Lee 2020, with best fit).
 */
public final class ArenaPlanner {
    private ArenaPlanner() {}

    /** A buffer alive from step {@code first} to step {@code last}, both included. */
    public record Life(long bytes, int first, int last) {
        boolean meets(Life o) {
            return first <= o.last && o.first <= last;
        }
    }

    /** @param offsets one per buffer; @param bytes size of the arena; @param lowerBound most bytes alive at one step */
    public record Layout(long[] offsets, long bytes, long lowerBound, int peakStep) {}

    /** @param alignment of every offset, a power of two */
    public static Layout layout(List<Life> lives, int alignment) {
        int n = lives.size();
        Integer[] order = new Integer[n];
        for (int i = 0; i < n; i++) order[i] = i;
        java.util.Arrays.sort(
                order,
                Comparator.<Integer>comparingLong(i -> -lives.get(i).bytes).thenComparing(i -> lives.get(i).first));
        long[] offsets = new long[n];
        List<Integer> placed = new ArrayList<>(); // by offset
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
