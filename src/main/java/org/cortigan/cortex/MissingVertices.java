// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * The vertices that the files of a subject's responses have, but whose responses are NaN or infinite for every image:
 * vertices outside the measured volume. Everything counts vertices without them; only files that the program writes
 * have a place for them.
 *
 * @param left their numbers in the files of the left hemisphere, ascending
 * @param right their numbers in the files of the right hemisphere, ascending
 */
public record MissingVertices(List<Integer> left, List<Integer> right) {
    /** Most vertices that a message names. */
    private static final int NAMED = 10;

    /** No vertex is missing. */
    public static final MissingVertices NONE = new MissingVertices(List.of(), List.of());

    public MissingVertices {
        left = List.copyOf(left);
        right = List.copyOf(right);
    }

    /** Number of missing vertices of both hemispheres. */
    public int count() {
        return left.size() + right.size();
    }

    /** The numbers, ascending, of the vertices of a file that are not missing. */
    public static int[] present(List<Integer> missing, int vertices) {
        Set<Integer> absent = new HashSet<>(missing);
        return IntStream.range(0, vertices).filter(v -> !absent.contains(v)).toArray();
    }

    /**
     * Puts a value at the place of each missing vertex of a hemisphere.
     *
     * @param missing {@link #left} or {@link #right}
     * @param values [n] from index {@code from} on, without the missing vertices
     * @return [n + missing]
     */
    public static float[] insert(List<Integer> missing, float value, float[] values, int from, int n) {
        return insert(missing, value, values, from, n, 1);
    }

    /**
     * The same for several values of a vertex.
     *
     * @param values [n, columns] from row {@code from} on
     * @return [n + missing, columns]
     */
    public static float[] insert(List<Integer> missing, float value, float[] values, int from, int n, int columns) {
        float[] all = new float[(n + missing.size()) * columns];
        int next = 0;
        for (int v = 0; v < n + missing.size(); v++) {
            boolean absent = next < missing.size() && missing.get(next) == v;
            if (absent) Arrays.fill(all, v * columns, (v + 1) * columns, value);
            else System.arraycopy(values, (from + v - next) * columns, all, v * columns, columns);
            if (absent) next++;
        }
        return all;
    }

    /** The first of some vertices, for messages. */
    static String some(List<Integer> vertices) {
        String some = vertices.stream().limit(NAMED).map(String::valueOf).collect(Collectors.joining(", "));
        return some + (vertices.size() > NAMED ? ", ..." : "");
    }

    @Override
    public String toString() {
        return "without " + left.size() + " left vertices (" + some(left) + ") and " + right.size() + " right ("
                + some(right) + ")";
    }
}
