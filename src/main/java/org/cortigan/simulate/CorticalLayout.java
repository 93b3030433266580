// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import java.util.Arrays;
import java.util.Comparator;
import java.util.Objects;
import java.util.PriorityQueue;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.cortigan.cortex.Mesh;
import org.cortigan.surface.Fsaverage;
import org.cortigan.surface.Surfaces;

/**
 * Where the vertices of a simulated hemisphere lie on fsaverage. The simulation orders vertices on a line, on which
 * every ROI is an interval. This class cuts the line where an ROI begins or ends, and lets every piece grow on the mesh
 * from where its ROI lies in most people, until it has its number of vertices. So maps of simulated results look like a
 * visual cortex: the pieces are connected, V1 lies in the calcarine sulcus, and the fusiform ROIs below.
 */
final class CorticalLayout {
    /**
     * Centre lines of the pieces in the left hemisphere: start on the line, then MNI305 coordinates of one or more
     * points, in mm. They are rounded from the literature on each area and need not be exact.
     */
    private static final double[][] PIECES = {
        {0, -8, -97, -9, -8, -82, -3, -13, -66, 0}, // V1v
        {0.045, -9, -99, 3, -8, -86, 8, -14, -68, 10}, // V1d
        {0.09, -15, -94, -13, -10, -78, -8, -15, -62, -5}, // V2v
        {0.125, -14, -99, 11, -8, -90, 18, -13, -74, 18}, // V2d
        {0.16, -22, -92, -13, -17, -78, -12, -21, -62, -9}, // V3v
        {0.195, -20, -95, 17, -11, -89, 27, -17, -78, 27}, // V3d
        {0.23, -28, -84, -15}, // hV4
        {0.255, -24, -97, 1}, // the rest of the early stream
        {0.27, -36, -82, -12}, // midventral
        {0.28, -41, -75, -14}, // OWFA
        {0.3, -36, -72, -18},
        {0.32, -38, -66, -20}, // ventral
        {0.33, -42, -62, -18}, // FBA-1
        {0.34, -41, -58, -20}, // FBA-1 and FFA-1
        {0.35, -39, -54, -22}, // FFA-1
        {0.36, -40, -52, -22}, // FFA-1 and FBA-2
        {0.362, -42, -49, -21}, // FBA-2
        {0.375, -41, -46, -23}, // FBA-2 and FFA-2
        {0.385, -40, -42, -25}, // FFA-2
        {0.395, -44, -43, -21}, // FFA-2 and VWFA-1
        {0.4, -46, -49, -16}, // VWFA-1
        {0.41, -47, -53, -14}, // VWFA-1 and VWFA-2
        {0.415, -47, -57, -12}, // VWFA-2
        {0.42, -33, -48, -15}, // VWFA-2 and PPA
        {0.425, -26, -46, -9}, // PPA
        {0.46, -31, -34, -19},
        {0.47, -45, -30, -23}, // mTL-bodies
        {0.472, -45, -28, -24},
        {0.475, -45, -26, -25}, // mTL-faces
        {0.476, -46, -24, -26},
        {0.478, -47, -22, -26}, // mTL-words
        {0.482, -44, -18, -29},
        {0.485, -37, -8, -38}, // aTL-faces
        {0.49, -44, -36, -23}, // mfs-words
        {0.5, -36, -88, 0}, // midlateral
        {0.52, -41, -81, -8}, // OFA
        {0.54, -44, -77, -7},
        {0.55, -46, -74, -3}, // OFA and EBA
        {0.56, -48, -70, 4}, // EBA
        {0.6, -43, -77, 13}, // EBA and OPA
        {0.62, -35, -83, 22}, // OPA
        {0.65, -53, -58, 8}, // lateral
        {0.72, -25, -87, 31}, // midparietal
        {0.75, -23, -72, 47}, // parietal
        {0.78, -14, -56, 12}, // RSC
        {0.81, -28, -58, 54}, // parietal
    };

    /** The vertices from here to the end of the line are in no ROI. */
    private static final double NO_ROI = 0.88;

    /** fsaverage vertex of every vertex of the line. */
    private final int[] where;

    private CorticalLayout(int[] where) {
        this.where = where;
    }

