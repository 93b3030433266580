// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Orders vertices so that neighbours in the order are neighbours on the cortical surface: a window of consecutive
 * vertices is a patch of cortex. The order is a space-filling curve for the given mesh.
 *
 * <p>Algorithm: the set is halved recursively, down to single vertices. Each set is cut across its longest extent: a
 * and b are the ends of a long shortest path, found by two sweeps, and the vertices are sorted by d(a) - d(b), where d
 * is the distance along edges within the set. So pieces stay compact, as the quarters of a square do under Hilbert's
 * curve. For all pieces of a level at once, dynamic programming chooses which half comes first, so that the sum of the
 * distances from the last half of each piece to the first half of the next is minimal. A set that is not connected is
 * first divided into its components. The same mesh and vertices give the same order. O(n log^2 n).
 */
public final class VertexOrder {
    /**
     * Neighbours of vertex v of the set: neighbour[first[v]] .. neighbour[first[v + 1] - 1]. {@link #length} has the
     * length of each edge in the same places.
     */
    private final int[] first;

    private final int[] neighbour;
    private final float[] length;
    private final Mesh mesh;
    private final int[] vertices;
    /** Mark of each vertex, which tells its piece while distances are computed. */
    private final int[] mark;

    private int marks;
    private final float[] distance;
    private final Heap heap;

    private VertexOrder(Mesh mesh, int[] vertices) {
        this.mesh = mesh;
        this.vertices = vertices;
        int n = vertices.length;
        int[] at = new int[mesh.vertices()];
        Arrays.fill(at, -1);
        for (int i = 0; i < n; i++) at[vertices[i]] = i;
        int[] t = mesh.triangles();
        long[] edges = new long[2 * t.length];
        int count = 0;
        for (int i = 0; i < t.length; i++) { // Both directions of each edge whose ends are in the set.
            int a = at[t[i]], b = at[t[i % 3 == 2 ? i - 2 : i + 1]];
            if (a < 0 || b < 0 || a == b) continue;
            edges[count++] = (long) a << 32 | b;
            edges[count++] = (long) b << 32 | a;
        }
        edges = Arrays.stream(edges, 0, count).sorted().distinct().toArray();
        first = new int[n + 1];
        neighbour = new int[edges.length];
        length = new float[edges.length];
        for (int e = 0; e < edges.length; e++) {
            int a = (int) (edges[e] >>> 32);
            first[a + 1]++;
            neighbour[e] = (int) edges[e];
            length[e] = straight(a, neighbour[e]);
        }
        for (int v = 0; v < n; v++) first[v + 1] += first[v];
        mark = new int[n];
        distance = new float[n];
        heap = new Heap(n);
    }

    /**
     * Orders some vertices of a mesh.
     *
     * @param vertices vertices of the mesh, each at most once
     * @return indices into {@code vertices}, each once
     */
    public static int[] of(Mesh mesh, int[] vertices) {
        return new VertexOrder(mesh, vertices).order();
    }

    private int[] order() {
        int[] all = new int[vertices.length];
        for (int i = 0; i < all.length; i++) all[i] = i;
        List<int[]> pieces = components(all);
        boolean whole = true;
        while (pieces.stream().anyMatch(p -> p.length > 1)) {
            List<int[][]> split = new ArrayList<>();
            for (int[] p : pieces) split.add(p.length == 1 ? new int[][] {p} : whole ? halves(p) : split(p));
            pieces = oriented(split);
            whole = false;
        }
        return pieces.stream().mapToInt(p -> p[0]).toArray();
    }

    /** The connected components of a set, in the order of their lowest vertices. */
    private List<int[]> components(int[] set) {
        int in = ++marks, done = ++marks;
        for (int v : set) mark[v] = in;
        List<int[]> out = new ArrayList<>();
        int[] queue = new int[set.length];
        for (int v : set) {
            if (mark[v] == done) continue;
            int n = 0;
            mark[v] = done;
            queue[n++] = v;
            for (int i = 0; i < n; i++)
                for (int e = first[queue[i]]; e < first[queue[i] + 1]; e++)
                    if (mark[neighbour[e]] == in) {
                        mark[neighbour[e]] = done;
                        queue[n++] = neighbour[e];
                    }
            out.add(Arrays.stream(queue, 0, n).sorted().toArray());
        }
        return out;
    }

    /** Splits a connected set into halves, any other set into its largest component and the rest. */
    private int[][] split(int[] set) {
        List<int[]> c = components(set);
        if (c.size() == 1) return halves(set);
        int[] largest = c.stream().reduce((a, b) -> b.length > a.length ? b : a).orElseThrow();
        return new int[][] {
            largest,
            c.stream()
                    .filter(p -> p != largest)
                    .flatMapToInt(Arrays::stream)
                    .sorted()
                    .toArray()
        };
    }

    private int[][] halves(int[] set) {
        distances(set, set[0]);
        int a = farthest(set);
        distances(set, a);
        int b = farthest(set);
        float[] key = new float[set.length];
        for (int i = 0; i < set.length; i++) key[i] = distance[set[i]];
        distances(set, b);
        long[] sorted = new long[set.length];
        for (int i = 0; i < set.length; i++) {
            int bits = Float.floatToIntBits(key[i] - distance[set[i]] + 0f); // The int sorts like the float.
            sorted[i] = (long) (bits ^ bits >> 31 & Integer.MAX_VALUE) << 32 | set[i];
        }
        Arrays.sort(sorted);
        int half = set.length / 2;
        return new int[][] {
            Arrays.stream(sorted, 0, half).mapToInt(x -> (int) x).sorted().toArray(),
            Arrays.stream(sorted, half, set.length)
                    .mapToInt(x -> (int) x)
                    .sorted()
                    .toArray()
        };
    }

