// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.EvaluationFile;
import org.cortigan.eval.Metric;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.surface.BrainPicture;
import org.cortigan.surface.Colourmap;
import org.cortigan.surface.Fsaverage;
import org.cortigan.surface.Scale;
import org.cortigan.surface.Surfaces;
import org.jspecify.annotations.Nullable;

/**
 * The report of one or several evaluations: a page in one file, with its data and scripts, that needs neither network
 * nor server. It shows maps of both hemispheres, ROIs, distributions, training curves, photographs, and how to make it
 * again.
 */
public final class Report {
    /** Evaluations that a report shows at most. */
    public static final int MOST_RUNS = 10;

    private static final int MAX_TEXT = 1 << 24, PICTURE_WIDTH = 900;
    /** Runs up to which a report shows more maps than r. */
    private static final int FEW_RUNS = 4;

    /** Bytes above which a page is called large. */
    private static final int LARGE = 5_000_000;

    private static final double R_SCALE = 1e-4;
    private static final String RESOURCES = "/org/cortigan/report/";

    /**
     * What a report is made of.
     *
     * @param runs to show, at least one
     * @param data folder of the challenge's data; null to take the subject's folder that each evaluation names
     * @param subject number of the subject; null to take the one that each evaluation names
     * @param unit of the noise ceilings; null to take the one that each evaluation names
     * @param mesh folder of fsaverage's surfaces; null for fsaverage5, which comes with the program
     * @param photographs whether the page may have photographs of the data
     * @param command that makes the report again
     * @param version of the program
     */
    public record Options(
            List<ReportRun> runs,
            @Nullable Path data,
            @Nullable Integer subject,
            NoiseCeiling.@Nullable Unit unit,
            @Nullable Path mesh,
            boolean photographs,
            String command,
            String version) {
        public Options {
            runs = ReportRun.withOwnNames(runs);
            if (runs.size() > MOST_RUNS)
                throw new InputException(
                        "report",
                        runs.size() + " evaluations are too many for one page",
                        "Give at most " + MOST_RUNS + " runs");
        }
    }

    private final Options options;
    private final Consumer<String> log;
    private final Surfaces surfaces;
    /** By the subject's folder. */
    private final Map<Path, SubjectMap> subjects = new LinkedHashMap<>();
    /** For each subject's folder the photographs by name. */
    private final Map<Path, Map<String, Path>> photographs = new LinkedHashMap<>();

    private final Thumbnails thumbnails = new Thumbnails();
    private final Set<String> notes = new LinkedHashSet<>();

    private Report(Options options, Consumer<String> log) {
        this.options = options;
        this.log = log;
        surfaces = options.mesh == null ? Surfaces.bundled() : Surfaces.read(options.mesh);
    }

