// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.io.FileKind;
import org.cortigan.io.GiftiFile;
import org.cortigan.io.InputFiles;

/**
 * A triangle mesh of a cortical surface, read from FreeSurfer's binary geometry (lh.white, lh.pial, ...) or from GIFTI
 * (.gii, optionally compressed with gzip). Sources of the formats: FreeSurfer's wiki, FileFormats/TriangleSurfaces;
 * GIFTI 1.0 (nitrc.org/projects/gifti).
 *
 * @param points coordinates, [vertices][3], mm
 * @param triangles vertices of each triangle, [triangles][3]
 */
public record Mesh(float[] points, int[] triangles) {
    /** Number of vertices. */
    public int vertices() {
        return points.length / 3;
    }

    /**
     * Reads a mesh. The first bytes of the file determine its format.
     *
     * @throws InputException if the file is missing, damaged or not a triangle mesh
     */
    public static Mesh read(Path file) {
        return parse(file, InputFiles.readAll(file, GiftiFile.MAX_BYTES, "a surface mesh"));
    }

    /** Parses a file that is already in memory; {@code path} only names it in messages. */
    public static Mesh parse(Path path, byte[] file) {
        file = GiftiFile.unpack(path, file);
        if (file.length > 2 && file[0] == -1 && file[1] == -1) return freeSurfer(path, file);
        if (GiftiFile.isXml(file)) return gifti(path, file);
        throw new InputException(
                path.toString(),
                "is neither FreeSurfer geometry nor GIFTI",
                "Give a surface such as lh.white, or convert it with FreeSurfer's mris_convert");
    }

    /** Format: FF FF FE, two lines of text, counts of vertices and triangles, coordinates, triangles; big-endian. */
    private static Mesh freeSurfer(Path path, byte[] file) {
        if (file[2] != (byte) 0xfe)
            throw new InputException(
                    path.toString(),
                    String.format(
                            Locale.ROOT, "has the magic number FF FF %02X, not FF FF FE of a triangle mesh", file[2]),
                    "Convert it with FreeSurfer's mris_convert");
        int at = 3;
        for (int lines = 0; lines < 2; at++) {
            if (at >= file.length) throw bad(path, "it ends within its first lines");
            if (file[at] == '\n') lines++;
        }
        if (file.length - at < 8) throw bad(path, "it ends before the number of vertices");
        ByteBuffer in = ByteBuffer.wrap(file).position(at);
        int vertices = in.getInt(), triangles = in.getInt();
        if (vertices < 0 || triangles < 0 || 12L * vertices + 12L * triangles > in.remaining())
            throw bad(
                    path,
                    vertices + " vertices and " + triangles + " triangles are more than its " + file.length
                            + " bytes hold");
        return checked(path, floats(in, 3 * vertices), ints(in, 3 * triangles));
    }

    /**
     * Reads FreeSurfer's binary patch, such as lh.cortex.patch.flat: a part of a surface, cut and flattened. Format:
     * -1, count, then for each vertex its number + 1 (negative at the border) and three coordinates; big-endian.
     *
     * @param triangles of the whole surface; the patch keeps those whose corners it has
     * @param vertices of the whole surface; those outside the patch lie at 0
     * @throws InputException if the file is missing, damaged, or of a surface with other vertices
     */
    public static Mesh patch(Path path, int vertices, int[] triangles) {
        byte[] file = InputFiles.readAll(path, GiftiFile.MAX_BYTES, "a patch of a surface");
        ByteBuffer in = ByteBuffer.wrap(file);
        if (file.length < 8 || in.getInt() != -1)
            throw FileKind.refusal(
                    path,
                    Arrays.copyOf(file, Math.min(file.length, FileKind.START)),
                    "patch of FreeSurfer",
                    "Give a file such as lh.cortex.patch.flat, or a flat surface as GIFTI");
        int n = in.getInt();
        if (n < 0 || 16L * n > in.remaining()) throw bad(path, n + " vertices are more than its bytes hold");
        float[] points = new float[3 * vertices];
        boolean[] has = new boolean[vertices];
        for (int i = 0; i < n; i++) {
            int number = in.getInt(), v = Math.abs(number) - 1;
            if (v < 0 || v >= vertices)
                throw bad(path, "vertex " + i + " has the number " + number + " of a surface of " + vertices);
            has[v] = true;
            for (int k = 0; k < 3; k++) points[3 * v + k] = in.getFloat();
        }
        int[] kept = IntStream.range(0, triangles.length / 3)
                .filter(t -> has[triangles[3 * t]] && has[triangles[3 * t + 1]] && has[triangles[3 * t + 2]])
                .flatMap(t -> IntStream.range(3 * t, 3 * t + 3).map(i -> triangles[i]))
                .toArray();
        return checked(path, points, kept);
    }

    private static float[] floats(ByteBuffer in, int n) {
        float[] out = new float[n];
        in.asFloatBuffer().get(out);
        in.position(in.position() + 4 * n);
        return out;
    }

    private static int[] ints(ByteBuffer in, int n) {
        int[] out = new int[n];
        in.asIntBuffer().get(out);
        return out;
    }

    private static Mesh gifti(Path path, byte[] file) {
        float[] points = null;
        int[] triangles = null;
        for (GiftiFile.DataArray array :
                GiftiFile.parse(path, file, Set.of(GiftiFile.POINTS, GiftiFile.TRIANGLES)::contains)) {
            if (array.intent().equals(GiftiFile.POINTS)) {
                if (points != null) throw bad(path, "it has two point sets");
                points = array.floats();
            } else {
                if (triangles != null) throw bad(path, "it has two sets of triangles");
                triangles = triangles(path, array);
            }
        }
        if (points == null || triangles == null)
            throw new InputException(
                    path.toString(),
                    "has no data array of intent " + (points == null ? GiftiFile.POINTS : GiftiFile.TRIANGLES),
                    "Give a surface (.surf.gii), not data on a surface");
        return checked(path, points, triangles);
    }

    private static int[] triangles(Path path, GiftiFile.DataArray array) {
        int[] out = new int[array.elements()];
        for (int i = 0; i < out.length; i++) {
            double vertex = array.number(i);
            out[i] = (int) vertex;
            if (out[i] != vertex)
                throw bad(path, String.format(Locale.ROOT, "triangle %d names vertex %.15g", i / 3, vertex));
        }
        return out;
    }

    private static Mesh checked(Path path, float[] points, int[] triangles) {
        int n = points.length / 3;
        if (n == 0 || triangles.length == 0)
            throw bad(path, n == 0 ? "it has no vertex" : "it has no triangle, so that it is no surface");
        for (int i = 0; i < points.length; i++)
            if (!Float.isFinite(points[i])) throw bad(path, "vertex " + i / 3 + " has the coordinate " + points[i]);
        for (int i = 0; i < triangles.length; i++)
            if (triangles[i] < 0 || triangles[i] >= n)
                throw bad(path, "triangle " + i / 3 + " names vertex " + triangles[i] + " of " + n);
        return new Mesh(points, triangles);
    }

    private static InputException bad(Path path, String problem) {
        return new InputException(path.toString(), problem, GiftiFile.DAMAGED);
    }
}
