// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.cortex.Regions.Order;
import org.cortigan.io.Formats;
import org.cortigan.io.NpyWriter;
import org.cortigan.io.NumpyPickle;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.simulate.SimulatedDataset;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Regions of a small simulated subject. Its ROIs overlap, some are empty or tiny, and some vertices are in none. */
class RegionsTest {
    private static final int LEFT = 400, RIGHT = 420;

    @TempDir
    Path dir;

    private AlgonautsSubject s;
    private final List<String> log = new ArrayList<>();

    @BeforeEach
    void simulate() {
        List<Path> photos = BundledPhotos.extract(dir.resolve("photos"));
        SimulatedDataset.write(
                new SimulatedDataset.Options(dir.resolve("data"), 1, photos, 6, 2, 64, 5),
                new int[] {LEFT, RIGHT},
                x -> {});
        s = AlgonautsSubject.open(dir.resolve("data"), 1);
    }

    @AfterEach
    void close() {
        s.close();
    }

    private List<Region> of(String grouping, Order order, int minimum) {
        return Regions.of(grouping, order, null, minimum, s, log::add);
    }

    /** Vertices of an ROI by the ids in the mask files, left hemisphere first. */
    private int[] roi(String roiClass, String name) {
        return s.groups().stream()
                .filter(g -> g.roiClass().equals(roiClass) && g.name().equals(name))
                .flatMapToInt(g ->
                        Arrays.stream(g.vertices()).map(v -> v + (g.hemisphere().equals("lh") ? 0 : LEFT)))
                .sorted()
                .toArray();
    }

    private static Set<Integer> union(List<Region> regions) {
        return regions.stream()
                .flatMap(r -> Arrays.stream(r.vertices()).boxed())
                .collect(Collectors.toCollection(TreeSet::new));
    }

    @Test
    void groupingsHaveTheirRegions() {
        assertArrayEquals(
                IntStream.range(0, 820).toArray(),
                of("all", Order.STORED, 50).get(0).vertices());
        List<Region> two = of("hemisphere", Order.STORED, 50);
        assertEquals(List.of("lh", "rh"), two.stream().map(Region::name).toList());
        assertArrayEquals(IntStream.range(400, 820).toArray(), two.get(1).vertices());
        assertTrue(log.isEmpty());

        List<Region> streams = of("streams", Order.STORED, 1);
        assertEquals(
                List.of(
                        "early",
                        "midventral",
                        "midlateral",
                        "midparietal",
                        "ventral",
                        "lateral",
                        "parietal",
                        "remainder"),
                streams.stream().map(Region::name).toList());
        assertArrayEquals(roi("streams", "midventral"), streams.get(1).vertices());
        assertEquals(820, streams.stream().mapToInt(r -> r.vertices().length).sum(), "streams do not overlap");

        List<Region> classes = of("classes", Order.STORED, 1);
        int present = 0;
        for (VertexGroup g : s.groups())
            if (g.hemisphere().equals("lh")
                    && !g.roiClass().equals("streams")
                    && roi(g.roiClass(), g.name()).length > 0) present++;
        assertEquals(present + 1, classes.size());
        assertEquals("V1v", classes.get(0).name());
        assertEquals(820, union(classes).size());
        assertTrue(classes.stream().mapToInt(r -> r.vertices().length).sum() > 820, "ROIs overlap");
    }

    /** Two regions of one name would be one network, or none. */
    @Test
    void regionsHaveNamesOfTheirOwn() {
        Path masks = s.folder().resolve("roi_masks");
        NumpyPickle.writeMapping(
                masks.resolve("mapping_streams.npy"), Map.of(0, "Unknown", 1, "remainder", 2, "early"));
        NumpyPickle.writeMapping(masks.resolve("mapping_floc-faces.npy"), Map.of(0, "Unknown", 1, "V1v", 2, "FFA-1"));
        for (String c : List.of("streams", "floc-faces"))
            for (String h : List.of("lh", "rh")) {
                int[] mask = new int[h.equals("lh") ? LEFT : RIGHT];
                mask[3] = 1;
                mask[4] = 2;
                NpyWriter.save(masks.resolve(h + "." + c + "_challenge_space.npy"), mask, mask.length);
            }
        s.close();
        s = AlgonautsSubject.open(dir.resolve("data"), 1);
        assertEquals(
                List.of("remainder", "early", "remainder-2"),
                of("streams", Order.STORED, 1).stream().map(Region::name).toList());
        List<Region> classes = of("classes", Order.STORED, 1);
        List<String> names = classes.stream().map(Region::name).toList();
        assertEquals(names.size(), Set.copyOf(names).size(), names.toString());
        assertTrue(names.contains("V1v") && names.contains("floc-faces V1v"), names.toString());
        assertArrayEquals(
                new int[] {3, LEFT + 3},
                classes.get(names.indexOf("floc-faces V1v")).vertices());
    }

