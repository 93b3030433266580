// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
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
        List<Region> regions = grouping.equals(ALL) || grouping.equals(HEMISPHERE)
                ? of(grouping, Order.STORED, s.left(), s.right())
                : roiRegions(grouping, minVertices, s, log);
        return switch (order) {
            case STORED -> List.copyOf(regions);
            case ROI -> ordered(regions, s.left(), byRoi(s));
            case SURFACE -> ordered(regions, s.left(), SubjectMeshes.read(meshes, s)::order);
        };
    }

    /**
     * The number, from 0 on, of the first ROI that each vertex is in, in the order of the subject's ROIs; vertices in
     * none have a number of their own. Unlike the regions of a grouping, these parts do not overlap.
     *
     * @param byHemisphere whether an ROI is a part in each hemisphere, and not one in both
     */
    public static int[] roiOfVertex(AlgonautsSubject s, boolean byHemisphere) {
        Map<String, Integer> numbers = new LinkedHashMap<>();
        int[] roi = new int[s.vertices()];
        Arrays.fill(roi, -1);
        for (VertexGroup g : s.groups()) {
            String name = (byHemisphere ? g.hemisphere() + " " : "") + g.roiClass() + " " + g.name();
            int number = numbers.computeIfAbsent(name, n -> numbers.size());
            int base = g.hemisphere().equals("lh") ? 0 : s.left();
            for (int v : g.vertices()) if (roi[base + v] < 0) roi[base + v] = number;
        }
        for (int v = 0; v < roi.length; v++)
            if (roi[v] < 0) roi[v] = numbers.size() + (byHemisphere && v >= s.left() ? 1 : 0);
        return roi;
    }

    /** One region for each ROI that is large enough, then the remainder. */
    private static List<Region> roiRegions(String grouping, int minVertices, AlgonautsSubject s, Consumer<String> log) {
        List<Region> regions = new ArrayList<>();
        List<String> out = new ArrayList<>();
        boolean[] covered = new boolean[s.vertices()];
        rois(grouping, grouping.equals(CLASSES) ? FUNCTIONAL : List.of(grouping), s)
                .forEach((name, vertices) -> {
                    if (vertices.length == 0 || vertices.length < minVertices) {
                        out.add(name + " (" + (vertices.length == 0 ? "empty" : vertices.length + " vertices") + ")");
                        return;
                    }
                    regions.add(new Region(name, vertices));
                    for (int v : vertices) covered[v] = true;
                });
        int[] rest = IntStream.range(0, covered.length).filter(v -> !covered[v]).toArray();
        String remainder = REMAINDER;
        while (isNamed(regions, remainder)) remainder += "-2"; // an ROI may have that name
        if (rest.length > 0) regions.add(new Region(remainder, rest));
        if (!out.isEmpty())
            log.accept("regions of " + grouping + ": " + regions.size() + "; left out because they are empty or"
                    + " have fewer than " + minVertices + " vertices: " + String.join(", ", out));
        return regions;
    }

    private static boolean isNamed(List<Region> regions, String name) {
        return regions.stream().anyMatch(r -> r.name().equals(name));
    }

    /** The order of {@link Order#ROI}. */
    private static Within byRoi(AlgonautsSubject s) {
        int[] rank = new int[s.vertices()];
        Arrays.fill(rank, Integer.MAX_VALUE);
        int n = 0;
        for (int[] roi : rois("order roi", FUNCTIONAL, s).values()) {
            for (int v : roi) rank[v] = Math.min(rank[v], n);
            n++;
        }
        return (hemisphere, vertices) -> IntStream.range(0, vertices.length)
                .boxed()
                .sorted(Comparator.comparingInt(i -> rank[vertices[i] + (hemisphere == 0 ? 0 : s.left())]))
                .mapToInt(i -> i)
                .toArray();
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

    /**
     * Vertices by ROI of these classes, left then right; includes ROIs without vertices. An ROI with the name of
     * another class's has its class before its name.
     */
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
            Set<String> others = Set.copyOf(out.keySet());
            for (VertexGroup g : s.groups())
                if (g.roiClass().equals(c))
                    out.merge(
                            others.contains(g.name()) ? c + " " + g.name() : g.name(),
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
}
