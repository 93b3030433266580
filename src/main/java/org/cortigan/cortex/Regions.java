// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.NpyFile;
import org.jspecify.annotations.Nullable;

/**
 * Divides a subject's vertices into the regions of the discriminators. Every vertex is in at least one region; a vertex
 * in overlapping ROIs is in several.
 *
 * <p>Groupings: {@code all}; {@code hemisphere}; an ROI class such as {@code streams} or {@code floc-faces}; and
 * {@code classes}, the ROIs of all five functional classes. The region of an ROI contains its vertices in both
 * hemispheres. The region {@code remainder} contains the vertices in no ROI of the grouping.
 */
public final class Regions {
    /** Groupings that every data set supports. */
    public static final String ALL = "all", HEMISPHERE = "hemisphere";
    /** Grouping by the ROIs of the functional classes (population receptive fields and functional localisers). */
    public static final String CLASSES = "classes";

    /** Name of the region of the vertices in no ROI. */
    public static final String REMAINDER = "remainder";

    private static final List<String> FUNCTIONAL =
            List.of("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words");
    private static final List<String> SURFACES = List.of("white", "midthickness", "pial", "infl(?:ated)?", "sphere");
    private static final String MESH_NAMES =
            "lh.white and rh.white (or pial, inflated, sphere), lh.white.surf.gii, or white_left.gii(.gz)";

    private Regions() {}

    /** Order of the vertices of a region. The left hemisphere always precedes the right. */
    public enum Order {
        /** As in the files of the responses. */
        STORED,
        /** By functional ROI: each vertex at its first ROI; vertices in no ROI follow. */
        ROI,
        /** By neighbourhood on the cortical surface, see {@link VertexOrder}. */
        SURFACE
    }

    /**
     * The regions of a subject.
     *
     * @param meshes folder of the fsaverage surface meshes; used for {@link Order#SURFACE} only, null otherwise
     * @param minVertices ROIs with fewer vertices are left out; their vertices go to other ROIs or the remainder
     * @param log receives a message if ROIs are left out
     * @throws InputException if the subject lacks the class (the message lists the classes that it has), or if files
     *     are missing or do not fit
     */
    public static List<Region> of(
            String grouping,
            Order order,
            @Nullable Path meshes,
            int minVertices,
            AlgonautsSubject s,
            Consumer<String> log) {
        List<Region> regions = new ArrayList<>();
        if (grouping.equals(ALL) || grouping.equals(HEMISPHERE)) {
            regions.addAll(of(grouping, Order.STORED, s.left(), s.right()));
        } else {
            List<String> out = new ArrayList<>();
            boolean[] covered = new boolean[s.vertices()];
            rois(grouping, grouping.equals(CLASSES) ? FUNCTIONAL : List.of(grouping), s)
                    .forEach((name, vertices) -> {
                        if (vertices.length == 0 || vertices.length < minVertices) {
                            out.add(name + " (" + (vertices.length == 0 ? "empty" : vertices.length + " vertices")
                                    + ")");
                            return;
                        }
                        regions.add(new Region(name, vertices));
                        for (int v : vertices) covered[v] = true;
                    });
            int[] rest =
                    IntStream.range(0, covered.length).filter(v -> !covered[v]).toArray();
            if (rest.length > 0) regions.add(new Region(REMAINDER, rest));
            if (!out.isEmpty())
                log.accept("regions of " + grouping + ": " + regions.size() + "; left out because they are empty or"
                        + " have fewer than " + minVertices + " vertices: " + String.join(", ", out));
        }
        if (order == Order.STORED) return List.copyOf(regions);
        if (order == Order.ROI) {
            int[] rank = new int[s.vertices()];
            Arrays.fill(rank, Integer.MAX_VALUE);
            int n = 0;
            for (int[] roi : rois("order roi", FUNCTIONAL, s).values()) {
                for (int v : roi) rank[v] = Math.min(rank[v], n);
                n++;
            }
            return ordered(
                    regions,
                    s.left(),
                    (hemisphere, vertices) -> IntStream.range(0, vertices.length)
                            .boxed()
                            .sorted(java.util.Comparator.comparingInt(
                                    i -> rank[vertices[i] + (hemisphere == 0 ? 0 : s.left())]))
                            .mapToInt(i -> i)
                            .toArray());
        }
        if (meshes == null)
            throw new InputException(
                    "order surface", "needs the fsaverage surface meshes", "Give the folder that holds " + MESH_NAMES);
        Path[] files = meshFiles(meshes);
        Mesh[] mesh = new Mesh[2];
        int[][] where = new int[2][];
        for (int h = 0; h < 2; h++) {
            mesh[h] = Mesh.read(files[h]);
            Path mask = s.folder().resolve("roi_masks/" + (h == 0 ? "lh" : "rh") + ".all-vertices_fsaverage_space.npy");
            int[] all;
            try (NpyFile f = NpyFile.open(mask)) {
                all = f.toIntArray();
            }
            if (all.length != mesh[h].vertices())
                throw new InputException(
                        files[h].toString(),
                        "has " + mesh[h].vertices() + " vertices, but " + mask + " has " + all.length,
                        "Give the meshes in the space of the masks: for the challenge fsaverage, 163842 vertices");
            where[h] = IntStream.range(0, all.length).filter(v -> all[v] != 0).toArray();
            int want = h == 0 ? s.left() : s.right();
            if (where[h].length != want)
                throw new InputException(
                        mask.toString(),
                        "marks " + where[h].length + " vertices, but that hemisphere has " + want,
                        "Give the masks and the responses of one subject");
        }
        return ordered(
                regions,
                s.left(),
                (hemisphere, vertices) -> VertexOrder.of(
                        mesh[hemisphere],
                        Arrays.stream(vertices).map(v -> where[hemisphere][v]).toArray()));
    }