    @Test
    void emptyAndTinyRoisGoToTheRemainder() {
        List<Region> all = of("floc-faces", Order.STORED, 1);
        log.clear();
        int minimum = all.get(0).vertices().length + 1;
        List<Region> large = of("floc-faces", Order.STORED, minimum);
        assertEquals(1, log.size());
        for (String part : new String[] {
            all.get(0).name() + " (" + (minimum - 1) + " vertices)", " fewer than " + minimum + " vertices"
        }) assertTrue(log.get(0).contains(part), log.get(0));
        assertTrue(large.stream().noneMatch(r -> r.name().equals(all.get(0).name())));
        assertEquals("remainder", large.get(large.size() - 1).name());
        assertEquals(820, union(large).size());
        assertTrue(large.stream().allMatch(r -> r.name().equals("remainder") || r.vertices().length >= minimum));
        // if all ROIs are too small, the remainder has all vertices
        List<Region> none = of("floc-faces", Order.STORED, 821);
        assertEquals(List.of("remainder"), none.stream().map(Region::name).toList());
        assertEquals(820, none.get(0).vertices().length);
    }

    @Test
    void verticesAreOrderedByRoi() {
        int[] order = of("hemisphere", Order.ROI, 1).get(1).vertices();
        assertArrayEquals(
                IntStream.range(400, 820).toArray(),
                Arrays.stream(order).sorted().toArray());
        int[] v1 = Arrays.stream(roi("prf-visualrois", "V1v"))
                .filter(v -> v >= LEFT)
                .toArray();
        assertArrayEquals(v1, Arrays.copyOf(order, v1.length));
        int[] whole = of("all", Order.ROI, 1).get(0).vertices();
        assertArrayEquals(order, Arrays.copyOfRange(whole, LEFT, 820), "the left hemisphere comes first");
        Set<Integer> functional = union(of("classes", Order.STORED, 1).stream()
                .filter(r -> !r.name().equals("remainder"))
                .toList());
        boolean rest = false;
        for (int v : order) {
            assertTrue(!rest || !functional.contains(v), "the remainder comes last");
            rest |= !functional.contains(v);
        }
    }

    @Test
    void verticesAreOrderedAlongTheSurface() throws Exception {
        // a sheet of 30 x 30 vertices at distances of 1 mm, stored in scattered order; about half of them are the
        // subject's
        int n = 30;
        for (int h = 0; h < 2; h++) {
            int[] at = IntStream.range(0, n * n).map(i -> i * 7 % (n * n)).toArray(), mask = new int[n * n];
            for (int i = 0; i < mask.length; i++) mask[i] = at[i] < (h == 0 ? LEFT : RIGHT) ? 1 : 0;
            NpyWriter.save(
                    s.folder().resolve("roi_masks/" + (h == 0 ? "lh" : "rh") + ".all-vertices_fsaverage_space.npy"),
                    mask,
                    mask.length);
            sheet(dir.resolve(h == 0 ? "lh.white" : "rh.white"), n, at);
        }
        int[] left = Regions.of("hemisphere", Order.SURFACE, dir, 1, s, log::add)
                .get(0)
                .vertices();
        assertArrayEquals(
                IntStream.range(0, LEFT).toArray(), Arrays.stream(left).sorted().toArray());
        int[] position = IntStream.range(0, n * n)
                .map(i -> i * 7 % (n * n))
                .filter(p -> p < LEFT)
                .toArray();
        double bySurface = 0, stored = 0;
        for (int i = 1; i < LEFT; i++) {
            bySurface += Math.hypot(
                            position[left[i]] % n - position[left[i - 1]] % n,
                            position[left[i]] / n - position[left[i - 1]] / n)
                    / (LEFT - 1);
            stored += Math.hypot(position[i] % n - position[i - 1] % n, position[i] / n - position[i - 1] / n)
                    / (LEFT - 1);
        }
        assertTrue(bySurface < 2 && stored > 2.5 * bySurface, bySurface + " mm by surface, " + stored + " as stored");
        List<Region> streams = Regions.of("streams", Order.SURFACE, dir, 1, s, log::add);
        assertArrayEquals(
                roi("streams", "early"),
                Arrays.stream(streams.get(0).vertices()).sorted().toArray());

        Path empty = Files.createDirectory(dir.resolve("empty"));
        refused(() -> Regions.of("all", Order.SURFACE, empty, 1, s, log::add), "empty", "no pair of", "lh.white");
        refused(() -> Regions.of("all", Order.SURFACE, dir.resolve("none"), 1, s, log::add), "none", "no such file");
        refused(() -> Regions.of("all", Order.SURFACE, null, 1, s, log::add), "meshes", "lh.white");
        // nilearn's file names and a mesh of another space; FreeSurfer's lh.white.H is not a mesh
        Files.writeString(empty.resolve("lh.white.H"), "curvature");
        Files.writeString(empty.resolve("rh.white.H"), "curvature");
        sheet(empty.resolve("pial_left.gii"), 5, IntStream.range(0, 25).toArray());
        sheet(empty.resolve("pial_right.gii"), 5, IntStream.range(0, 25).toArray());
        refused(() -> Regions.of("all", Order.SURFACE, empty, 1, s, log::add), "pial_left.gii", "25 vertices", "900");
        // TemplateFlow's names: values on a surface, and what macOS puts beside a file, are no surfaces
        for (String h : List.of("L", "R")) {
            String stem = "tpl-fsaverage_hemi-" + h + "_den-164k_";
            for (String other : List.of(
                    "._" + stem + "white.surf.gii",
                    stem + "desc-x_white.shape.gii",
                    stem + "white.label.gii",
                    stem + "white.func.gii.gz",
                    stem + "a_white.gii")) Files.writeString(empty.resolve(other), "no surface");
            sheet(
                    empty.resolve(stem + "white.surf.gii"),
                    5,
                    IntStream.range(0, 25).toArray());
        }
        refused(
                () -> Regions.of("all", Order.SURFACE, empty, 1, s, log::add),
                "tpl-fsaverage_hemi-L_den-164k_white.surf.gii: has 25 vertices");
    }

