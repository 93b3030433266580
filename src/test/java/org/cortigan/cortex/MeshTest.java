// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import static org.cortigan.io.Formats.golden;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.cortigan.io.NpyFile;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Compares surface meshes with nibabel's files, and the order of vertices with the best possible patches. */
class MeshTest {
    private static final Path FSAVERAGE5 =
            Path.of(System.getProperty("cortigan.shared", "../shared"), "data/fsaverage5");

    private static Mesh parse(String name) {
        return Mesh.parse(Path.of(name), golden(name));
    }

    private static void refusedText(String from, String to, String... parts) {
        String text = new String(golden("mesh_gzip.gii"), StandardCharsets.UTF_8);
        assertTrue(java.util.regex.Pattern.compile(from).matcher(text).find(), from);
        refused(
                () -> Mesh.parse(Path.of("a.gii"), text.replaceFirst(from, to).getBytes(StandardCharsets.UTF_8)),
                parts);
    }

    @Test
    void equalsNibabel() {
        float[] points = NpyFile.parse(Path.of("p"), ByteBuffer.wrap(golden("mesh_points.npy")))
                .toFloatArray();
        ByteBuffer t = ByteBuffer.wrap(golden("mesh_triangles.npy")).order(ByteOrder.LITTLE_ENDIAN);
        int[] triangles = new int[60];
        t.position(128).asIntBuffer().get(triangles);
        for (String name : new String[] {
            "mesh.white",
            "mesh_base64.gii",
            "mesh_gzip.gii",
            "mesh_gzip.gii.gz",
            "mesh_big_endian.gii",
            "mesh_columns.gii",
            "mesh_ascii.gii",
            "mesh_types_64.gii",
            "mesh_types_32.gii",
            "mesh_types_16.gii"
        }) {
            Mesh m = parse(name);
            assertEquals(12, m.vertices());
            assertArrayEquals(triangles, m.triangles(), name);
            assertArrayEquals(
                    points, m.points(), name.contains("ascii") ? 1 / 32f : 0, name); // the script rounds to 1/16
        }
    }

    @Test
    void floatTrianglesAndWholePointsAreRead() {
        Mesh m = parse("mesh_types_swapped.gii"), exact = parse("mesh_gzip.gii");
        assertArrayEquals(exact.triangles(), m.triangles());
        for (int i = 0; i < m.points().length; i++)
            assertEquals(Math.rint(exact.points()[i]), m.points()[i], 0, "coordinate " + i);
        String ascii = new String(golden("mesh_ascii.gii"), StandardCharsets.UTF_8);
        int data = ascii.indexOf("<Data>", ascii.indexOf("INTENT_TRIANGLE")) + 6;
        refused(
                () -> Mesh.parse(
                        Path.of("a.gii"),
                        (ascii.substring(0, data) + "0.5" + ascii.substring(data + 1))
                                .getBytes(StandardCharsets.UTF_8)),
                "triangle 0 names vertex");
    }

    @Test
    void namesThatNibabelReadsAreRead() {
        for (String[] name : new String[][] {
            {"mesh_base64.gii", "LittleEndian", "GIFTI_ENDIAN_LITTLE"},
            {"mesh_base64.gii", "LittleEndian", "little"},
            {"mesh_big_endian.gii", "BigEndian", "GIFTI_ENDIAN_BIG"},
            {"mesh_base64.gii", "\"Base64Binary", "\"GIFTI_ENCODING_B64BIN"},
            {"mesh_gzip.gii", "GZipBase64Binary", "GIFTI_ENCODING_B64GZ"},
            {"mesh_gzip.gii", "GZipBase64Binary", "B64GZ"},
            {"mesh_ascii.gii", "\"ASCII", "\"GIFTI_ENCODING_ASCII"},
            {"mesh_columns.gii", "ColumnMajorOrder", "F"},
            {"mesh_gzip.gii", "NIFTI_TYPE_FLOAT32", "float32"},
            {"mesh_gzip.gii", "Dim0=\"12\"", "Dim0=\" 012\n\""},
            {"mesh_gzip.gii", "Dim1=\"3\"", "Dim1=\"+3 \""}
        }) {
            String text = new String(golden(name[0]), StandardCharsets.UTF_8);
            assertTrue(text.contains(name[1]), text);
            byte[] renamed = text.replace(name[1], name[2]).getBytes(StandardCharsets.UTF_8);
            assertArrayEquals(
                    parse(name[0]).points(),
                    Mesh.parse(Path.of("a.gii"), renamed).points());
        }
    }