    /**
     * Places the vertices of a hemisphere.
     *
     * @param hemisphere 0 left, 1 right
     * @param strength of each vertex of the line; within a piece the strongest lie in the middle, as the reliable
     *     vertices of an area do, so that a map of results is smooth
     */
    static CorticalLayout of(int hemisphere, float[] strength) {
        boolean[] cortex = new boolean[Fsaverage.vertices(Fsaverage.LEVEL)];
        // The flat surface has all triangles but those of the medial wall and along the cuts.
        for (int v : Surfaces.bundled(Surfaces.Kind.FLAT, hemisphere).triangles()) cortex[v] = true;
        float[] points = refined(Surfaces.bundled(Surfaces.Kind.INFLATED, hemisphere), cortex);
        return new CorticalLayout(new Growth(points, lines(hemisphere), cortex, strength.length).placed(strength));
    }

    /** The fsaverage vertices in ascending order, which is the challenge's order of vertices. */
    int[] ascending() {
        return Arrays.stream(where).sorted().toArray();
    }

    /** For each vertex in the challenge's order its place on the line. */
    int[] order() {
        return IntStream.range(0, where.length)
                .boxed()
                .sorted(Comparator.comparingInt(i -> where[i]))
                .mapToInt(i -> i)
                .toArray();
    }

    /**
     * The centre lines on the inflated surface, [pieces][3 * points], where a distance does not jump from one bank of a
     * sulcus to the other.
     */
    private static double[][] lines(int hemisphere) {
        float[] pial = Surfaces.bundled(Surfaces.Kind.PIAL, hemisphere).points(),
                inflated = Surfaces.bundled(Surfaces.Kind.INFLATED, hemisphere).points();
        double side = hemisphere == 0 ? 1 : -1;
        double[][] lines = new double[PIECES.length][];
        for (int p = 0; p < lines.length; p++) {
            double[] line = lines[p] = new double[PIECES[p].length - 1];
            for (int at = 0; at < line.length; at += 3) {
                int v = nearest(pial, side * PIECES[p][at + 1], PIECES[p][at + 2], PIECES[p][at + 3], u -> true);
                for (int k = 0; k < 3; k++) line[at + k] = inflated[3 * v + k];
            }
        }
        return lines;
    }

    /** The allowed vertex nearest to a point. */
    private static int nearest(float[] points, double x, double y, double z, IntPredicate allowed) {
        int best = -1;
        double least = Double.POSITIVE_INFINITY;
        for (int v = 0; 3 * v < points.length; v++) {
            double d = squared(points[3 * v] - x, points[3 * v + 1] - y, points[3 * v + 2] - z);
            if (d < least && allowed.test(v)) {
                least = d;
                best = v;
            }
        }
        return best;
    }

    private static double squared(double x, double y, double z) {
        return x * x + y * y + z * z;
    }

    /** Coordinates of all vertices of fsaverage: the middles of the edges of fsaverage5, which is near enough. */
    private static float[] refined(Mesh coarse, boolean[] cortex) {
        int[] parents = Fsaverage.parents(Fsaverage.LEVEL);
        float[] points = Arrays.copyOf(coarse.points(), 3 * cortex.length);
        for (int v = coarse.vertices(); v < cortex.length; v++) {
            int a = parents[2 * v], b = parents[2 * v + 1];
            for (int k = 0; k < 3; k++) points[3 * v + k] = (points[3 * a + k] + points[3 * b + k]) / 2;
            cortex[v] = cortex[a] && cortex[b];
        }
        return points;
    }

    /** The pieces while they grow. */
    private static final class Growth {
        /** A vertex that a piece may take next, by its squared distance from the centre line over the piece's size. */
        private record Candidate(double distance, int piece, int vertex) {}

        private final float[] points;
        private final double[][] lines;
        private final Fsaverage.Neighbours neighbours =
                Fsaverage.Neighbours.of(Fsaverage.vertices(Fsaverage.LEVEL), Fsaverage.triangles(Fsaverage.LEVEL));
        private final boolean[] free;
        private final int[] start = new int[PIECES.length + 1], next = new int[PIECES.length];
        private final PriorityQueue<Candidate> candidates = new PriorityQueue<>(
                Comparator.comparingDouble(Candidate::distance).thenComparingInt(Candidate::vertex));
        private final int[] where;

