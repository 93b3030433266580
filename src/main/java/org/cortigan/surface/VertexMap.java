// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.FsaverageVertices;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/** One value for each vertex, and where on fsaverage these vertices lie. */
public final class VertexMap {
    private static final String[] NAMES = {"left", "right"};

    /** Left and right; null if a hemisphere has no file. */
    private final float[] @Nullable [] values;

    /** The fsaverage vertex of each value, [2][values], ascending; null if the values are all vertices of a level. */
    private final int @Nullable [][] where;

    private final int level;

    private VertexMap(float[] @Nullable [] values, int @Nullable [][] where, int level) {
        this.values = values;
        this.where = where;
        this.level = level;
    }

    /**
     * Reads values in the challenge's space or in fsaverage's, whichever their number tells.
     *
     * @param files see {@link VertexFiles#pair}
     * @param row see {@link VertexFiles#read}
     * @param subject whose vertices values in the challenge's space have; may be null for fsaverage's
     * @throws InputException if a file cannot be read, or its number of values fits no space
     */
    public static VertexMap read(List<Path> files, @Nullable Integer row, @Nullable AlgonautsSubject subject) {
        int[][] where = subject == null ? null : FsaverageVertices.of(subject);
        @Nullable Path[] pair = VertexFiles.pair(files);
        float[] @Nullable [] values = new float[2][];
        if (pair.length == 1) values = split(files.get(0), VertexFiles.read(files.get(0), row), where);
        else
            for (int h = 0; h < 2; h++) {
                Path file = pair[h];
                values[h] = file == null ? null : VertexFiles.read(file, row);
            }
        int level = -1;
        boolean challenge = false;
        Path first = null;
        for (int h = 0; h < 2; h++) {
            float[] own = values[h];
            if (own == null) continue;
            Path file = pair.length == 1 ? files.get(0) : pair[h];
            boolean ofSubject = where != null && where[h].length == own.length;
            int ownLevel = ofSubject ? Fsaverage.LEVEL : Fsaverage.level(own.length);
            if (ownLevel < 0) throw unknown(String.valueOf(file), own.length, h, where);
            if (first != null && (level != ownLevel || challenge != ofSubject))
                throw new InputException(
                        String.valueOf(file),
                        "has " + own.length + " values, which are in another space than those of " + first,
                        "Give both hemispheres in one space");
            level = ownLevel;
            challenge = ofSubject;
            first = file;
        }
        return new VertexMap(values, challenge ? where : null, level);
    }

    /** Takes the values of both hemispheres apart. */
    private static float[][] split(Path file, float[] all, int @Nullable [][] where) {
        int left = all.length / 2;
        if (where != null && where[0].length + where[1].length == all.length) left = where[0].length;
        else if (all.length % 2 != 0 || Fsaverage.level(left) < 0) {
            boolean one = Fsaverage.level(all.length) >= 0
                    || where != null && (where[0].length == all.length || where[1].length == all.length);
            if (one)
                throw new InputException(
                        file.toString(),
                        "has " + all.length + " values, as one hemisphere has, but its name does not say which",
                        "Let its name begin with lh_ or rh_, or give the files of both hemispheres");
            throw unknown(file.toString(), all.length, -1, where);
        }
        return new float[][] {Arrays.copyOf(all, left), Arrays.copyOfRange(all, left, all.length)};
    }

    private static InputException unknown(String file, int n, int h, int @Nullable [][] where) {
        String subject = where == null
                ? ""
                : h < 0
                        ? ", nor the subject's " + where[0].length + " left and " + where[1].length + " right vertices"
                        : ", nor the subject's " + where[h].length + " " + NAMES[h] + " vertices";
        return new InputException(
                file,
                "has " + n
                        + " values, which are not the vertices of fsaverage (163842 a hemisphere), fsaverage6 (40962)"
                        + " or fsaverage5 (10242)" + subject,
                where == null
                        ? "If they are the challenge's vertices, add --data DIR and --subject N"
                        : "Check --subject, and that each vertex has one value");
    }

    /** Whether a hemisphere (0 left, 1 right) has values. */
    public boolean has(int hemisphere) {
        return values[hemisphere] != null;
    }

    /** The level whose vertices the values have: fsaverage's for a subject's values. */
    public int level() {
        return level;
    }

    /** Number of values. */
    public int count() {
        int n = 0;
        for (float[] h : values) n += h == null ? 0 : h.length;
        return n;
    }

    /**
     * The values of a mesh.
     *
     * @param values [2][vertices of the mesh]; NaN has no value
     * @param shown how many of the map's values they are
     */
    public record OnMesh(float[][] values, int shown) {}

    /**
     * The values on a mesh: each vertex shows its own, or on a coarser mesh the nearest, see {@link Fsaverage#nearest}.
     *
     * @param meshLevel at most {@link #level}
     */
    public OnMesh on(int meshLevel) {
        if (meshLevel > level) throw new IllegalArgumentException("level " + meshLevel + " of " + level);
        float[][] out = new float[2][Fsaverage.vertices(meshLevel)];
        int shown = 0;
        for (int h = 0; h < 2; h++) {
            Arrays.fill(out[h], Float.NaN);
            float[] own = values[h];
            if (own == null) continue;
            int[] nearest = where == null ? null : Fsaverage.nearest(where[h], meshLevel);
            BitSet of = new BitSet(own.length);
            for (int v = 0; v < out[h].length; v++) {
                int i = nearest == null ? v : nearest[v];
                if (i < 0) continue;
                out[h][v] = own[i];
                of.set(i);
            }
            shown += of.cardinality();
        }
        return new OnMesh(out, shown);
    }

    /**
     * The outlines of a subject's ROIs.
     *
     * @param names of ROIs, of any class
     * @param meshLevel of the mesh that they are drawn on
     * @throws InputException if the subject has no ROI of a name; lists those that it has
     */
    public static List<Outline> outlines(AlgonautsSubject subject, List<String> names, int meshLevel) {
        if (names.isEmpty()) return List.of();
        int[][] where = FsaverageVertices.of(subject), nearest = new int[2][];
        for (int h = 0; h < 2; h++) nearest[h] = Fsaverage.nearest(where[h], meshLevel);
        List<VertexGroup> all = subject.groupsInFiles();
        List<Outline> outlines = new ArrayList<>();
        for (String name : names) {
            List<VertexGroup> groups =
                    all.stream().filter(g -> g.name().equals(name)).toList();
            if (groups.isEmpty()) {
                Set<String> known = new TreeSet<>();
                for (VertexGroup g : all) known.add(g.name());
                throw new InputException(
                        "--rois " + InputFiles.quote(name),
                        "is no ROI of " + subject.folder(),
                        known.isEmpty() ? "It has no ROI masks" : "Choose among " + String.join(", ", known));
            }
            boolean[][] inside = new boolean[2][Fsaverage.vertices(meshLevel)];
            for (VertexGroup g : groups) {
                int h = g.hemisphere().equals("lh") ? 0 : 1;
                boolean[] member = new boolean[where[h].length];
                for (int v : g.vertices()) member[v] = true;
                for (int v = 0; v < inside[h].length; v++) inside[h][v] |= nearest[h][v] >= 0 && member[nearest[h][v]];
            }
            outlines.add(new Outline(name, inside));
        }
        return outlines;
    }
}
