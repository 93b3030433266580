// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.cortigan.InputException;
import org.cortigan.cortex.Mesh;
import org.cortigan.cortex.SurfaceFiles;
import org.cortigan.io.CurvFile;
import org.cortigan.io.GiftiFile;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/**
 * The surfaces of an average brain on which values are shown: both hemispheres, each with the triangles of
 * {@link Fsaverage}. Coordinates in mm: x to the right, y to the front, z up. The flat surface lies in the plane z = 0
 * and lacks the triangles along its cuts and of the medial wall.
 *
 * @param level of both hemispheres
 * @param meshes left and right mesh by kind; a folder may lack kinds
 * @param sulc depth of the sulci, [2][vertices], positive in a sulcus; null if it is not known
 */
public record Surfaces(int level, Map<Kind, Mesh[]> meshes, float @Nullable [][] sulc) {
    /** Kinds of surfaces. */
    public enum Kind {
        INFLATED("infl", "infl(?:ated)?"),
        PIAL("pial", "pial"),
        FLAT("flat", "(?:.*\\.)?flat(?:\\.patch\\.3d)?");
        private final String file, pattern;

        Kind(String file, String pattern) {
            this.file = file;
            this.pattern = pattern;
        }

        /** Name in options and reports, such as {@code inflated}. */
        public String key() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private static final String[] SIDES = {"left", "right"};

    private static final float UNKNOWN_SHADE = 0.3f;

    private static final String ONLY = "Only the surfaces of fsaverage fit the challenge's vertices: give the folder"
            + " surf of FreeSurfer's fsaverage, fsaverage6 or fsaverage5";

    /** fsaverage5, which comes with the program. */
    public static Surfaces bundled() {
        Map<Kind, Mesh[]> meshes = new EnumMap<>(Kind.class);
        for (Kind kind : Kind.values()) {
            Mesh[] pair = new Mesh[2];
            for (int h = 0; h < 2; h++) pair[h] = bundled(kind, h);
            meshes.put(kind, pair);
        }
        float[][] sulc = new float[2][];
        for (int h = 0; h < 2; h++) {
            String name = "sulc_" + SIDES[h] + ".gii.gz";
            sulc[h] = GiftiFile.values(Path.of(name), resource(name))[0];
        }
        return new Surfaces(Fsaverage.LEVEL_5, meshes, sulc);
    }

    /** One mesh of fsaverage5: hemisphere 0 left, 1 right. */
    public static Mesh bundled(Kind kind, int hemisphere) {
        String name = kind.file + "_" + SIDES[hemisphere] + ".gii.gz";
        return Mesh.parse(Path.of(name), resource(name));
    }

