// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.cortigan.InputException.oneLine;

import java.nio.charset.StandardCharsets;
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
import org.cortigan.cortex.MissingVertices;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.cortigan.io.Json;
import org.cortigan.io.NpyWriter;
import org.jspecify.annotations.Nullable;

/**
 * Pearson's r, explained variance and R2 of every vertex over all images of a split, summarised by hemisphere and ROI,
 * with the bound and the score that follow from the noise ceilings if these are known, and with the significance of r
 * if it was tested.
 */
public final class Evaluation {
    /**
     * The figures of a set of vertices.
     *
     * @param hemisphere lh, rh or both
     * @param roiClass class of the ROI, which names its mask file; empty for all vertices
     * @param vertices number of vertices; 0 for an ROI that the subject lacks
     * @param figures one per {@link Metric}, in the order of the constants; NaN if unknown, that is, without vertices
     *     or for a metric that needs noise ceilings, a test of significance or samples, without these
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
    }

    /**
     * How predictions were made, if the model can predict in several ways or their products were not in fp32.
     *
     * @param text for example "mean of 2 antithetic samples, products in bf16"; "" for a model with one way, in fp32
     * @param samples scores of the samples; null if they were not scored
     */
    public record Prediction(String text, @Nullable SampleScores samples) {
        /** Of a model with one way, in fp32. */
        public static final Prediction ONLY = new Prediction("", null);
    }

    /**
     * What was evaluated on, for those who read the files.
     *
     * @param folder of the subject
     * @param number of the subject
     * @param unit of the noise ceilings in its files
     */
    public record Source(Path folder, int number, NoiseCeiling.Unit unit) {}

    /** What was evaluated. */
    public enum Kind {
        /** A trained model, or the mean of several. */
        MODEL,
        /** A ridge regression. */
        RIDGE
    }

    /**
     * Where the predictions are from.
     *
     * @param run folder of the model's run; null if there is none
     * @param command that evaluated; null if it is not known
     */
    public record Origin(
            Kind kind, @Nullable Path run, @Nullable String command) {}

    /** Name of the rows of all vertices. */
    public static final String ALL = "all vertices";

    /** Files beside those of an evaluation: scores of single photographs, and what the readout has learned. */
    public static final String PHOTOGRAPHS = "photographs.csv", READOUT = "readout.safetensors";

    private static final Metric[] METRICS = Metric.values();

    private final String label;
    private final long images;
    private final int left;
    private final VertexStatistics vertices;
    private final MissingVertices missing;
    private final int[] notMeasured;
    private final Prediction prediction;
    private final @Nullable Source source;
    private @Nullable Origin origin;
    private final int constantPredictions;
    private final int constantTargets;
    private final List<Row> rows = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();

