// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.Arrays;

/**
 * The vertices and triangles of FreeSurfer's average surfaces. fsaverage is an icosahedron whose triangles have been
 * split into four, seven times; fsaverage5 is the same after five splits. A split keeps the vertices and their numbers,
 * and adds the middles of the edges behind them, so vertex v of fsaverage5 is vertex v of fsaverage. Both hemispheres
 * have the same triangles. The order of new vertices and triangles is FreeSurfer's: a test compares it with
 * fsaverage5's own file, at every level.
 */
public final class Fsaverage {
    /** Splits of fsaverage, in which the challenge counts its vertices, and of fsaverage5. */
    public static final int LEVEL = 7, LEVEL_5 = 5;

    /** Triangles of the icosahedron. */
    private static final int[] ICOSAHEDRON = {
        0, 3, 4, 0, 4, 5, 0, 5, 1, 0, 1, 2, 0, 2, 3, 3, 2, 8, 3, 8, 9, 3, 9, 4, 4, 9, 10, 4, 10, 5, 5, 10, 6, 5, 6, 1,
        1, 6, 7, 1, 7, 2, 2, 7, 8, 8, 11, 9, 9, 11, 10, 10, 11, 6, 6, 11, 7, 7, 11, 8
    };

    private Fsaverage() {}

    /** Vertices of a hemisphere after so many splits: 10,242 at level 5, 163,842 at level 7. */
    public static int vertices(int level) {
        return 10 * (1 << 2 * level) + 2;
    }

    /** The level that has so many vertices in a hemisphere; -1 if none has. */
    public static int level(int vertices) {
        for (int level = 0; level <= LEVEL; level++) if (vertices(level) == vertices) return level;
        return -1;
    }

    /** The name of the surfaces of a level: fsaverage, or fsaverage5 for level 5. */
    public static String name(int level) {
        return level == LEVEL ? "fsaverage" : "fsaverage" + level;
    }

    /** The triangles of a level, [triangles][3]; outward normals by the right-hand rule. */
    public static int[] triangles(int level) {
        int[] triangles = ICOSAHEDRON.clone();
        for (int l = 0; l < level; l++) triangles = split(triangles, l, new int[2 * vertices(l + 1)]);
        return triangles;
    }

    /**
     * The ends of the edge of whose middle a vertex was made.
     *
     * @return [vertices of the level][2]; 0, 0 for the twelve vertices of the icosahedron
     */
    public static int[] parents(int level) {
        int[] triangles = ICOSAHEDRON.clone(), parents = new int[2 * vertices(level)];
        for (int l = 0; l < level; l++) triangles = split(triangles, l, parents);
        return parents;
    }

    /**
     * Splits triangles into four.
     *
     * @param level of the triangles
     * @param parents receives the ends of the split edges
     */
    private static int[] split(int[] triangles, int level, int[] parents) {
        int n = triangles.length / 3, next = vertices(level);
        int[] out = new int[4 * triangles.length];
        EdgeMap middles = new EdgeMap(3 * n / 2);
        for (int t = 0; t < n; t++) {
            int a = triangles[3 * t], b = triangles[3 * t + 1], c = triangles[3 * t + 2];
            int ac = middles.of(a, c, next), bc, ab;
            next = added(ac, a, c, next, parents);
            bc = middles.of(b, c, next);
            next = added(bc, b, c, next, parents);
            ab = middles.of(a, b, next);
            next = added(ab, a, b, next, parents);
            put(out, t, a, ab, ac);
            int rest = n + 3 * t;
            put(out, rest, ac, bc, c);
            put(out, rest + 1, ab, bc, ac);
            put(out, rest + 2, ab, b, bc);
        }
        return out;
    }

    private static int added(int middle, int a, int b, int next, int[] parents) {
        if (middle != next) return next;
        parents[2 * middle] = Math.min(a, b);
        parents[2 * middle + 1] = Math.max(a, b);
        return next + 1;
    }

    private static void put(int[] triangles, int t, int a, int b, int c) {
        triangles[3 * t] = a;
        triangles[3 * t + 1] = b;
        triangles[3 * t + 2] = c;
    }

