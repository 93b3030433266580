// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;

/** Joins segments into long lines. */
final class Chains {
    /** The ends of the segments at each end; in a border at most two. */
    private final Map<Long, List<Long>> next = new LinkedHashMap<>();

    void add(long a, long b) {
        next.computeIfAbsent(a, k -> new ArrayList<>(2)).add(b);
        next.computeIfAbsent(b, k -> new ArrayList<>(2)).add(a);
    }

    /**
     * The lines; takes the segments away. A closed line ends where it began.
     *
     * @param place x and y of an end
     */
    List<double[]> lines(LongFunction<double[]> place) {
        List<double[]> lines = new ArrayList<>();
        // Open lines begin at ends that have one neighbour; what then remains is closed.
        for (int most : new int[] {1, Integer.MAX_VALUE})
            for (long start : List.copyOf(next.keySet()))
                while (!next.getOrDefault(start, List.of()).isEmpty()
                        && next.getOrDefault(start, List.of()).size() <= most) lines.add(line(start, place));
        return lines;
    }

    private double[] line(long start, LongFunction<double[]> place) {
        List<Long> ends = new ArrayList<>(List.of(start));
        long at = start;
        for (List<Long> on = next.get(at); on != null && !on.isEmpty(); on = next.get(at)) {
            long to = on.remove(on.size() - 1);
            next.getOrDefault(to, new ArrayList<>()).remove((Object) at);
            ends.add(to);
            at = to;
        }
        double[] xy = new double[2 * ends.size()];
        for (int i = 0; i < ends.size(); i++) System.arraycopy(place.apply(ends.get(i)), 0, xy, 2 * i, 2);
        return xy;
    }
}