    @Test
    void headersThatLieAboutTheTypeAreRefused() {
        String wide = new String(golden("mesh_types_64.gii"), StandardCharsets.UTF_8);
        for (String[] lie : new String[][] {{"INT64", "INT32"}, {"FLOAT64", "FLOAT32"}, {"INT64", "INT16"}})
            refused(
                    () -> Mesh.parse(
                            Path.of("a.gii"), wide.replace(lie[0], lie[1]).getBytes(StandardCharsets.UTF_8)),
                    "more than");
        refused(
                () -> Mesh.parse(
                        Path.of("a.gii"), wide.replace("FLOAT64", "COMPLEX64").getBytes(StandardCharsets.UTF_8)),
                "DataType",
                "COMPLEX64",
                "NIFTI_TYPE_FLOAT64");
    }

    @Test
    void damagedFilesAreRefused() {
        byte[] white = golden("mesh.white");
        Path p = Path.of("lh.white");
        refused(() -> Mesh.read(p), "lh.white", "no such file");
        refused(() -> Mesh.parse(p, new byte[0]), "lh.white", "neither");
        refused(() -> Mesh.parse(p, Arrays.copyOf(white, 10)), "first lines");
        refused(() -> Mesh.parse(p, Arrays.copyOf(white, white.length - 1)), "12 vertices and 20 triangles are more");
        byte[] quads = white.clone();
        quads[2] = -1;
        refused(() -> Mesh.parse(p, quads), "FF FF FF", "mris_convert");
        byte[] far = white.clone();
        far[white.length - 1] = 12;
        refused(() -> Mesh.parse(p, far), "triangle 19 names vertex 12 of 12");
        byte[] zipped = golden("mesh_gzip.gii.gz");
        refused(() -> Mesh.parse(p, Arrays.copyOf(zipped, 300)), "gzip");
        refusedText("<Data>", "<Data>!", "GZipBase64Binary");
        refusedText("<Data>.{40}", "<Data>", "GZipBase64Binary");
        refusedText("Dim0=\"12\"", "Dim0=\"13\"", "13 rows holds fewer");
        refusedText("Dim0=\"12\"", "Dim0=\"11\"", "11 rows holds more");
        refusedText("Dim0=\"12\"", "Dim0=\"99999999\"", "99999999");
        refusedText("Dim1=\"3\"", "Dim1=\"4\"", "Dim1", "'4'");
        refusedText("NIFTI_TYPE_FLOAT32", "NIFTI_TYPE_COMPLEX64", "NIFTI_TYPE_COMPLEX64");
        refusedText("GZipBase64Binary", "ExternalFileBinary", "Encoding", "ExternalFileBinary");
        refusedText("NIFTI_INTENT_TRIANGLE", "NIFTI_INTENT_SHAPE", "no data array of intent NIFTI_INTENT_TRIANGLE");
        refusedText("NIFTI_INTENT_TRIANGLE", "NIFTI_INTENT_POINTSET", "two point sets");
        refusedText("Dim0=\"20\"", "Dim0=\"0\"", "0 rows holds more");
        byte[] bare = Arrays.copyOf(white, white.length - 240); // points alone
        ByteBuffer.wrap(bare).putInt(bare.length - 148, 0);
        refused(() -> Mesh.parse(p, bare), "lh.white", "no triangle");
        refusedText("</GIFTI>", "", "not well-formed");
    }

    @Test
    void orderOfSmallSets() {
        Mesh m = parse("mesh.white");
        assertArrayEquals(new int[0], VertexOrder.of(m, new int[0]));
        assertArrayEquals(new int[] {0}, VertexOrder.of(m, new int[] {7}));
        int[] all = new int[12];
        Arrays.setAll(all, i -> i);
        int[] order = VertexOrder.of(m, all);
        assertArrayEquals(all, Arrays.stream(order).sorted().toArray());
        assertArrayEquals(order, VertexOrder.of(m, all));
    }

