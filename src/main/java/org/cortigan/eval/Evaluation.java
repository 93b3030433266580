// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Json;
import org.cortigan.io.NpyWriter;
import org.jspecify.annotations.Nullable;

/**
 * Pearson's r of every vertex over all images of a split, summarised by hemisphere and ROI, with the bound and the
 * score that follow from the noise ceilings if these are known.
 */
public final class Evaluation {
    /**
     * The figures of a set of vertices.
     *
     * @param hemisphere lh, rh or both
     * @param roiClass class of the ROI, which names its mask file; empty for all vertices
     * @param vertices number of vertices; 0 for an ROI that the subject lacks
     * @param figures one per {@link Metric}, in the order of the constants; NaN if unknown, that is, without vertices
     *     or for a metric that needs noise ceilings, without noise ceilings
     */
    public record Row(String hemisphere, String roiClass, String roi, int vertices, double[] figures) {
        /** The figure of a metric; NaN if unknown. */
        public double figure(Metric metric) {
            return figures[metric.ordinal()];
        }

        /** Whether the figure of a metric is known. */
        public boolean has(Metric metric) {
            return !Double.isNaN(figure(metric));
        }

        private String shown(Metric metric) {
            return has(metric) ? metric.format(figure(metric)) : "-";
        }

        private boolean isAboveBound() {
            return figure(Metric.MEAN_R) > figure(Metric.BOUND); // False for NaN: the bound is unknown.
        }
    }

    /** Name of the rows of all vertices. */
    public static final String ALL = "all vertices";

    private static final Metric[] METRICS = Metric.values();

    private final String label;
    private final long images;
    private final int left;
    private final double[] r;
    private final int constantPredictions;
    private final int constantTargets;
    private final List<Row> rows = new ArrayList<>();

    private Evaluation(
            String label, PearsonAccumulator acc, int left, List<VertexGroup> groups, @Nullable NoiseCeiling nc) {
        this.label = label;
        this.images = acc.images();
        this.left = left;
        this.r = acc.r();
        this.constantPredictions = acc.constantPredictions();
        this.constantTargets = acc.constantTargets();
        rows.add(row("both", "", ALL, IntStream.range(0, r.length).toArray(), nc));
        rows.add(row("lh", "", ALL, IntStream.range(0, left).toArray(), nc));
        rows.add(row("rh", "", ALL, IntStream.range(left, r.length).toArray(), nc));
        for (VertexGroup g : groups) {
            int shift = g.hemisphere().equals("lh") ? 0 : left;
            rows.add(row(
                    g.hemisphere(),
                    g.roiClass(),
                    g.name(),
                    Arrays.stream(g.vertices()).map(v -> v + shift).toArray(),
                    nc));
        }
    }

    /**
     * Summarises the correlations of a split.
     *
     * @param label name of the evaluation in reports
     * @param acc correlations over all images of the split, left vertices then right
     * @param left number of vertices of the left hemisphere
     * @param groups ROIs, with vertices counted within their hemisphere
     * @param ceiling noise ceilings of all vertices, or null
     */
    public static Evaluation of(
            String label, PearsonAccumulator acc, int left, List<VertexGroup> groups, @Nullable NoiseCeiling ceiling) {
        return new Evaluation(label, acc, left, groups, ceiling);
    }

    private Row row(String hemisphere, String roiClass, String roi, int[] vertices, @Nullable NoiseCeiling ceilings) {
        double[] figures = new double[METRICS.length];
        Arrays.fill(figures, Double.NaN);
        if (vertices.length > 0) {
            double[] own = Arrays.stream(vertices).mapToDouble(v -> r[v]).toArray();
            NoiseCeiling ceiling = ceilings == null ? null : ceilings.of(vertices);
            for (Metric m : METRICS) figures[m.ordinal()] = m.of(own, ceiling);
        }
        return new Row(hemisphere, roiClass, roi, vertices.length, figures);
    }

    public String label() {
        return label;
    }

    /** Rows of all vertices (both hemispheres, lh, rh), then one row per ROI and hemisphere. */
    public List<Row> rows() {
        return rows;
    }

    /** Mean r over all vertices. */
    public double meanR() {
        return rows.get(0).figure(Metric.MEAN_R);
    }

    /** Median r over all vertices. */
    public double medianR() {
        return rows.get(0).figure(Metric.MEDIAN_R);
    }