    /**
     * The regions of data without ROI files: {@code all} and {@code hemisphere}, in stored order.
     *
     * @param left vertices of the left hemisphere
     * @param right vertices of the right hemisphere
     * @throws InputException for any other grouping or order
     */
    public static List<Region> of(String grouping, Order order, int left, int right) {
        if (order != Order.STORED)
            throw new InputException(
                    "order " + order.name().toLowerCase(java.util.Locale.ROOT),
                    "needs a subject's roi_masks, and these data have none",
                    "Use the order stored");
        return switch (grouping) {
            case ALL ->
                List.of(new Region("all", IntStream.range(0, left + right).toArray()));
            case HEMISPHERE ->
                Stream.of(
                                new Region("lh", IntStream.range(0, left).toArray()),
                                new Region(
                                        "rh",
                                        IntStream.range(left, left + right).toArray()))
                        .filter(r -> r.vertices().length > 0)
                        .toList();
            default ->
                throw new InputException(
                        "grouping " + InputFiles.quote(grouping),
                        "needs a subject's roi_masks, and these data have none",
                        "Use " + ALL + " or " + HEMISPHERE);
        };
    }

    /** Vertices by ROI of these classes, left then right; includes ROIs without vertices. */
    private static Map<String, int[]> rois(String what, List<String> classes, AlgonautsSubject s) {
        List<String> has =
                s.groups().stream().map(VertexGroup::roiClass).distinct().toList();
        Map<String, int[]> out = new LinkedHashMap<>();
        for (String c : classes) {
            if (!has.contains(c))
                throw new InputException(
                        s.folder().resolve("roi_masks") + ", " + (what.equals(c) ? "grouping " : what + ": class ")
                                + InputFiles.quote(c),
                        "subject " + s.number() + " has no such ROI class" + (has.isEmpty() ? ", nor any" : ""),
                        "Use one of "
                                + Stream.concat(Stream.of(ALL, HEMISPHERE), has.stream())
                                        .collect(Collectors.joining(", "))
                                + (has.containsAll(FUNCTIONAL) ? ", " + CLASSES : ""));
            for (VertexGroup g : s.groups())
                if (g.roiClass().equals(c))
                    out.merge(
                            g.name(),
                            Arrays.stream(g.vertices())
                                    .map(v -> v + (g.hemisphere().equals("lh") ? 0 : s.left()))
                                    .toArray(),
                            (a, b) -> IntStream.concat(Arrays.stream(a), Arrays.stream(b))
                                    .distinct()
                                    .sorted()
                                    .toArray());
        }
        return out;
    }

    /** Orders vertices of one hemisphere, counted from its first vertex; returns indices into {@code vertices}. */
    private interface Within {
        int[] order(int hemisphere, int[] vertices);
    }

    private static List<Region> ordered(List<Region> regions, int left, Within within) {
        return regions.stream()
                .map(r -> new Region(
                        r.name(),
                        IntStream.range(0, 2)
                                .boxed()
                                .flatMapToInt(h -> {
                                    int base = h == 0 ? 0 : left;
                                    int[] own = Arrays.stream(r.vertices())
                                            .filter(v -> v < left == (h == 0))
                                            .map(v -> v - base)
                                            .toArray();
                                    return Arrays.stream(within.order(h, own)).map(i -> own[i] + base);
                                })
                                .toArray()))
                .toList();
    }

    /**
     * Finds the left and the right mesh of the first available kind of surface. Kinds that preserve distances come
     * first.
     */
    private static Path[] meshFiles(Path folder) {
        List<Path> files;
        try (Stream<Path> s = Files.list(folder)) {
            files = s.sorted().toList();
        } catch (IOException e) {
            throw InputFiles.unreadable(folder, e);
        }
        for (String kind : SURFACES) {
            Path[] pair = new Path[2];
            for (int h = 0; h < 2; h++) {
                String hemi = h == 0 ? "l" : "r", side = h == 0 ? "left" : "right", letter = h == 0 ? "L" : "R";
                String names = hemi + "h\\." + kind // FreeSurfer
                        + "|" + hemi + "h\\.(.*[._-])?" + kind + "([._-].*)?\\.gii(\\.gz)?"
                        + "|(.*[._-])?" + kind + "_" + side + "\\.gii(\\.gz)?"
                        + "|(.*[._-])?(hemi-)?" + letter + "[._-](.*[._-])?" + kind + "([._-].*)?\\.gii(\\.gz)?";
                pair[h] = files.stream()
                        .filter(p -> p.getFileName().toString().matches(names))
                        .findFirst()
                        .orElse(null);
            }
            if (pair[0] != null && pair[1] != null) return pair;
        }
        throw new InputException(
                folder.toString(),
                "has no pair of surface meshes for both hemispheres",
                "Name the files as " + MESH_NAMES);
    }
}