    /**
     * Writes a report.
     *
     * @param log receives messages for the user
     * @throws InputException if an evaluation is incomplete, or its subject's data are not found
     */
    public static void write(Path file, Options options, Consumer<String> log) {
        // The two take about as long.
        CompletableFuture<String> niivue = CompletableFuture.supplyAsync(Report::niivue);
        Map<String, Object> json = json(options, log);
        byte[] page = page(json, niivue.join());
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) AtomicFiles.createFolder(folder);
        AtomicFiles.write(file, page);
        if (page.length > LARGE)
            log.accept(String.format(
                    Locale.ROOT,
                    "%s has %.1f MB, because it shows much; fewer runs or --no-photographs make it smaller",
                    file,
                    page.length / 1e6));
    }

    /** The data of the page. */
    public static Map<String, Object> json(Options options, Consumer<String> log) {
        return new Report(options, log).json();
    }

    /** The page with its data. */
    public static byte[] page(Map<String, Object> json) {
        return page(json, niivue());
    }

    /** The script that draws surfaces, packed. */
    private static String niivue() {
        return Blob.deflated(resource("niivue.umd.js"));
    }

    private static byte[] page(Map<String, Object> json, String niivue) {
        String title = String.valueOf(json.get("title"));
        // Within a script element only "<" could end it.
        String data = Json.compact(json).replace("<", "\\u003c");
        return filled(
                text("report.html"),
                Map.of(
                        "{{title}}", escaped(title),
                        "/*{{css}}*/", text("report.css"),
                        "{{data}}", data,
                        "{{niivue}}", niivue,
                        "{{niivue-licence}}", escaped(text("niivue.LICENSE")),
                        "{{script}}", text("report.js")));
    }

    /** Replaces the places of the page in one pass, so that no content is taken for a place. */
    private static byte[] filled(String page, Map<String, String> contents) {
        StringBuilder out = new StringBuilder();
        int at = 0;
        while (true) {
            int from = at;
            String next = contents.keySet().stream()
                    .filter(place -> page.indexOf(place, from) >= 0)
                    .min((a, b) -> Integer.compare(page.indexOf(a, from), page.indexOf(b, from)))
                    .orElse(null);
            if (next == null) break;
            int place = page.indexOf(next, at);
            out.append(page, at, place).append(contents.get(next));
            at = place + next.length();
        }
        return out.append(page, at, page.length()).toString().getBytes(StandardCharsets.UTF_8);
    }

    private static String escaped(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }

    private static String text(String name) {
        return new String(resource(name), StandardCharsets.UTF_8);
    }

    private static byte[] resource(String name) {
        try (InputStream in = Report.class.getResourceAsStream(RESOURCES + name)) {
            return Objects.requireNonNull(in, name).readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Map<String, Object> json() {
        CompletableFuture<Map<String, Object>> geometry = CompletableFuture.supplyAsync(() -> Geometry.json(surfaces));
        List<Loaded> evaluated = options.runs.stream().map(this::read).toList();
        Scale scale = scale(evaluated);
        List<Object> runs = new ArrayList<>();
        for (int i = 0; i < evaluated.size(); i++) runs.add(run(evaluated.get(i), "run" + i, scale));
        Map<String, Object> json =
                page(title(), options.command, options.version, notes(), geometry.join(), subjects.values());
        json.put("runs", runs);
        json.put("photographs", thumbnails.json());
        json.put("photographs_left_out", !options.photographs);
        return json;
    }

    /** The data of the page without runs. */
    static Map<String, Object> page(
            String title,
            String command,
            String version,
            List<String> notes,
            Map<String, Object> geometry,
            Collection<SubjectMap> subjects) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("title", title);
        json.put("created", now());
        json.put("version", version);
        json.put("command", command);
        json.put("notes", notes);
        json.put("live", null);
        Map<String, Object> colourmaps = new LinkedHashMap<>();
        for (Colourmap c : Colourmap.values()) colourmaps.put(c.key(), Blob.bytes(c.table()));
        json.put("colourmaps", colourmaps);
        json.put("geometry", geometry);
        Map<String, Object> maps = new LinkedHashMap<>();
        for (SubjectMap s : subjects) maps.put(s.name(), s.json());
        json.put("subjects", maps);
        return json;
    }

    static String now() {
        return Instant.now().truncatedTo(ChronoUnit.MILLIS).toString();
    }

    private String title() {
        String names = options.runs.stream().map(ReportRun::name).collect(Collectors.joining("; "));
        String who = subjects.values().stream().map(SubjectMap::name).collect(Collectors.joining(", "));
        return "CortiGAN: " + names + " (" + who + ")";
    }

    private List<String> notes() {
        List<String> all = new ArrayList<>();
        for (SubjectMap s : subjects.values()) all.add(shown(s, surfaces));
        all.addAll(notes);
        for (String problem : thumbnails.problems()) all.add("A photograph is missing: " + problem);
        if (!thumbnails.json().isEmpty())
            all.add("The page has small copies of photographs of the data. The terms of the data may forbid to pass"
                    + " them on: --no-photographs leaves them out.");
        return all;
    }

    /** Tells which vertices the surface shows. */
    static String shown(SubjectMap s, Surfaces surfaces) {
        String all = String.format(
                Locale.ROOT,
                "The surface shows %,d of the %,d vertices of %s. Grey vertices are not part of the challenge's data.",
                s.shownVertices(),
                s.vertices(),
                s.name());
        if (surfaces.level() == Fsaverage.LEVEL) return all;
        return all
                + String.format(
                        Locale.ROOT,
                        " %s has %,d of the 163,842 vertices of a hemisphere of fsaverage; each shows its own value, or"
                                + " else that of the nearest vertex along the edges of fsaverage. With --mesh DIR of a"
                                + " full fsaverage every vertex shows. All charts and figures are of all vertices.",
                        Fsaverage.name(surfaces.level()),
                        surfaces.vertices());
    }

    /** An evaluation in memory. */
    private record Loaded(
            ReportRun run, EvaluationFile metrics, SubjectMap subject, Map<String, Path> files, float[][] r) {}

    private Loaded read(ReportRun run) {
        EvaluationFile metrics = EvaluationFile.read(run.evaluation());
        int number = number(metrics);
        Path data = options.data != null ? options.data : ownData(metrics, number);
        NoiseCeiling.Unit unit =
                options.unit != null ? options.unit : metrics.noiseCeilingUnit().orElse(NoiseCeiling.Unit.FRACTION);
        Path folder = AlgonautsSubject.folder(data, number).toAbsolutePath().normalize();
        if (!subjects.containsKey(folder)) open(folder, data, number, unit);
        SubjectMap subject = Objects.requireNonNull(subjects.get(folder));
        return new Loaded(
                run,
                metrics,
                subject,
                Objects.requireNonNull(photographs.get(folder)),
                subject.read(run.evaluation(), "correlation"));
    }

    private int number(EvaluationFile metrics) {
        Integer given = options.subject;
        if (given != null && metrics.subject().filter(own -> !own.equals(given)).isPresent())
            throw new InputException(
                    "--subject " + given,
                    "is not the subject of " + metrics.file() + ", which is "
                            + metrics.subject().get(),
                    "Leave --subject out");
        return given != null ? given : metrics.subject().orElse(1);
    }

    private static Path ownData(EvaluationFile metrics, int number) {
        Path data = metrics.subjectFolder()
                .orElseThrow(() -> new InputException(
                        metrics.file().toString(),
                        "does not name the subject's folder, because an earlier version wrote it",
                        "Give --data DIR and --subject N, or evaluate again"));
        if (!Files.isDirectory(data))
            throw new InputException(
                    data.toString(),
                    "no such folder; " + metrics.file() + " names it as the subject's data",
                    "Give the folder of the data with --data DIR --subject " + number);
        return data;
    }

    private void open(Path folder, Path data, int number, NoiseCeiling.Unit unit) {
        try (AlgonautsSubject s = options.photographs
                ? AlgonautsSubject.open(data, number, log)
                : AlgonautsSubject.withoutPhotographs(data, number, log)) {
            // Two data sets may have subjects of one number, whose vertices are not the same.
            String name = AlgonautsSubject.folderName(number);
            boolean taken = subjects.values().stream().anyMatch(m -> m.name().equals(name));
            subjects.put(folder, new SubjectMap(s, taken ? name + " in " + data : name, unit, surfaces.level()));
            Map<String, Path> files = new LinkedHashMap<>();
            Stream.concat(s.trainingImages().stream(), s.testImages().stream())
                    .forEach(p -> files.put(String.valueOf(p.getFileName()), p));
            photographs.put(folder, files);
        }
    }

    /** One scale for the pictures of all runs. */
    private Scale scale(List<Loaded> evaluated) {
        float[][] all = evaluated.stream().flatMap(e -> Arrays.stream(e.r)).toArray(float[][]::new);
        double[] limits = Scale.limits(Colourmap.INFERNO, all);
        return new Scale(Colourmap.INFERNO, limits[0], limits[1], Double.NaN, "Pearson's r");
    }

    private Map<String, Object> run(Loaded e, String id, Scale scale) {
        ReportRun run = e.run;
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("id", id);
        json.put("name", run.name());
        json.put("subject", e.subject.name());
        json.put("label", e.metrics.label());
        json.put("images", e.metrics.images());
        json.put("role", run.role().key());
        json.put("maps", maps(e));
        Map<String, Object> summary = new LinkedHashMap<>();
        for (Metric m : List.of(Metric.MEAN_R, Metric.MEDIAN_R, Metric.SCORE, Metric.BOUND))
            summary.put(m.key(), e.metrics.ofAllVertices(m));
        json.put("summary", summary);
        json.put("warnings", e.metrics.warnings());
        byte[] png = new BrainPicture(surfaces, e.subject.onMesh(e.r), scale, "", List.of()).smallPng(PICTURE_WIDTH);
        json.put("picture", "data:image/png;base64," + Base64.getEncoder().encodeToString(png));
        addTraining(json, run.run());
        String trained = json.get("command") instanceof String t ? t : "";
        String evaluated = e.metrics.command().orElse("");
        json.put("command", trained.equals(evaluated) ? trained : (trained + "\n" + evaluated).strip());
        Path readout = run.evaluation().resolve(Evaluation.READOUT);
        Map<String, Path> files = options.photographs ? e.files : Map.of();
        json.put("readout", Files.exists(readout) ? ReadoutMaps.json(readout, e.subject, files, thumbnails) : null);
        json.put("photographs", photographs(run, files));
        return json;
    }

    /** The maps of a run; more than r in a report of few runs, which has space for them. */
    private Map<String, Object> maps(Loaded e) {
        Map<String, Object> maps = maps(e.r);
        if (options.runs.size() > FEW_RUNS) return maps;
        for (String name : List.of("explained_variance", "q")) {
            if (!Files.exists(e.run.evaluation().resolve("lh_" + name + ".npy"))) continue;
            float[][] values = e.subject.read(e.run.evaluation(), name);
            double scale = Math.max(R_SCALE, largest(values) / Short.MAX_VALUE);
            maps.put(name, Geometry.pair(Blob.numbers(values[0], scale), Blob.numbers(values[1], scale)));
        }
        return maps;
    }

    /** The largest size of a value; the explained variance of a bad prediction is far below -1. */
    private static double largest(float[][] values) {
        double largest = 0;
        for (float[] hemisphere : values)
            for (float v : hemisphere) if (Float.isFinite(v)) largest = Math.max(largest, Math.abs(v));
        return largest;
    }

    /** The maps of a run that shows r alone. */
    static Map<String, Object> maps(float[][] r) {
        Map<String, Object> maps = new LinkedHashMap<>();
        maps.put("r", Geometry.pair(Blob.numbers(r[0], R_SCALE), Blob.numbers(r[1], R_SCALE)));
        return maps;
    }

    private @Nullable List<Object> photographs(ReportRun run, Map<String, Path> files) {
        Path scores = run.evaluation().resolve(Evaluation.PHOTOGRAPHS);
        if (files.isEmpty() || !Files.exists(scores)) return null;
        if (!thumbnails.hasSpace()) {
            notes.add("The most and least predicted photographs of " + run.name()
                    + " are left out, so that the page stays small; a report of this run alone has them.");
            return null;
        }
        return PhotographTable.read(scores).json(files, thumbnails);
    }

    /** Adds what a run's folder tells: curves, recipe, environment and command; all null without one. */
    static void addTraining(Map<String, Object> json, @Nullable Path run) {
        json.put("curves", run == null ? null : curves(run.resolve("metrics.csv")));
        json.put("recipe", run == null ? null : text(run.resolve("recipe.yaml")));
        Map<String, Object> environment = run == null ? null : environment(run.resolve("environment.json"));
        json.put("environment", environment);
        json.put("command", environment == null ? null : environment.get("command"));
    }

    private static @Nullable Map<String, Object> environment(Path file) {
        return Files.exists(file) ? Json.readObject(file) : null;
    }

    private static @Nullable String text(Path file) {
        return Files.exists(file) ? InputFiles.readText(file, MAX_TEXT, "a recipe") : null;
    }

    private static @Nullable Map<String, Object> curves(Path file) {
        if (!Files.exists(file)) return null;
        List<List<String>> lines = Csv.read(file);
        if (lines.isEmpty()) return null;
        Map<String, Object> curves = new LinkedHashMap<>();
        curves.put("columns", lines.get(0));
        curves.put(
                "rows",
                lines.subList(1, lines.size()).stream()
                        .map(line -> line.stream().map(Report::number).toList())
                        .toList());
        return curves;
    }

    /** A cell as a number; null for text and for an empty cell. */
    private static @Nullable Double number(String cell) {
        try {
            double d = Double.parseDouble(cell);
            return Double.isFinite(d) ? d : null;
        } catch (NumberFormatException e) {
            return null;
        }
    }
}
