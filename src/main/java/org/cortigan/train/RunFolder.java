// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Json;
import org.jspecify.annotations.Nullable;

/**
 * The files of a run: recipe.yaml (every value in force), environment.json, metrics.csv (one line per epoch), events
 * for TensorBoard, and the checkpoints last.safetensors and best.safetensors.
 */
public final class RunFolder implements TrainerListener, AutoCloseable {
    private final Path folder;
    private final EventWriter events;
    private final Path csv;
    /** Columns of metrics.csv; null before its first line. */
    private @Nullable List<String> columns;

    /**
     * Creates or continues the files of a run.
     *
     * @param environment more entries of environment.json
     * @param resumedAt step that the run resumes from. Lines of later steps and an incomplete last line are removed
     *     from metrics.csv.
     */
    public RunFolder(Path folder, Recipe recipe, Device device, Map<String, Object> environment, long resumedAt) {
        this.folder = folder;
        create(folder);
        Map<String, Object> e = new LinkedHashMap<>(environment);
        e.put("java", Runtime.version().toString());
        e.put(
                "system",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"));
        e.put("device", device.name());
        e.put("started", java.time.Instant.now().toString());
        AtomicFiles.writeString(folder.resolve("recipe.yaml"), recipe.toYaml());
        Json.write(folder.resolve("environment.json"), e);
        csv = folder.resolve("metrics.csv");
        truncate(resumedAt);
        events = new EventWriter(folder);
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
        return folder.resolve("last.safetensors");
    }

    /** The checkpoint with the best validation so far; the last one without validation. */
    public static Path best(Path folder) {
        return folder.resolve("best.safetensors");
    }

    private void truncate(long step) {
        if (!Files.exists(csv)) return;
        try {
            String text = Files.readString(csv);
            List<String> kept = new ArrayList<>();
            for (String line : text.substring(0, text.lastIndexOf('\n') + 1).split("\n")) {
                if (kept.isEmpty()) columns = List.of(line.split(","));
                else if (Long.parseLong(line.split(",")[1]) > step) break;
                kept.add(line);
            }
            if (step == 0 || kept.size() < 2) {
                columns = null;
                Files.delete(csv);
            } else {
                AtomicFiles.writeString(csv, String.join("\n", kept) + "\n");
            }
        } catch (IOException | RuntimeException e) {
            throw new InputException(csv.toString(), "cannot be continued: " + e, "Move the file away", e);
        }
    }

    @Override
    public void epoch(EpochResult r) {
        Map<String, String> row = new LinkedHashMap<>();
        row.put("epoch", Integer.toString(r.epoch()));
        row.put("step", Long.toString(r.step()));
        r.means().forEach((k, v) -> row.put(k, Double.toString(v)));
        row.put("validation_mean_r", number(r.validationMeanR()));
        row.put("validation_median_r", number(r.validationMedianR()));
        row.put("skipped_steps", Integer.toString(r.skipped()));
        row.put("images_per_second", String.format(Locale.ROOT, "%.2f", r.imagesPerSecond()));
        try {
            String text = "";
            if (columns == null) text = String.join(",", columns = List.copyOf(row.keySet())) + "\n";
            List<String> values = new ArrayList<>();
            for (String c : columns) values.add(row.getOrDefault(c, ""));
            text += String.join(",", values) + "\n";
            Files.writeString(csv, text, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw AtomicFiles.failed(csv, e);
        }
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
        events.close();
    }
}
