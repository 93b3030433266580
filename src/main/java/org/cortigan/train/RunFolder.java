// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.cortigan.io.FolderLock;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.jspecify.annotations.Nullable;

/**
 * The files of a run: recipe.yaml (every value in force), environment.json, metrics.csv (one line per epoch), events
 * for TensorBoard, and the checkpoints last.safetensors and best.safetensors. A start that replaces files of an earlier
 * one keeps them in {@code history/N}, N = 1 for the first start that did. It keeps them at once, and replaces them
 * when the run begins ({@link #begin}), after its checkpoint: whenever a process dies, last.safetensors is of no later
 * step than the rest. Nobody else may write to the folder before {@link #close}, see {@link FolderLock}.
 */
public final class RunFolder implements TrainerListener, AutoCloseable {
    private static final String RECIPE = "recipe.yaml", ENVIRONMENT = "environment.json", METRICS = "metrics.csv";
    private static final String LAST = "last.safetensors", BEST = "best.safetensors";
    /** The first columns of metrics.csv. */
    private static final String EPOCH = "epoch", STEP = "step";

    private final Path folder;
    private final FolderLock lock;
    private final long resumedAt;
    private final String recipe, environment;
    private final Path csv;
    /** Lines of metrics.csv that this start continues; empty if there are none. */
    private final List<List<String>> continued;
    /** null before {@link #begin}. */
    private @Nullable EventWriter events;
    /** Columns of metrics.csv; null before its first line. */
    private @Nullable List<String> columns;
    /** Where this start keeps earlier files; null if it keeps none. */
    private @Nullable Path history;

    /**
     * The checkpoint of a run that others begin with: its best one, or its last one if there is no best.
     *
     * @throws InputException if the folder has neither
     */
    public static Path bestOrLast(Path folder) {
        Path best = best(folder), last = last(folder);
        if (Files.exists(best)) return best;
        if (Files.exists(last)) return last;
        throw new InputException(
                folder.toString(),
                "has neither best.safetensors nor last.safetensors",
                "Give a run folder or a checkpoint");
    }

    /**
     * Reserves the folder of a run without messages.
     *
     * @see #RunFolder(Path, Recipe, Device, Map, long, Consumer)
     */
    public RunFolder(Path folder, Recipe recipe, Device device, Map<String, Object> environment, long resumedAt) {
        this(folder, recipe, device, environment, resumedAt, line -> {});
    }

    /**
     * Reserves the folder of a run, and keeps the files that the run will replace.
     *
     * @param environment more entries of environment.json
     * @param resumedAt step that the run resumes from. Lines of later steps and an incomplete last line will be removed
     *     from metrics.csv.
     * @param log receives messages for the user
     * @throws InputException if another run writes to the folder, or a file cannot be written
     */
    public RunFolder(
            Path folder,
            Recipe recipe,
            Device device,
            Map<String, Object> environment,
            long resumedAt,
            Consumer<String> log) {
        this.folder = folder;
        lock = FolderLock.take(folder, RunFolder.class, log);
        try {
            Map<String, Object> e = new LinkedHashMap<>(environment);
            e.put("java", Runtime.version().toString());
            e.put(
                    "system",
                    System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                            + System.getProperty("os.arch"));
            e.put("device", device.name());
            e.put("ranks", device.runtime().ranks().size());
            e.put("started", java.time.Instant.now().toString());
            e.put("resumed_at_step", resumedAt);
            this.resumedAt = resumedAt;
            this.recipe = recipe.toYaml();
            this.environment = Json.pretty(e);
            csv = folder.resolve(METRICS);
            keepOther(RECIPE, this.recipe);
            keepOther(ENVIRONMENT, this.environment);
            continued = continued();
            keepLater(LAST);
            keepLater(BEST);
            if (history != null) log.accept("files of the earlier start are kept in " + history);
        } catch (RuntimeException | Error e) {
            lock.close();
            throw e;
        }
    }

    /** Replaces the files of the earlier start, and continues metrics.csv. */
    @Override
    public void begin() {
        AtomicFiles.deleteAbandoned(folder, Duration.ZERO, LAST, BEST, RECIPE, ENVIRONMENT, METRICS);
        AtomicFiles.writeString(folder.resolve(RECIPE), recipe);
        AtomicFiles.writeString(folder.resolve(ENVIRONMENT), environment);
        if (continued.isEmpty()) {
            AtomicFiles.deleteIfExists(csv);
        } else {
            columns = continued.get(0);
            // A new file even if nothing is removed: the history may have a name of the old one.
            AtomicFiles.writeString(csv, continued.stream().map(Csv::line).collect(Collectors.joining()));
        }
        // The best of steps that are done again is not the best of this run.
        if (isLater(BEST)) AtomicFiles.deleteIfExists(best(folder));
        events = new EventWriter(folder, resumedAt);
    }

    /** Keeps a file that has another text. */
    private void keepOther(String name, String text) {
        Path file = folder.resolve(name);
        try {
            if (Files.exists(file) && !Files.readString(file).equals(text)) keep(name);
        } catch (IOException e) {
            throw InputFiles.unreadable(file, e);
        }
    }

    private void keepLater(String name) {
        if (isLater(name)) keep(name);
    }