    @Test
    void missingClassesAndMeshesAreRefused() throws Exception {
        refused(() -> of("floc-cats", Order.STORED, 1), "'floc-cats'", "subject 1", "streams", "classes");
        for (String f : Formats.names(s.folder().resolve("roi_masks")))
            if (f.contains("floc-words"))
                Files.delete(s.folder().resolve("roi_masks").resolve(f));
        try (AlgonautsSubject fewer = AlgonautsSubject.open(dir.resolve("data"), 1)) {
            refused(
                    () -> Regions.of("classes", Order.STORED, null, 1, fewer, log::add),
                    "classes: class 'floc-words'",
                    "floc-faces");
            refused(() -> Regions.of("all", Order.ROI, null, 1, fewer, log::add), "order roi: class 'floc-words'");
        }
        // one file of a class without the others
        Path masks = s.folder().resolve("roi_masks"), copy = masks.resolve("mapping_streams (1).npy");
        for (Path stray :
                List.of(copy, masks.resolve("rh.foo_challenge_space.npy"), masks.resolve("._mapping_a.npy"))) {
            Files.copy(masks.resolve("mapping_streams.npy"), stray);
            if (stray.getFileName().toString().startsWith("."))
                AlgonautsSubject.open(dir.resolve("data"), 1).close();
            else
                refused(
                        () -> AlgonautsSubject.open(dir.resolve("data"), 1),
                        stray.toString(),
                        stray.equals(copy)
                                ? "which needs also lh.streams (1)_challenge_space.npy, rh.streams (1)_"
                                : "which needs also mapping_foo.npy, lh.foo_",
                        "move " + stray.getFileName() + " out of the folder");
            Files.delete(stray);
        }
        assertEquals(2, Regions.of("hemisphere", Order.STORED, 3, 4).size());
        assertEquals(7, Regions.of("all", Order.STORED, 3, 4).get(0).vertices().length);
        refused(() -> Regions.of("streams", Order.STORED, 3, 4), "'streams'", "roi_masks", "hemisphere");
        refused(() -> Regions.of("all", Order.SURFACE, 3, 4), "order surface", "stored");
    }

    /**
     * Writes the FreeSurfer geometry of a flat sheet of n x n vertices. Vertex i lies at position at[i], counted row by
     * row.
     */
    private static void sheet(Path file, int n, int[] at) throws Exception {
        int triangles = 2 * (n - 1) * (n - 1);
        ByteBuffer b = ByteBuffer.allocate(3 + 7 + 8 + 12 * n * n + 12 * triangles);
        b.put(new byte[] {-1, -1, -2})
                .put("sheet\n\n".getBytes(StandardCharsets.US_ASCII))
                .putInt(n * n)
                .putInt(triangles);
        int[] vertex = new int[n * n];
        for (int i = 0; i < n * n; i++) {
            int row = at[i] / n, column = at[i] % n;
            b.putFloat(column).putFloat(row).putFloat(0);
            vertex[at[i]] = i;
        }
        for (int y = 0; y < n - 1; y++)
            for (int x = 0; x < n - 1; x++) {
                int p = y * n + x;
                b.putInt(vertex[p]).putInt(vertex[p + 1]).putInt(vertex[p + n]);
                b.putInt(vertex[p + 1]).putInt(vertex[p + n + 1]).putInt(vertex[p + n]);
            }
        Files.write(file, b.array());
    }
}