    private static byte[] resource(String name) {
        try (InputStream in = Surfaces.class.getResourceAsStream("/org/cortigan/surface/fsaverage5/" + name)) {
            return Objects.requireNonNull(in, name).readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * Reads the surfaces of fsaverage, fsaverage6 or fsaverage5: inflated or pial or both, and if they are there the
     * flat surface and the depth of the sulci.
     *
     * @throws InputException if there is neither an inflated nor a pial surface, or if they are of another brain
     */
    public static Surfaces read(Path folder) {
        Map<Kind, Mesh[]> meshes = new EnumMap<>(Kind.class);
        int level = -1;
        int[] triangles = {};
        for (Kind kind : Kind.values()) {
            Path[] files = SurfaceFiles.meshes(folder, kind.pattern);
            if (files == null) continue;
            if (kind == Kind.FLAT && level < 0) break;
            Mesh[] pair = new Mesh[2];
            for (int h = 0; h < 2; h++) {
                boolean patch = kind == Kind.FLAT && !files[h].toString().contains(".gii");
                pair[h] = patch ? Mesh.patch(files[h], Fsaverage.vertices(level), triangles) : Mesh.read(files[h]);
                if (level < 0) {
                    level = Fsaverage.level(pair[h].vertices());
                    triangles = level < 0 ? triangles : Fsaverage.triangles(level);
                }
                check(files[h], kind, pair[h], level, triangles);
                if (kind == Kind.FLAT) pair[h] = seenFromOutside(pair[h]);
            }
            meshes.put(kind, pair);
        }
        Mesh[] pial = meshes.get(Kind.PIAL);
        if (pial != null && meanX(pial[0]) > meanX(pial[1]))
            throw new InputException(
                    folder.toString(),
                    "has its left and right surfaces swapped: the left pial surface lies at the right",
                    "Give the files their right names");
        if (meshes.isEmpty())
            throw new InputException(
                    folder.toString(),
                    "has neither inflated nor pial surfaces of both hemispheres",
                    "Name the files as lh.inflated and rh.inflated (or pial), lh.inflated.surf.gii, or"
                            + " infl_left.gii(.gz)");
        return new Surfaces(level, meshes, sulc(folder, level));
    }

    private static double meanX(Mesh mesh) {
        double sum = 0;
        for (int i = 0; i < mesh.points().length; i += 3) sum += mesh.points()[i];
        return sum / mesh.vertices();
    }

    private static void check(Path file, Kind kind, Mesh mesh, int level, int[] triangles) {
        if (level < 0) throw new InputException(file.toString(), "has " + mesh.vertices() + " vertices", ONLY);
        if (mesh.vertices() != Fsaverage.vertices(level))
            throw new InputException(
                    file.toString(),
                    "has " + mesh.vertices() + " vertices, but another surface of its folder has "
                            + Fsaverage.vertices(level),
                    "Give surfaces of one resolution");
        if (kind != Kind.FLAT && !Arrays.equals(mesh.triangles(), triangles))
            throw new InputException(file.toString(), "has other triangles than fsaverage", ONLY);
    }

    /** A flat surface whose triangles are counterclockwise: one that is seen from within is turned over. */
    private static Mesh seenFromOutside(Mesh flat) {
        float[] p = flat.points();
        int[] t = flat.triangles();
        double area = 0;
        for (int i = 0; i < t.length; i += 3) {
            int a = 3 * t[i], b = 3 * t[i + 1], c = 3 * t[i + 2];
            area += (double) (p[b] - p[a]) * (p[c + 1] - p[a + 1]) - (double) (p[c] - p[a]) * (p[b + 1] - p[a + 1]);
        }
        if (area >= 0) return flat;
        float[] turned = p.clone();
        for (int i = 0; i < turned.length; i += 3) turned[i] = -turned[i];
        return new Mesh(turned, t);
    }

    private static float @Nullable [][] sulc(Path folder, int level) {
        Path[] files = SurfaceFiles.values(folder, "sulc");
        if (files == null) return null;
        float[][] sulc = new float[2][];
        for (int h = 0; h < 2; h++) {
            byte[] bytes =
                    GiftiFile.unpack(files[h], InputFiles.readAll(files[h], GiftiFile.MAX_BYTES, "depths of sulci"));
            sulc[h] = GiftiFile.isXml(bytes) ? GiftiFile.values(files[h], bytes)[0] : CurvFile.parse(files[h], bytes);
            if (sulc[h].length != Fsaverage.vertices(level))
                throw new InputException(
                        files[h].toString(),
                        "has " + sulc[h].length + " values, but the surfaces have " + Fsaverage.vertices(level)
                                + " vertices",
                        "Give the file of the same surfaces, or remove it");
        }
        return sulc;
    }

    /**
     * Depths in the sulci for shading, whose unit depends on the file: 0 the crown of a gyrus, 1 deep in a sulcus.
     *
     * @return [2][vertices]; a gyrus's grey everywhere if the depths are not known
     */
    public float[][] shades() {
        float[][] shades = new float[2][vertices()];
        for (int h = 0; h < 2; h++) {
            double squares = 0;
            if (sulc != null) for (float s : sulc[h]) squares += (double) s * s;
            double deviation = Math.sqrt(squares / vertices());
            for (int v = 0; v < vertices(); v++)
                shades[h][v] = sulc == null || deviation == 0
                        ? UNKNOWN_SHADE
                        : (float) (0.5 + 0.5 * Math.tanh(1.5 * sulc[h][v] / deviation));
        }
        return shades;
    }

    /** Whether there are meshes of a kind. */
    public boolean has(Kind kind) {
        return meshes.containsKey(kind);
    }

    /** The mesh of a hemisphere: 0 left, 1 right. */
    public Mesh mesh(Kind kind, int hemisphere) {
        return Objects.requireNonNull(meshes.get(kind), () -> "no surface " + kind)[hemisphere];
    }

    /** Vertices of a hemisphere. */
    public int vertices() {
        return Fsaverage.vertices(level);
    }
}