    /** Whether there is a checkpoint of a later step, or one that cannot be read. */
    private boolean isLater(String name) {
        Path file = folder.resolve(name);
        return Files.exists(file) && Checkpoint.state(file).map(RunState::step).orElse(Long.MAX_VALUE) > resumedAt;
    }

    /** Gives a file a second name in the history. Files of a run are replaced, never changed, so no copy is needed. */
    private void keep(String name) {
        Path kept = null;
        try {
            for (int n = 1; history == null; n++) {
                Path start = folder.resolve("history").resolve(Integer.toString(n));
                if (Files.exists(start)) continue;
                Files.createDirectories(start);
                history = start;
            }
            kept = history.resolve(name);
            try {
                Files.createLink(kept, folder.resolve(name));
            } catch (UnsupportedOperationException | FileSystemException e) {
                Files.copy(folder.resolve(name), kept); // a file system without links
            }
        } catch (IOException e) {
            throw AtomicFiles.failed(kept == null ? folder.resolve("history") : kept, e);
        }
    }

    /**
     * Creates a folder and its parents.
     *
     * @throws InputException if that fails
     */
    public static void create(Path folder) {
        AtomicFiles.createFolder(folder);
    }

    /** The last checkpoint of a run. */
    public static Path last(Path folder) {
        return folder.resolve(LAST);
    }

    /** The checkpoint with the best validation so far; the last one without validation. */
    public static Path best(Path folder) {
        return folder.resolve(BEST);
    }

    /** The lines of metrics.csv without those of later steps and an incomplete one; keeps the file if it has such. */
    private List<List<String>> continued() {
        if (!Files.exists(csv)) return List.of();
        String text = InputFiles.readText(csv, Csv.MAX_BYTES, "a table");
        List<List<String>> lines = Csv.parse(text), kept = new ArrayList<>();
        if (!lines.isEmpty() && !lines.get(0).stream().limit(2).toList().equals(List.of(EPOCH, STEP)))
            throw noTable("line 1", "does not begin with the columns " + EPOCH + " and " + STEP);
        for (List<String> line : lines) {
            if (!kept.isEmpty() && step(kept.size() + 1, line) > resumedAt) break;
            kept.add(line);
        }
        boolean isCut = !text.isEmpty() && !text.endsWith("\n");
        if (kept.size() < lines.size() || isCut) keep(METRICS);
        return kept.size() < 2 ? List.of() : kept;
    }

    private long step(int number, List<String> line) {
        try {
            return Long.parseLong(line.get(1));
        } catch (NumberFormatException | IndexOutOfBoundsException e) {
            throw noTable("line " + number, "has no step");
        }
    }

    private InputException noTable(String where, String problem) {
        return new InputException(
                csv + ", " + where, problem + ", so that this is no table of a run", "Move the file away");
    }

    /** The columns of a row; if a resumed run has others than the table, the table gets them too, empty so far. */
    private List<String> columns(Set<String> row) {
        if (columns == null) return List.copyOf(row);
        Set<String> all = new LinkedHashSet<>(columns);
        if (!all.addAll(row)) return columns;
        List<List<String>> lines = Csv.read(csv);
        StringBuilder text = new StringBuilder(Csv.line(List.copyOf(all)));
        for (List<String> line : lines.subList(1, lines.size())) {
            List<String> cells = new ArrayList<>(line);
            while (cells.size() < all.size()) cells.add("");
            text.append(Csv.line(cells));
        }
        AtomicFiles.writeString(csv, text.toString());
        return List.copyOf(all);
    }

    @Override
    public void epoch(EpochResult r) {
        EventWriter events = Objects.requireNonNull(this.events, "the run has not begun");
        Map<String, String> row = new LinkedHashMap<>();
        row.put(EPOCH, Integer.toString(r.epoch()));
        row.put(STEP, Long.toString(r.step()));
        r.means().forEach((k, v) -> row.put(k, Double.toString(v)));
        row.put("validation_mean_r", number(r.validationMeanR()));
        row.put("validation_median_r", number(r.validationMedianR()));
        if (!r.prediction().isEmpty()) row.put("validation_prediction", r.prediction());
        row.put("skipped_steps", Integer.toString(r.skipped()));
        row.put("images_per_second", String.format(Locale.ROOT, "%.2f", r.imagesPerSecond()));
        columns = columns(row.keySet());
        String head = Files.exists(csv) ? "" : Csv.line(columns);
        List<String> values = new ArrayList<>();
        for (String c : columns) values.add(row.getOrDefault(c, ""));
        AtomicFiles.append(csv, head + Csv.line(values));
        r.means().forEach((k, v) -> events.scalar("train/" + k, v, r.step()));
        if (!Double.isNaN(r.validationMeanR())) {
            events.scalar("validation/mean_r", r.validationMeanR(), r.step());
            events.scalar("validation/median_r", r.validationMedianR(), r.step());
        }
        events.scalar("train/images_per_second", r.imagesPerSecond(), r.step());
    }

    private static String number(double d) {
        return Double.isNaN(d) ? "" : Double.toString(d);
    }

    /** The folder itself. */
    public Path folder() {
        return folder;
    }

    @Override
    public void close() {
        try {
            if (events != null) events.close();
        } finally {
            lock.close();
        }
    }
}