    /** r of every vertex, left vertices then right. */
    public double[] r() {
        return r.clone();
    }

    /** Number of images of the split. */
    public long images() {
        return images;
    }

    /** The summary as a text table, with explanations and warnings. */
    public String table() {
        StringBuilder s = new StringBuilder();
        s.append(String.format(
                Locale.ROOT, "%s: Pearson's r over %d images, for each vertex, then over vertices%n", label, images));
        s.append(String.format("%-4s %-16s %-14s %8s", "", "class", "ROI", "vertices"));
        for (Metric m : METRICS) s.append(' ').append(padded(m, m.heading()));
        s.append(System.lineSeparator());
        for (Row row : rows) {
            s.append(String.format(
                    Locale.ROOT, "%-4s %-16s %-14s %8d", row.hemisphere, row.roiClass, row.roi, row.vertices));
            for (Metric m : METRICS) s.append(' ').append(padded(m, row.shown(m)));
            s.append(System.lineSeparator());
        }
        s.append(explanations()).append('\n');
        if (constantPredictions + constantTargets > 0)
            s.append(String.format(
                    Locale.ROOT,
                    "%d vertices with a constant prediction and %d with a constant response count as r = 0%n",
                    constantPredictions,
                    constantTargets));
        for (String w : warnings()) s.append("warning: ").append(w).append('\n');
        return s.toString();
    }

    private static String padded(Metric metric, String cell) {
        return String.format("%" + metric.width() + "s", cell);
    }

    private String explanations() {
        Row all = rows.get(0);
        Stream<String> known =
                Arrays.stream(METRICS).filter(all::has).map(Metric::explanation).filter(e -> !e.isEmpty());
        return Stream.concat(known, all.has(Metric.BOUND) ? Stream.of() : Stream.of(Metric.WITHOUT_CEILINGS))
                .collect(Collectors.joining("; "));
    }

    /** Warnings about rows whose mean r is above the bound that noise allows. */
    public List<String> warnings() {
        return rows.stream()
                .filter(Row::isAboveBound)
                .map(row -> String.format(
                        "%s %s: mean r %s is above its bound %s: check for leaked test images or a wrong noise ceiling",
                        row.hemisphere, row.roi, row.shown(Metric.MEAN_R), row.shown(Metric.BOUND)))
                .toList();
    }

    /** The content of metrics.json: label, images, constant_predictions, constant_targets, warnings and rows. */
    public Map<String, Object> json() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("label", label);
        m.put("metric", "Pearson's r over images for each vertex, aggregated over vertices");
        m.put("images", images);
        m.put("constant_predictions", constantPredictions);
        m.put("constant_targets", constantTargets);
        m.put("warnings", warnings());
        List<Object> all = new ArrayList<>();
        for (Row row : rows) {
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("hemisphere", row.hemisphere);
            o.put("class", row.roiClass);
            o.put("roi", row.roi);
            o.put("vertices", row.vertices);
            for (Metric metric : METRICS) o.put(metric.key(), row.has(metric) ? row.figure(metric) : null);
            all.add(o);
        }
        m.put("rows", all);
        return m;
    }

    /** Writes lh_correlation.npy and rh_correlation.npy (f32), roi.csv and metrics.json. */
    public void write(Path folder) {
        float[] l = new float[left], h = new float[r.length - left];
        for (int i = 0; i < l.length; i++) l[i] = (float) r[i];
        for (int i = 0; i < h.length; i++) h[i] = (float) r[left + i];
        NpyWriter.save(folder.resolve("lh_correlation.npy"), l, l.length);
        NpyWriter.save(folder.resolve("rh_correlation.npy"), h, h.length);
        AtomicFiles.writeString(folder.resolve("roi.csv"), csv());
        Json.write(folder.resolve("metrics.json"), json());
    }

    private String csv() {
        StringBuilder s = new StringBuilder("hemisphere,class,roi,vertices");
        for (Metric m : METRICS) s.append(',').append(m.key());
        s.append('\n');
        for (Row row : rows) {
            s.append(String.join(",", row.hemisphere, row.roiClass, row.roi, Integer.toString(row.vertices)));
            for (Metric m : METRICS) s.append(',').append(row.has(m) ? Double.toString(row.figure(m)) : "");
            s.append('\n');
        }
        return s.toString();
    }
}