    /**
     * Checks that windows of consecutive vertices are patches: compares their geodesic diameters with those of disks
     * and of the stored order.
     */
    @Test
    @Tag("slow")
    void windowsArePatchesOfCortex() {
        Path file = FSAVERAGE5.resolve("pial_left.gii.gz");
        if (!Files.exists(file))
            System.out.println("skipped: the fsaverage5 meshes are not at " + FSAVERAGE5.toAbsolutePath());
        assumeTrue(Files.exists(file));
        Mesh mesh = Mesh.read(file);
        assertEquals(10_242, mesh.vertices());
        assertEquals(3 * 20_480, mesh.triangles().length);
        // about the challenge's part of the cortex: one end, and a separate part elsewhere
        int[] challengePart = IntStream.range(0, mesh.vertices())
                .filter(v -> mesh.points()[3 * v + 1] < -40 || mesh.points()[3 * v + 1] > 50)
                .toArray();
        int[] whole = IntStream.range(0, mesh.vertices()).toArray();
        for (int[] set : new int[][] {whole, challengePart}) {
            long start = System.nanoTime();
            int[] order =
                    Arrays.stream(VertexOrder.of(mesh, set)).map(i -> set[i]).toArray();
            double seconds = (System.nanoTime() - start) / 1e9;
            assertArrayEquals(set, Arrays.stream(order).sorted().toArray());
            Geodesic g = new Geodesic(mesh);
            for (int n : new int[] {9, 128}) {
                double[] d = {g.meanDiameter(order, n), g.meanDiameter(set, n), g.meanDisk(set, n)};
                System.out.printf(
                        Locale.ROOT,
                        "%d vertices, windows of %d: mean geodesic diameter %.1f mm by VertexOrder, "
                                + "%.1f as stored, %.1f of disks (%.2f s)%n",
                        set.length,
                        n,
                        d[0],
                        d[1],
                        d[2],
                        seconds);
                assertTrue(d[0] < 2.2 * d[2] && d[0] < d[1] / 3, "windows of " + n + ": " + Arrays.toString(d));
            }
        }
    }

    /** Distances along the edges of a whole mesh, implemented independently of the tested code. */
    private static final class Geodesic {
        private final Mesh mesh;
        private final List<Set<Integer>> next = new ArrayList<>();
        private final SplittableRandom random = new SplittableRandom(1);

        Geodesic(Mesh mesh) {
            this.mesh = mesh;
            for (int v = 0; v < mesh.vertices(); v++) next.add(new TreeSet<>());
            int[] t = mesh.triangles();
            for (int i = 0; i < t.length; i += 3)
                for (int k = 0; k < 3; k++) {
                    next.get(t[i + k]).add(t[i + (k + 1) % 3]);
                    next.get(t[i + k]).add(t[i + (k + 2) % 3]);
                }
        }

        /** Mean diameter of random windows: the largest distance between two of their vertices. */
        double meanDiameter(int[] order, int n) {
            int windows = n == 9 ? 60 : 4;
            double sum = 0;
            for (int w = 0; w < windows; w++) {
                int at = random.nextInt(order.length - n + 1);
                sum += diameter(Arrays.copyOfRange(order, at, at + n));
            }
            return sum / windows;
        }

        double meanDisk(int[] set, int n) {
            int disks = n == 9 ? 60 : 4;
            double sum = 0;
            for (int w = 0; w < disks; w++) sum += diameter(nearest(set[random.nextInt(set.length)], n, null));
            return sum / disks;
        }

        private double diameter(int[] window) {
            double largest = 0;
            for (int v : window) largest = Math.max(largest, farthest(v, window));
            return largest;
        }

        private double last;

        private double farthest(int from, int[] among) {
            nearest(from, mesh.vertices(), among);
            return last;
        }

        /**
         * The n vertices nearest to a vertex, or as many as it takes to reach all vertices of a set. Sets {@code last}
         * to the distance of the last vertex.
         */
        private int[] nearest(int from, int n, int[] until) {
            boolean[] wanted = new boolean[mesh.vertices()];
            int missing = until == null ? Integer.MAX_VALUE : until.length;
            if (until != null) for (int v : until) wanted[v] = true;
            double[] d = new double[mesh.vertices()];
            Arrays.fill(d, Double.POSITIVE_INFINITY);
            d[from] = 0;
            record At(double d, int v) {}
            PriorityQueue<At> queue = new PriorityQueue<>((a, b) -> Double.compare(a.d, b.d));
            queue.add(new At(0, from));
            int[] found = new int[n];
            int count = 0;
            while (!queue.isEmpty() && count < n && missing > 0) {
                At a = queue.poll();
                if (a.d > d[a.v]) continue;
                found[count++] = a.v;
                last = a.d;
                if (wanted[a.v]) missing--;
                for (int w : next.get(a.v)) {
                    double squares = 0;
                    for (int k = 0; k < 3; k++)
                        squares += Math.pow(mesh.points()[3 * a.v + k] - mesh.points()[3 * w + k], 2);
                    if (a.d + Math.sqrt(squares) < d[w]) {
                        d[w] = a.d + Math.sqrt(squares);
                        queue.add(new At(d[w], w));
                    }
                }
            }
            return Arrays.copyOf(found, count);
        }
    }
}
