// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.FsaverageVertices;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.io.NpyFile;
import org.cortigan.surface.Fsaverage;
import org.cortigan.train.HeldOut;
import org.jspecify.annotations.Nullable;

/**
 * A subject's vertices on the surfaces: where they lie, which vertex of the mesh shows which, the ROIs and the noise
 * ceilings. Vertices are counted as in the files, missing ones included.
 */
final class SubjectMap {
    private static final double CEILING_SCALE = 1.0 / Short.MAX_VALUE;
    private static final String[] HEMISPHERES = {"lh", "rh"};

    private final String name;
    private final Path folder;
    /** fsaverage vertex of each vertex, and vertex that each vertex of the mesh shows or -1; both by hemisphere. */
    private final int[][] where, shown;

    private final List<Roi> rois = new ArrayList<>();
    private final float @Nullable [][] ceiling;
    private final MissingVertices missing;

    /** @param vertices by hemisphere, ascending */
    private record Roi(String roiClass, String name, int[][] vertices) {}

    /**
     * @param name in the report
     * @param unit of the subject's noise ceilings
     * @param level of the mesh
     */
    SubjectMap(AlgonautsSubject s, String name, NoiseCeiling.Unit unit, int level) {
        this.name = name;
        folder = s.folder();
        missing = s.missing();
        where = FsaverageVertices.of(s);
        shown = new int[][] {Fsaverage.nearest(where[0], level), Fsaverage.nearest(where[1], level)};
        Map<String, Roi> byName = new LinkedHashMap<>();
        for (VertexGroup g : s.groupsInFiles()) {
            Roi roi = byName.computeIfAbsent(
                    g.roiClass() + "/" + g.name(), k -> new Roi(g.roiClass(), g.name(), new int[2][0]));
            roi.vertices[g.hemisphere().equals("lh") ? 0 : 1] = g.vertices();
        }
        rois.addAll(byName.values());
        NoiseCeiling known = HeldOut.ceiling(s, unit);
        ceiling = known == null ? null : inFiles(known.toFloats());
    }

    String name() {
        return name;
    }

    /** Vertices in the files of both hemispheres. */
    int vertices() {
        return where[0].length + where[1].length;
    }

    /** Vertices in the files of a hemisphere. */
    int vertices(int hemisphere) {
        return where[hemisphere].length;
    }

    /** How many of the vertices the mesh shows. */
    int shownVertices() {
        int n = 0;
        for (int[] hemisphere : shown)
            n += (int) Arrays.stream(hemisphere).filter(v -> v >= 0).distinct().count();
        return n;
    }

    /**
     * Reads values of all vertices.
     *
     * @return [2][vertices of the hemisphere's files]
     * @throws InputException if a file has another number of values
     */
    float[][] read(Path evaluation, String name) {
        float[][] values = new float[2][];
        for (int h = 0; h < 2; h++) {
            Path file = evaluation.resolve(HEMISPHERES[h] + "_" + name + ".npy");
            try (NpyFile f = NpyFile.open(file)) {
                if (!f.isVector(where[h].length))
                    throw new InputException(
                            file.toString(),
                            "has the shape " + Arrays.toString(f.shape()) + ", but " + folder + " has "
                                    + where[h].length + " vertices in that hemisphere",
                            "Give the data that the evaluation is of, with --data and --subject");
                values[h] = f.toFloatArray();
            }
        }
        return values;
    }

    /**
     * Values of all vertices of the files, NaN of missing ones.
     *
     * @param values of the vertices that are not missing, left before right
     * @return [2][vertices of the hemisphere's files]
     */
    float[][] inFiles(float[] values) {
        int left = where[0].length - missing.left().size();
        return new float[][] {
            MissingVertices.insert(missing.left(), Float.NaN, values, 0, left),
            MissingVertices.insert(missing.right(), Float.NaN, values, left, values.length - left)
        };
    }

    /** NaN for all vertices of the files. */
    float[][] unknown() {
        float[][] values = {new float[where[0].length], new float[where[1].length]};
        for (float[] hemisphere : values) Arrays.fill(hemisphere, Float.NaN);
        return values;
    }

    /** Values of the vertices of the mesh, [2][vertices of the level]; NaN where it shows none. */
    float[][] onMesh(float[][] values) {
        float[][] mesh = new float[2][];
        for (int h = 0; h < 2; h++) {
            mesh[h] = new float[shown[h].length];
            for (int v = 0; v < mesh[h].length; v++) mesh[h][v] = shown[h][v] < 0 ? Float.NaN : values[h][shown[h][v]];
        }
        return mesh;
    }

    Map<String, Object> json() {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("vertices", Geometry.pair(where[0].length, where[1].length));
        json.put("fsaverage", Geometry.pair(Blob.ascending(where[0]), Blob.ascending(where[1])));
        json.put("shown", Geometry.pair(Blob.integers(shown[0]), Blob.integers(shown[1])));
        List<Object> all = new ArrayList<>();
        for (Roi roi : rois) {
            Map<String, Object> r = new LinkedHashMap<>();
            r.put("class", roi.roiClass);
            r.put("name", roi.name);
            r.put("lh", Blob.ascending(roi.vertices[0]));
            r.put("rh", Blob.ascending(roi.vertices[1]));
            all.add(r);
        }
        json.put("rois", all);
        float[][] c = ceiling;
        json.put(
                "ceiling",
                c == null ? null : Geometry.pair(Blob.numbers(c[0], CEILING_SCALE), Blob.numbers(c[1], CEILING_SCALE)));
        return json;
    }
}