    private int farthest(int[] set) {
        int best = set[0];
        for (int v : set) if (distance[v] > distance[best]) best = v;
        return best;
    }

    /**
     * Distances from one vertex to all vertices of a set, along edges within the set (Dijkstra 1959); infinite if a
     * vertex cannot be reached.
     */
    private void distances(int[] set, int from) {
        int in = ++marks;
        for (int v : set) {
            mark[v] = in;
            distance[v] = Float.POSITIVE_INFINITY;
        }
        distance[from] = 0;
        heap.push(from, distance);
        while (heap.size > 0) {
            int v = heap.pop(distance);
            for (int e = first[v]; e < first[v + 1]; e++) {
                int w = neighbour[e];
                float d = distance[v] + length[e];
                if (mark[w] == in && d < distance[w]) {
                    distance[w] = d;
                    heap.push(w, distance);
                }
            }
        }
    }

    /**
     * Concatenates the pairs of halves. Swaps halves so that the sum of the distances between consecutive pairs is
     * minimal.
     */
    private List<int[]> oriented(List<int[][]> split) {
        int n = split.size();
        int[][] centre = new int[n][];
        for (int i = 0; i < n; i++)
            centre[i] = Arrays.stream(split.get(i)).mapToInt(this::centre).toArray();
        double[][] cost = new double[n][2]; // Cost of the best order that ends with pair i, swapped (1) or not (0).
        int[][] from = new int[n][2];
        for (int i = 1; i < n; i++) {
            int turns = split.get(i).length, before = split.get(i - 1).length;
            int[] union = java.util.stream.Stream.of(split.get(i - 1), split.get(i))
                    .flatMap(Arrays::stream)
                    .flatMapToInt(Arrays::stream)
                    .toArray();
            Arrays.fill(cost[i], Double.POSITIVE_INFINITY);
            for (int b = 0; b < before; b++) {
                int last = centre[i - 1][before - 1 - b];
                distances(union, last);
                for (int t = 0; t < turns; t++) {
                    int next = centre[i][t];
                    // If the pieces do not touch: four times the straight distance, to prefer pieces that touch.
                    double way = distance[next] < Float.POSITIVE_INFINITY ? distance[next] : 4 * straight(last, next);
                    if (cost[i - 1][b] + way < cost[i][t]) {
                        cost[i][t] = cost[i - 1][b] + way;
                        from[i][t] = b;
                    }
                }
            }
        }
        int turn = split.get(n - 1).length > 1 && cost[n - 1][1] < cost[n - 1][0] ? 1 : 0;
        int[][][] rows = new int[n][][];
        for (int i = n - 1; i >= 0; i--) {
            int[][] p = split.get(i);
            rows[i] = turn == 1 ? new int[][] {p[1], p[0]} : p;
            turn = from[i][turn];
        }
        return Arrays.stream(rows)
                .flatMap(Arrays::stream)
                .collect(java.util.stream.Collectors.toCollection(ArrayList::new));
    }

    /** The vertex nearest to the mean position of a set. */
    private int centre(int[] set) {
        double[] mean = new double[3];
        for (int v : set) for (int k = 0; k < 3; k++) mean[k] += mesh.points()[3 * vertices[v] + k] / set.length;
        int best = -1;
        double least = Double.POSITIVE_INFINITY;
        for (int v : set) {
            double d = 0;
            for (int k = 0; k < 3; k++) d += Math.pow(mesh.points()[3 * vertices[v] + k] - mean[k], 2);
            if (d < least) {
                least = d;
                best = v;
            }
        }
        return best;
    }

    private float straight(int a, int b) {
        double d = 0;
        for (int k = 0; k < 3; k++)
            d += Math.pow(mesh.points()[3 * vertices[a] + k] - mesh.points()[3 * vertices[b] + k], 2);
        return (float) Math.sqrt(d);
    }

    /** A binary heap of vertices by distance, with decrease-key. */
    private static final class Heap {
        private final int[] item;
        private final int[] place;
        int size;

        Heap(int n) {
            item = new int[n];
            place = new int[n];
            Arrays.fill(place, -1);
        }

        /** Adds a vertex, or moves it up after its distance has decreased. */
        void push(int v, float[] key) {
            int i = place[v] >= 0 ? place[v] : size++;
            for (; i > 0 && key[v] < key[item[(i - 1) / 2]]; i = (i - 1) / 2) put(i, item[(i - 1) / 2]);
            put(i, v);
        }

        int pop(float[] key) {
            int top = item[0], v = item[--size], i = 0;
            place[top] = -1;
            if (size == 0) return top;
            for (int child; (child = 2 * i + 1) < size; i = child) {
                if (child + 1 < size && key[item[child + 1]] < key[item[child]]) child++;
                if (key[v] <= key[item[child]]) break;
                put(i, item[child]);
            }
            put(i, v);
            return top;
        }

        private void put(int i, int v) {
            item[i] = v;
            place[v] = i;
        }
    }
}
