// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.Csv;

/**
 * How well the response to each photograph is predicted: Pearson's r over the vertices of an ROI between predicted and
 * measured response, both less the training mean of each vertex, which all photographs share. Computed in double in two
 * passes; equal values have exactly no variance, and then there is no r. Not thread-safe; {@link #add} uses all cores.
 */
public final class PhotographScores {
    /** Fewer vertices give no r: an ROI with fewer is left out. */
    static final int LEAST_VERTICES = 10;

    private static final List<String> HEMISPHERES = List.of("both", "lh", "rh");

    /** Vertices over which r is computed; {@code hemisphere} is lh, rh or both. */
    private record Part(String hemisphere, String roiClass, String roi, int[] vertices) {}

    private record Roi(String roiClass, String name) {}

    private final int[] images;
    private final List<String> files;
    private final int nVertices;
    private final List<Part> parts = new ArrayList<>();
    /** [images][parts]. */
    private final double[][] r;

    /**
     * Scores without photographs yet.
     *
     * @param images indices of the photographs in their split
     * @param files names of the photographs' files, in the same order
     * @param left number of vertices of the left hemisphere
     * @param vertices number of vertices of both hemispheres
     * @param groups ROIs, with vertices counted within their hemisphere
     * @param notMeasured vertices of both hemispheres without responses, ascending; they are left out
     */
    public PhotographScores(
            int[] images, List<String> files, int left, int vertices, List<VertexGroup> groups, int[] notMeasured) {
        if (files.size() != images.length)
            throw new IllegalArgumentException(files.size() + " files of " + images.length + " photographs");
        this.images = images.clone();
        this.files = List.copyOf(files);
        nVertices = vertices;
        addParts(
                "",
                Evaluation.ALL,
                List.of(
                        IntStream.range(0, left).toArray(),
                        IntStream.range(left, vertices).toArray()),
                notMeasured);
        Map<Roi, int[][]> rois = new LinkedHashMap<>();
        for (VertexGroup g : groups) {
            boolean isLeft = g.hemisphere().equals("lh");
            rois.computeIfAbsent(new Roi(g.roiClass(), g.name()), roi -> new int[2][0])[isLeft ? 0 : 1] =
                    Arrays.stream(g.vertices()).map(v -> isLeft ? v : v + left).toArray();
        }
        rois.forEach((roi, both) -> addParts(roi.roiClass, roi.name, List.of(both[0], both[1]), notMeasured));
        r = new double[images.length][parts.size()];
        for (double[] row : r) Arrays.fill(row, Double.NaN);
    }

    private void addParts(String roiClass, String roi, List<int[]> hemispheres, int[] notMeasured) {
        for (String h : HEMISPHERES) {
            int[] vertices = IntStream.range(0, 2)
                    .filter(i -> h.equals("both") || h.equals(i == 0 ? "lh" : "rh"))
                    .flatMap(i -> Arrays.stream(hemispheres.get(i)))
                    .filter(v -> Arrays.binarySearch(notMeasured, v) < 0)
                    .toArray();
            if (vertices.length >= LEAST_VERTICES || roiClass.isEmpty())
                parts.add(new Part(h, roiClass, roi, vertices));
        }
    }

    /**
     * Adds a block of photographs, or replaces one.
     *
     * @param first place of the block's first photograph, from 0 on
     * @param prediction [rows, V] row-major, less the training means; the array may be longer
     * @param target [rows, V] likewise
     */
    public void add(int first, float[] prediction, float[] target, int rows) {
        Parallel.tiles(rows, 1, (from, to) -> {
            for (int row = from; row < to; row++)
                for (int p = 0; p < parts.size(); p++)
                    r[first + row][p] = correlation(prediction, target, row * nVertices, parts.get(p).vertices);
        });
    }

    /** Pearson's r over some vertices of the row at {@code at}; NaN of too few vertices or of equal values. */
    private static double correlation(float[] prediction, float[] target, int at, int[] vertices) {
        int n = vertices.length;
        if (n < LEAST_VERTICES) return Double.NaN;
        // Less the first value, so that the mean of equal values is exact.
        double firstP = prediction[at + vertices[0]], firstT = target[at + vertices[0]], meanP = 0, meanT = 0;
        for (int v : vertices) {
            meanP += (prediction[at + v] - firstP) / n;
            meanT += (target[at + v] - firstT) / n;
        }
        double squaresP = 0, squaresT = 0, products = 0;
        for (int v : vertices) {
            double p = prediction[at + v] - firstP - meanP, t = target[at + v] - firstT - meanT;
            squaresP += p * p;
            squaresT += t * t;
            products += p * t;
        }
        if (squaresP == 0 || squaresT == 0) return Double.NaN;
        return Math.max(-1, Math.min(1, products / (Math.sqrt(squaresP) * Math.sqrt(squaresT))));
    }

    /**
     * The places of the photographs whose responses, over all vertices of both hemispheres, are predicted best, the
     * best first, and then worst, the worst last; photographs without an r are left out.
     *
     * @param most how many, at most: half of them best, half worst
     */
    public int[] extremes(int most) {
        int[] order = IntStream.range(0, images.length)
                .filter(i -> !Double.isNaN(r[i][0]))
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -r[i][0]))
                .mapToInt(i -> i)
                .toArray();
        if (order.length <= most) return order;
        return IntStream.range(0, order.length)
                .filter(i -> i < most / 2 || i >= order.length - most / 2)
                .map(i -> order[i])
                .toArray();
    }

    /** Index in its split of the photograph at a place. */
    public int image(int place) {
        return images[place];
    }

    /** Name of the file of the photograph at a place. */
    public String file(int place) {
        return files.get(place);
    }

    /**
     * The content of photographs.csv: image (its index in the split, from 0 on), file, hemisphere (both, lh or rh),
     * class, roi, vertices and r, which is empty where there is none. A line for each photograph and set of vertices:
     * all vertices, then each ROI of at least 10.
     */
    public byte[] csv() {
        StringBuilder s =
                new StringBuilder(Csv.line(List.of("image", "file", "hemisphere", "class", "roi", "vertices", "r")));
        for (int i = 0; i < images.length; i++)
            for (int k = 0; k < parts.size(); k++) {
                Part p = parts.get(k);
                s.append(Csv.line(List.of(
                        Integer.toString(images[i]),
                        files.get(i),
                        p.hemisphere,
                        p.roiClass,
                        p.roi,
                        Integer.toString(p.vertices.length),
                        Double.isNaN(r[i][k]) ? "" : Float.toString((float) r[i][k]))));
            }
        return s.toString().getBytes(StandardCharsets.UTF_8);
    }
}