    private Evaluation(
            String label,
            PearsonAccumulator acc,
            int left,
            List<VertexGroup> groups,
            @Nullable NoiseCeiling ceiling,
            @Nullable Significance significance,
            MissingVertices missing,
            int[] notMeasured,
            Prediction prediction,
            @Nullable Source source) {
        this.label = label;
        this.prediction = prediction;
        this.source = source;
        this.images = acc.images();
        this.left = left;
        this.vertices = new VertexStatistics(
                acc.r(),
                acc.explainedVariance(),
                acc.r2(),
                ceiling,
                significance,
                prediction.samples == null ? null : prediction.samples.crps());
        this.constantPredictions = acc.constantPredictions();
        this.constantTargets = acc.constantTargets() - notMeasured.length;
        this.missing = missing;
        this.notMeasured = notMeasured;
        addRow("both", "", ALL, IntStream.range(0, acc.vertices()).toArray());
        addRow("lh", "", ALL, IntStream.range(0, left).toArray());
        addRow("rh", "", ALL, IntStream.range(left, acc.vertices()).toArray());
        for (VertexGroup g : groups) {
            int shift = g.hemisphere().equals("lh") ? 0 : left;
            addRow(
                    g.hemisphere(),
                    g.roiClass(),
                    g.name(),
                    Arrays.stream(g.vertices()).map(v -> v + shift).toArray());
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
     * @param significance of all vertices' r, or null
     */
    public static Evaluation of(
            String label,
            PearsonAccumulator acc,
            int left,
            List<VertexGroup> groups,
            @Nullable NoiseCeiling ceiling,
            @Nullable Significance significance) {
        return of(
                label,
                acc,
                left,
                groups,
                ceiling,
                significance,
                MissingVertices.NONE,
                new int[0],
                Prediction.ONLY,
                null);
    }

    /**
     * The same for a subject some of whose vertices were not measured.
     *
     * @param missing vertices that the files have and {@code acc} has not; written as NaN
     * @param notMeasured vertices of {@code acc} whose targets are all 0 because they were not measured; they are left
     *     out of all figures and written as NaN
     * @param prediction how the predictions were made
     * @param source of the responses; null if it is not known
     */
    public static Evaluation of(
            String label,
            PearsonAccumulator acc,
            int left,
            List<VertexGroup> groups,
            @Nullable NoiseCeiling ceiling,
            @Nullable Significance significance,
            MissingVertices missing,
            int[] notMeasured,
            Prediction prediction,
            @Nullable Source source) {
        return new Evaluation(
                label, acc, left, groups, ceiling, significance, missing, notMeasured, prediction, source);
    }

    private void addRow(String hemisphere, String roiClass, String roi, int[] all) {
        int[] members = Arrays.stream(all)
                .filter(v -> Arrays.binarySearch(notMeasured, v) < 0)
                .toArray();
        double[] figures = new double[METRICS.length];
        Arrays.fill(figures, Double.NaN);
        if (members.length > 0) {
            VertexStatistics own = vertices.of(members);
            for (Metric m : METRICS) figures[m.ordinal()] = m.of(own);
            if (own.ceiling() != null) checkBound(hemisphere + " " + roi, own.r(), own.ceiling());
        }
        rows.add(new Row(hemisphere, roiClass, roi, members.length, figures));
    }

    /** Warns if mean r over the vertices with a known noise ceiling is above the bound that noise allows. */
    private void checkBound(String row, double[] r, NoiseCeiling ceiling) {
        double bound = Metrics.boundOfMeanR(ceiling);
        if (Double.isNaN(bound)) return;
        double meanR = Metrics.mean(Vertices.select(r, ceiling.known()));
        if (meanR > bound)
            warnings.add(String.format(
                    Locale.ROOT,
                    "%s: mean r %s is above its bound %s: check for leaked test images or a wrong noise ceiling",
                    row,
                    Metric.MEAN_R.format(meanR),
                    Metric.BOUND.format(bound)));
    }

    /** Tells where the predictions are from, for those who read the files. */
    public Evaluation from(Origin origin) {
        this.origin = origin;
        return this;
    }

    /** Names the command that evaluated, beside what is known. */
    public void madeBy(String command) {
        if (origin != null) origin = new Origin(origin.kind, origin.run, command);
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
        return vertices.r().clone();
    }

    /** How the predictions were made, for example "mean of 2 antithetic samples"; "" for one way, in fp32. */
    public String prediction() {
        return prediction.text;
    }

    /** Number of images of the split. */
    public long images() {
        return images;
    }

    /** The summary as a text table, with explanations and warnings. */
    public String table() {
        StringBuilder s = new StringBuilder();
        s.append(String.format(
                Locale.ROOT,
                "%s: Pearson's r over %d images, for each vertex, then over vertices%n",
                oneLine(label),
                images));
        if (!prediction.text.isEmpty())
            s.append("prediction: ").append(prediction.text).append('\n');
        s.append(String.format(Locale.ROOT, "%-4s %-16s %-14s %8s", "", "class", "ROI", "vertices"));
        for (Metric m : shown()) s.append(' ').append(padded(m, m.heading()));
        s.append(System.lineSeparator());
        for (Row row : rows) {
            s.append(String.format(
                    Locale.ROOT,
                    "%-4s %-16s %-14s %8d",
                    row.hemisphere,
                    oneLine(row.roiClass),
                    oneLine(row.roi),
                    row.vertices));
            for (Metric m : shown()) s.append(' ').append(padded(m, row.shown(m)));
            s.append(System.lineSeparator());
        }
        s.append(explanations()).append('\n');
        if (prediction.samples != null)
            for (String line : prediction.samples.lines()) s.append(line).append('\n');
        for (String note : notes()) s.append(note).append('\n');
        for (String w : warnings) s.append("warning: ").append(oneLine(w)).append('\n');
        return s.toString();
    }

    /** The columns of the table: the metrics that are known for all vertices. */
    private List<Metric> shown() {
        return Arrays.stream(METRICS).filter(rows.get(0)::has).toList();
    }

    private List<String> notes() {
        List<String> notes = new ArrayList<>();
        Significance tested = vertices.significance();
        if (tested != null)
            notes.add(String.format(
                    Locale.ROOT,
                    "p: one-sided, %d permutations of the images; q: Benjamini and Hochberg's adjusted p",
                    tested.permutations()));
        if (constantPredictions + constantTargets > 0)
            notes.add(String.format(
                    Locale.ROOT,
                    "%d vertices with a constant prediction and %d with a constant response count as r = 0",
                    constantPredictions,
                    constantTargets));
        if (missing.count() + notMeasured.length > 0)
            notes.add(String.format(
                    Locale.ROOT,
                    "%d vertices have no responses (NaN or infinite) and are left out",
                    missing.count() + notMeasured.length));
        if (unknownCeilings() > 0)
            notes.add(String.format(
                    Locale.ROOT,
                    "%d vertices have no noise ceiling (NaN) and are left out of bound and score",
                    unknownCeilings()));
        if (vertices.crps() != null && vertices.crps().unknown() > 0)
            notes.add(String.format(
                    Locale.ROOT,
                    "%d vertices varied too little in training for a climatology and are left out of the CRPS skill",
                    vertices.crps().unknown()));
        return notes;
    }

    private int unknownCeilings() {
        NoiseCeiling ceiling = vertices.ceiling();
        return ceiling == null ? 0 : ceiling.unknown();
    }

    private static String padded(Metric metric, String cell) {
        return String.format(Locale.ROOT, "%" + metric.width() + "s", cell);
    }

    private String explanations() {
        Stream<String> known = shown().stream().map(Metric::explanation).filter(e -> !e.isEmpty());
        return Stream.concat(known, rows.get(0).has(Metric.BOUND) ? Stream.of() : Stream.of(Metric.WITHOUT_CEILINGS))
                .collect(Collectors.joining("; "));
    }

    /** Warnings about rows whose mean r is above the bound that noise allows. */
    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    /**
     * The content of metrics.json: label, subject, subject_folder, noise_ceiling_unit, evaluated, run, command, images,
     * constant_predictions, constant_targets, missing_vertices, unknown_noise_ceilings, permutations, warnings and
     * rows; also prediction if the model can predict in several ways or its products were not in fp32, and samples if
     * samples were scored.
     */
    public Map<String, Object> json() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("label", label);
        m.put("metric", "Pearson's r over images for each vertex, aggregated over vertices");
        if (!prediction.text.isEmpty()) m.put("prediction", prediction.text);
        if (source != null) {
            m.put("subject", source.number);
            m.put("subject_folder", source.folder.toAbsolutePath().normalize().toString());
            m.put("noise_ceiling_unit", source.unit.toString().toLowerCase(Locale.ROOT));
        }
        if (origin != null) {
            m.put("evaluated", origin.kind.name().toLowerCase(Locale.ROOT));
            m.put(
                    "run",
                    origin.run == null
                            ? null
                            : origin.run.toAbsolutePath().normalize().toString());
            m.put("command", origin.command);
        }
        m.put("images", images);
        m.put("constant_predictions", constantPredictions);
        m.put("constant_targets", constantTargets);
        m.put("missing_vertices", missing.count() + notMeasured.length);
        m.put("unknown_noise_ceilings", unknownCeilings());
        Significance tested = vertices.significance();
        m.put("permutations", tested == null ? 0 : tested.permutations());
        m.put("warnings", warnings);
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
        if (prediction.samples != null) m.put("samples", prediction.samples.json());
        return m;
    }

    /** Writes the {@link #files} together: all of them or none. */
    public void write(Path folder) {
        AtomicFiles.write(folder, files());
    }

    /**
     * The files of the evaluation: for each hemisphere (lh, rh) the values of all vertices (f32), correlation.npy,
     * explained_variance.npy, r2.npy, and if significance was tested p.npy and q.npy; and roi.csv and metrics.json.
     *
     * @return content by name; null for files of an earlier evaluation that this one does not have, and for
     *     {@link #PHOTOGRAPHS} and {@link #READOUT}
     */
    public Map<String, byte @Nullable []> files() {
        Map<String, byte @Nullable []> files = new LinkedHashMap<>();
        put(files, "correlation", vertices.r());
        put(files, "explained_variance", vertices.explainedVariance());
        put(files, "r2", vertices.r2());
        Significance tested = vertices.significance();
        put(files, "p", tested == null ? null : tested.p());
        put(files, "q", tested == null ? null : tested.q());
        files.put(PHOTOGRAPHS, null);
        files.put(READOUT, null);
        files.put("roi.csv", csv().getBytes(StandardCharsets.UTF_8));
        files.put("metrics.json", Json.pretty(json()).getBytes(StandardCharsets.UTF_8));
        return files;
    }

    /** Adds the values of both hemispheres. */
    private void put(Map<String, byte @Nullable []> files, String name, double @Nullable [] values) {
        String lh = "lh_" + name + ".npy", rh = "rh_" + name + ".npy";
        if (values == null) {
            files.put(lh, null);
            files.put(rh, null);
            return;
        }
        float[] rounded = new float[values.length];
        for (int v = 0; v < values.length; v++) rounded[v] = (float) values[v];
        for (int v : notMeasured) rounded[v] = Float.NaN;
        files.put(lh, npy(MissingVertices.insert(missing.left(), Float.NaN, rounded, 0, left)));
        files.put(rh, npy(MissingVertices.insert(missing.right(), Float.NaN, rounded, left, rounded.length - left)));
    }

    private static byte[] npy(float[] values) {
        return NpyWriter.bytes(values, values.length);
    }

    private String csv() {
        List<String> head = new ArrayList<>(List.of("hemisphere", "class", "roi", "vertices"));
        for (Metric m : METRICS) head.add(m.key());
        if (!prediction.text.isEmpty()) head.add("prediction");
        StringBuilder s = new StringBuilder(Csv.line(head));
        for (Row row : rows) {
            List<String> cells =
                    new ArrayList<>(List.of(row.hemisphere, row.roiClass, row.roi, Integer.toString(row.vertices)));
            for (Metric m : METRICS) cells.add(row.has(m) ? Double.toString(row.figure(m)) : "");
            if (!prediction.text.isEmpty()) cells.add(prediction.text);
            s.append(Csv.line(cells));
        }
        return s.toString();
    }
}
