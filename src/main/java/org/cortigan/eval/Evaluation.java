// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.cortigan.data.AtomicFiles;
import org.cortigan.data.Json;
import org.cortigan.data.NpyWriter;
import org.cortigan.data.VertexGroup;

/**
 * Pearson's r of every vertex over all images of a split, summarised by hemisphere and ROI, with the noise ceiling
 * beside it where it is known (DOMAIN of the Algonauts 2023 challenge: r below 0 counts 0 in its score).
 */
public final class Evaluation {
    /**
     * One line.
     *
     * @param hemisphere lh, rh or both
     * @param vertices how many; 0 for an ROI that the subject lacks, whose numbers are null
     * @param meanSquared mean of r * r
     * @param bound mean of sqrt(NC), which bounds mean r; null without noise ceilings
     * @param challengeScore mean of noise-normalised r^2 in percent; null likewise
     */
    public record Row(
            String hemisphere,
            String roiClass,
            String roi,
            int vertices,
            Double mean,
            Double median,
            Double meanSquared,
            Double bound,
            Double challengeScore) {}

    /** The row of all vertices. */
    public static final String ALL = "all vertices";

    private final String label;
    private final long images;
    private final int left;
    private final double[] r;
    private final int constantPredictions;
    private final int constantTargets;
    private final List<Row> rows = new ArrayList<>();

    private Evaluation(String label, PearsonAccumulator acc, int left, List<VertexGroup> groups, NoiseCeiling nc) {
        this.label = label;
        this.images = acc.images();
        this.left = left;
        this.r = acc.r();
        this.constantPredictions = acc.constantPredictions();
        this.constantTargets = acc.constantTargets();
        rows.add(row("both", "", ALL, range(0, r.length), nc));
        rows.add(row("lh", "", ALL, range(0, left), nc));
        rows.add(row("rh", "", ALL, range(left, r.length), nc));
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
     * @param acc all images of the split; its vertices are the left hemisphere's, then the right's
     * @param left vertices of the left hemisphere
     * @param groups ROIs, with vertices counted within their hemisphere
     * @param ceiling of all vertices, or null
     */
    public static Evaluation of(
            String label, PearsonAccumulator acc, int left, List<VertexGroup> groups, NoiseCeiling ceiling) {
        return new Evaluation(label, acc, left, groups, ceiling);
    }

    private static int[] range(int from, int to) {
        int[] v = new int[to - from];
        for (int i = 0; i < v.length; i++) v[i] = from + i;
        return v;
    }

    private Row row(String hemisphere, String c, String roi, int[] vertices, NoiseCeiling nc) {
        int n = vertices.length;
        if (n == 0) return new Row(hemisphere, c, roi, 0, null, null, null, null, null);
        double[] x = Arrays.stream(vertices).mapToDouble(v -> r[v]).toArray();
        NoiseCeiling own = nc == null ? null : nc.of(vertices);
        return new Row(
                hemisphere,
                c,
                roi,
                n,
                Metrics.mean(x),
                Metrics.median(x),
                Metrics.meanSquared(x),
                own == null ? null : own.meanSqrt(),
                own == null ? null : Metrics.mean(Metrics.challengeScores(x, own)));
    }

    public String label() {
        return label;
    }

    public List<Row> rows() {
        return rows;
    }

    /** Mean r over all vertices. */
    public double meanR() {
        return rows.get(0).mean;
    }

    /** Median r over all vertices. */
    public double medianR() {
        return rows.get(0).median;
    }

    /** r of every vertex, the left hemisphere's first. */
    public double[] r() {
        return r.clone();
    }

    /** Readable, every number with its metric's name in the head and the bound beside it. */
    public String table() {
        StringBuilder s = new StringBuilder();
        s.append(String.format(
                Locale.ROOT, "%s: Pearson's r over %d images, for each vertex, then over vertices%n", label, images));
        s.append(String.format(
                Locale.ROOT,
                "%-4s %-16s %-14s %8s %8s %9s %8s %11s %10s%n",
                "",
                "class",
                "ROI",
                "vertices",
                "mean r",
                "median r",
                "mean r^2",
                "bound of r",
                "score (%)"));
        for (Row x : rows)
            s.append(String.format(
                    Locale.ROOT,
                    "%-4s %-16s %-14s %8d %8s %9s %8s %11s %10s%n",
                    x.hemisphere,
                    x.roiClass,
                    x.roi,
                    x.vertices,
                    show(x.mean, "%.4f"),
                    show(x.median, "%.4f"),
                    show(x.meanSquared, "%.4f"),
                    show(x.bound, "%.4f"),
                    show(x.challengeScore, "%.2f")));
        s.append(
                rows.get(0).bound == null
                        ? "bound and score: not known, there are no noise ceilings\n"
                        : "bound of r: mean of sqrt(noise ceiling); score: noise-normalised r^2, r < 0 as 0, in percent\n");
        if (constantPredictions + constantTargets > 0)
            s.append(String.format(
                    Locale.ROOT,
                    "%d vertices with a constant prediction and %d with a constant response count as r = 0%n",
                    constantPredictions,
                    constantTargets));
        for (String w : warnings()) s.append("warning: ").append(w).append('\n');
        return s.toString();
    }

    /** Rows whose mean r is above what noise allows. */
    public List<String> warnings() {
        List<String> w = new ArrayList<>();
        for (Row x : rows)
            if (x.bound != null && x.mean > x.bound)
                w.add(String.format(
                        Locale.ROOT,
                        "%s %s: mean r %.4f is above its bound %.4f: look for leaked test images or a wrong noise ceiling",
                        x.hemisphere,
                        x.roi,
                        x.mean,
                        x.bound));
        return w;
    }

    private static String show(Double d, String format) {
        return d == null ? "-" : String.format(Locale.ROOT, format, d);
    }

    /** What metrics.json holds: label, images, constant_predictions, constant_targets, warnings and the rows. */
    public Map<String, Object> json() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("label", label);
        m.put("metric", "Pearson's r over images for each vertex, aggregated over vertices");
        m.put("images", images);
        m.put("constant_predictions", constantPredictions);
        m.put("constant_targets", constantTargets);
        m.put("warnings", warnings());
        List<Object> all = new ArrayList<>();
        for (Row x : rows) {
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("hemisphere", x.hemisphere);
            o.put("class", x.roiClass);
            o.put("roi", x.roi);
            o.put("vertices", x.vertices);
            o.put("mean_r", x.mean);
            o.put("median_r", x.median);
            o.put("mean_r_squared", x.meanSquared);
            o.put("mean_sqrt_noise_ceiling", x.bound);
            o.put("challenge_score_percent", x.challengeScore);
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
        StringBuilder s = new StringBuilder(
                "hemisphere,class,roi,vertices,mean_r,median_r,mean_r_squared,mean_sqrt_noise_ceiling,challenge_score_percent\n");
        for (Row x : rows) {
            s.append(x.hemisphere)
                    .append(',')
                    .append(x.roiClass)
                    .append(',')
                    .append(x.roi)
                    .append(',')
                    .append(x.vertices);
            for (Double d : new Double[] {x.mean, x.median, x.meanSquared, x.bound, x.challengeScore})
                s.append(',').append(d == null ? "" : d.toString());
            s.append('\n');
        }
        AtomicFiles.writeString(folder.resolve("roi.csv"), s.toString());
        Json.write(folder.resolve("metrics.json"), json());
    }
}