    /** The numbers of the middles of edges: a hash table, because Java's would box hundreds of thousands of edges. */
    private static final class EdgeMap {
        private final long[] edges;
        private final int[] middles;

        EdgeMap(int n) {
            int size = Integer.highestOneBit(n) * 4;
            edges = new long[size];
            middles = new int[size];
            Arrays.fill(edges, -1);
        }

        /** The middle of an edge; {@code next} if the edge is new. */
        int of(int a, int b, int next) {
            long edge = (long) Math.min(a, b) << 32 | Math.max(a, b);
            int mask = edges.length - 1, at = (int) (edge * 0x9E3779B97F4A7C15L >>> 32) & mask;
            while (edges[at] >= 0 && edges[at] != edge) at = at + 1 & mask;
            if (edges[at] < 0) {
                edges[at] = edge;
                middles[at] = next;
            }
            return middles[at];
        }
    }

    /** The neighbours of the vertices of a mesh: those of v are {@code all[first[v]] .. all[first[v + 1] - 1]}. */
    public record Neighbours(int[] first, int[] all) {
        /** @param triangles of a closed surface, each edge in two triangles */
        public static Neighbours of(int vertices, int[] triangles) {
            int[] first = new int[vertices + 1];
            for (int v : triangles) first[v + 1]++;
            for (int v = 0; v < vertices; v++) first[v + 1] += first[v];
            int[] all = new int[triangles.length], at = first.clone();
            // In a closed surface every vertex has as many neighbours as triangles, each once as the next corner.
            for (int i = 0; i < triangles.length; i++) all[at[triangles[i]]++] = triangles[i % 3 == 2 ? i - 2 : i + 1];
            return new Neighbours(first, all);
        }
    }

    /** The neighbours of fsaverage's vertices, made when they are first needed. */
    private static final class Full {
        static final Neighbours NEIGHBOURS = Neighbours.of(vertices(LEVEL), triangles(LEVEL));
    }

    /**
     * Which value each vertex of a coarser level shows: its own vertex's, or else the nearest by edges of fsaverage
     * within the half of the way to the next vertex of the level; of several equally near ones that of the lowest
     * number.
     *
     * @param where the fsaverage vertex of each value, ascending
     * @param level of the shown mesh
     * @return for each vertex of the level the index of a value, or -1 where none is near
     */
    public static int[] nearest(int[] where, int level) {
        int[] valueAt = new int[vertices(LEVEL)];
        Arrays.fill(valueAt, -1);
        for (int i = 0; i < where.length; i++) valueAt[where[i]] = i;
        int[] shown = Arrays.copyOf(valueAt, vertices(level));
        int reach = level < LEVEL ? 1 << LEVEL - level - 1 : 0;
        if (reach == 0) return shown;
        Neighbours neighbours = Full.NEIGHBOURS;
        int[] seen = new int[valueAt.length];
        Arrays.fill(seen, -1);
        int[] queue = new int[1 << 12];
        for (int v = 0; v < shown.length; v++)
            if (shown[v] < 0) shown[v] = search(v, reach, valueAt, neighbours, seen, queue);
        return shown;
    }

    /** The value nearest to a vertex, ring by ring. */
    private static int search(int v, int reach, int[] valueAt, Neighbours neighbours, int[] seen, int[] queue) {
        int from = 0, to = 1;
        queue[0] = v;
        seen[v] = v;
        for (int ring = 1; ring <= reach; ring++) {
            int end = to, best = -1;
            for (; from < end; from++) {
                int u = queue[from];
                for (int e = neighbours.first[u]; e < neighbours.first[u + 1]; e++) {
                    int w = neighbours.all[e];
                    if (seen[w] == v) continue;
                    seen[w] = v;
                    queue[to++] = w;
                    if (valueAt[w] >= 0 && (best < 0 || valueAt[w] < best)) best = valueAt[w];
                }
            }
            if (best >= 0) return best;
        }
        return -1;
    }
}