        Growth(float[] points, double[][] lines, boolean[] cortex, int n) {
            this.points = points;
            this.lines = lines;
            free = cortex.clone();
            where = new int[n];
            for (int p = 0; p < PIECES.length; p++) start[p] = next[p] = (int) (PIECES[p][0] * n);
            start[PIECES.length] = (int) (NO_ROI * n);
            for (int p = 0; p < PIECES.length; p++)
                for (int at = 0; at < lines[p].length; at += 3) offer(p, nearestFree(p, at));
            grow();
            // A piece that others have enclosed goes on outside.
            for (int p = 0; p < PIECES.length; p++)
                while (next[p] < start[p + 1]) {
                    offer(p, nearestFree(p, 0));
                    grow();
                }
            fillGaps(start[PIECES.length]);
        }

        /**
         * Gives the vertices of no ROI, from place {@code at} of the line on, what lies between and around the pieces.
         */
        private void fillGaps(int at) {
            for (int i = 0; i < at; i++) offerNeighbours(where[i]);
            if (at == 0) candidates.add(new Candidate(0, -1, nearestFree(0, 0)));
            while (at < where.length) {
                int v = Objects.requireNonNull(candidates.poll(), "the cortex has too few vertices").vertex;
                if (!free[v]) continue;
                free[v] = false;
                where[at++] = v;
                offerNeighbours(v);
            }
        }

        private void offerNeighbours(int v) {
            for (int e = neighbours.first()[v]; e < neighbours.first()[v + 1]; e++) {
                int u = neighbours.all()[e];
                if (!free[u]) continue;
                double nearest = IntStream.range(0, PIECES.length)
                        .mapToDouble(p -> squaredDistance(p, u) / size(p))
                        .min()
                        .orElseThrow();
                candidates.add(new Candidate(nearest, -1, u));
            }
        }

        /** The vertices of the line, each piece's from the middle outwards by falling strength. */
        int[] placed(float[] strength) {
            int[] placed = new int[where.length];
            for (int p = 0; p <= PIECES.length; p++) {
                int from = start[p], to = p < PIECES.length ? start[p + 1] : where.length;
                int[] byStrength = IntStream.range(from, to)
                        .boxed()
                        .sorted(Comparator.comparingDouble(v -> -strength[v]))
                        .mapToInt(v -> v)
                        .toArray();
                for (int i = 0; i < byStrength.length; i++) placed[byStrength[i]] = where[from + i];
            }
            return placed;
        }

        private void grow() {
            for (Candidate c; (c = candidates.poll()) != null; ) {
                if (!free[c.vertex] || next[c.piece] == start[c.piece + 1]) continue;
                free[c.vertex] = false;
                where[next[c.piece]++] = c.vertex;
                for (int e = neighbours.first()[c.vertex]; e < neighbours.first()[c.vertex + 1]; e++)
                    offer(c.piece, neighbours.all()[e]);
            }
        }

        private void offer(int piece, int vertex) {
            if (!free[vertex]) return;
            candidates.add(new Candidate(squaredDistance(piece, vertex) / size(piece), piece, vertex));
        }

        private int size(int piece) {
            return Math.max(1, start[piece + 1] - start[piece]);
        }

        private int nearestFree(int piece, int at) {
            double[] p = lines[piece];
            return nearest(points, p[at], p[at + 1], p[at + 2], v -> free[v]);
        }

        /** The squared distance from the centre line, in mm^2. */
        private double squaredDistance(int piece, int v) {
            double[] p = lines[piece];
            double x = points[3 * v], y = points[3 * v + 1], z = points[3 * v + 2];
            double least = squared(x - p[0], y - p[1], z - p[2]);
            for (int a = 0; a + 3 < p.length; a += 3) {
                double dx = p[a + 3] - p[a], dy = p[a + 4] - p[a + 1], dz = p[a + 5] - p[a + 2];
                double length = squared(dx, dy, dz);
                double along = length == 0 ? 0 : (dx * (x - p[a]) + dy * (y - p[a + 1]) + dz * (z - p[a + 2])) / length;
                double t = Math.max(0, Math.min(1, along));
                least = Math.min(least, squared(x - p[a] - t * dx, y - p[a + 1] - t * dy, z - p[a + 2] - t * dz));
            }
            return least;
        }
    }
}
