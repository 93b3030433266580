// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Metric;
import org.cortigan.eval.Metrics;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.io.Json;
import org.cortigan.surface.Surfaces;
import org.cortigan.train.EpochResult;
import org.cortigan.train.HeldOut;
import org.cortigan.train.TrainerListener;
import org.jspecify.annotations.Nullable;

/**
 * The report of a run that trains, on a port of this machine: the validation r of every vertex and the curves, new
 * after each epoch. The training thread only hands over the values; pages are made on the server's threads.
 */
public final class LiveReport implements TrainerListener, AutoCloseable {
    private static final int INTERVAL_MS = 2000;
    private static final String DATA = "data.json";

    /** A subject of the run. */
    private record Subject(SubjectMap map, @Nullable NoiseCeiling ceiling) {}

    /** What an epoch has brought; no r before the first one. */
    private record State(int epoch, int epochs, Map<String, double[]> r) {}

    private final Path folder;
    private final String command, version;
    private final Surfaces surfaces = Surfaces.bundled();
    private final Map<String, Subject> subjects = new LinkedHashMap<>();
    private final LiveServer server;
    private volatile State state = new State(0, 0, Map.of());

    /**
     * Begins to serve.
     *
     * @param folder of the run
     * @param subjects of the run by name, "" for a single one
     * @param unit of their noise ceilings
     * @param port 0 for any that is free
     * @param command of the training
     * @param version of the program
     * @param log receives messages for the user
     * @throws org.cortigan.InputException if the port is taken, or a subject has no masks
     */
    public LiveReport(
            Path folder,
            Map<String, AlgonautsSubject> subjects,
            NoiseCeiling.Unit unit,
            int port,
            String command,
            String version,
            Consumer<String> log) {
        this.folder = folder;
        this.command = command;
        this.version = version;
        subjects.forEach((name, s) -> this.subjects.put(
                name,
                new Subject(
                        new SubjectMap(s, AlgonautsSubject.folderName(s.number()), unit, surfaces.level()),
                        HeldOut.ceiling(s, unit))));
        server = new LiveServer(port, this::page, () -> bytes(runs(state)), log);
    }

    /** The address of the page. */
    public String url() {
        return server.url();
    }

    @Override
    public void validated(EpochResult result, Map<String, double[]> r) {
        State now = new State(result.epoch(), result.epochs(), r);
        state = now;
        server.update(() -> bytes(runs(now)));
    }

    private byte[] page() {
        List<SubjectMap> maps = subjects.values().stream().map(Subject::map).toList();
        List<String> notes = maps.stream().map(s -> Report.shown(s, surfaces)).toList();
        Map<String, Object> json = Report.page(
                "CortiGAN: " + folder.getFileName(), command, version, notes, Geometry.json(surfaces), maps);
        json.putAll(runs(state));
        return Report.page(json);
    }

    private static byte[] bytes(Map<String, Object> json) {
        return Json.compact(json).getBytes(StandardCharsets.UTF_8);
    }

    /** What changes from epoch to epoch. */
    private Map<String, Object> runs(State s) {
        List<Object> runs = new ArrayList<>();
        subjects.forEach((name, subject) -> runs.add(run(s, name, subject)));
        Map<String, Object> live = new LinkedHashMap<>();
        live.put("url", DATA);
        live.put("interval_ms", INTERVAL_MS);
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("created", Report.now());
        json.put("live", live);
        json.put("runs", runs);
        return json;
    }

    private Map<String, Object> run(State s, String name, Subject subject) {
        double[] r = s.r.get(name);
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("id", "run-" + subject.map.name());
        json.put("name", folder.getFileName() + (name.isEmpty() ? "" : ", " + name));
        json.put("subject", subject.map.name());
        json.put(
                "label",
                s.epoch == 0
                        ? "before the first validation"
                        : "validation images after epoch " + s.epoch + " of " + s.epochs);
        json.put("role", ReportRun.Role.MODEL.key());
        json.put("maps", Report.maps(r == null ? subject.map.unknown() : subject.map.inFiles(floats(r))));
        json.put("summary", r == null ? Map.of() : summary(r, subject.ceiling));
        json.put("warnings", List.of());
        json.put("picture", null);
        Report.addTraining(json, folder);
        return json;
    }

    private static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int v = 0; v < floats.length; v++) floats[v] = (float) values[v];
        return floats;
    }

    private static Map<String, Object> summary(double[] r, @Nullable NoiseCeiling ceiling) {
        Map<String, Object> summary = new LinkedHashMap<>();
        put(summary, Metric.MEAN_R, Metrics.mean(r));
        put(summary, Metric.MEDIAN_R, Metrics.median(r));
        if (ceiling != null) {
            put(summary, Metric.SCORE, Metrics.challengeScore(r, ceiling));
            put(summary, Metric.BOUND, Metrics.boundOfMeanR(ceiling));
        }
        return summary;
    }

    private static void put(Map<String, Object> summary, Metric metric, double figure) {
        summary.put(metric.key(), Double.isNaN(figure) ? null : figure);
    }

    @Override
    public void close() {
        server.close();
    }
}
