// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.io.Json;
import org.jspecify.annotations.Nullable;

/** The metrics.json of an evaluation, written by {@link Evaluation#write} or by an earlier version. */
public final class EvaluationFile {
    /** Name of the file. */
    public static final String NAME = "metrics.json";

    private final Path file;
    private final Map<String, Object> values;

    private EvaluationFile(Path file, Map<String, Object> values) {
        this.file = file;
        this.values = values;
    }

    /** Whether a folder is that of an evaluation. */
    public static boolean isIn(Path folder) {
        return Files.exists(folder.resolve(NAME));
    }

    /**
     * Reads the file of an evaluation's folder.
     *
     * @throws InputException if it is missing or no JSON object
     */
    public static EvaluationFile read(Path folder) {
        Path file = folder.resolve(NAME);
        return new EvaluationFile(file, Json.readObject(file));
    }

    /** The file itself. */
    public Path file() {
        return file;
    }

    private InputException wrong(String key, String what) {
        return new InputException(
                file + ", key '" + key + "'", "is " + what, "Evaluate the run again, which writes the file anew");
    }

    /** A text; empty if the key is missing. */
    private Optional<String> text(String key) {
        Object v = values.get(key);
        if (v == null) return Optional.empty();
        if (v instanceof String s) return Optional.of(s);
        throw wrong(key, "no text");
    }

    private Optional<Path> path(String key) {
        try {
            return text(key).map(Path::of);
        } catch (InvalidPathException e) {
            throw wrong(key, "no name of a file");
        }
    }

    /** Name of the evaluation in reports. */
    public String label() {
        return text("label").orElseThrow(() -> wrong("label", "missing"));
    }

    /** Number of the subject, 1 to 8; empty if an earlier version wrote the file. */
    public Optional<Integer> subject() {
        Object v = values.get("subject");
        if (v == null) return Optional.empty();
        if (v instanceof Number n && n.doubleValue() == n.intValue() && n.intValue() >= 1 && n.intValue() <= 8)
            return Optional.of(n.intValue());
        throw wrong("subject", "no number from 1 to 8");
    }

    /** Folder of the subject's data; empty if an earlier version wrote the file. */
    public Optional<Path> subjectFolder() {
        return path("subject_folder");
    }

    /** Unit of the subject's noise ceilings; empty if an earlier version wrote the file. */
    public Optional<NoiseCeiling.Unit> noiseCeilingUnit() {
        return text("noise_ceiling_unit").map(t -> {
            for (NoiseCeiling.Unit unit : NoiseCeiling.Unit.values())
                if (unit.name().toLowerCase(Locale.ROOT).equals(t)) return unit;
            throw wrong("noise_ceiling_unit", "neither fraction nor percent");
        });
    }

    /** What was evaluated; empty if it is not known. */
    public Optional<Evaluation.Kind> evaluated() {
        return text("evaluated").map(t -> {
            for (Evaluation.Kind kind : Evaluation.Kind.values())
                if (kind.name().toLowerCase(Locale.ROOT).equals(t)) return kind;
            throw wrong("evaluated", "neither model nor ridge");
        });
    }

    /** Folder of the run whose model was evaluated; empty if there is none, or it is not known. */
    public Optional<Path> run() {
        return path("run");
    }

    /** The command that evaluated; empty if it is not known. */
    public Optional<String> command() {
        return text("command");
    }

    /** Number of images. */
    public long images() {
        if (values.get("images") instanceof Number n && n.doubleValue() == n.longValue() && n.longValue() >= 0)
            return n.longValue();
        throw wrong("images", "no number of images");
    }

    /** Warnings for the reader. */
    public List<String> warnings() {
        if (values.get("warnings") instanceof List<?> list && list.stream().allMatch(String.class::isInstance))
            return list.stream().map(String.class::cast).toList();
        throw wrong("warnings", "no list of texts");
    }

    /** A figure of all vertices of both hemispheres; null if it is unknown. */
    public @Nullable Double ofAllVertices(Metric metric) {
        if (!(values.get("rows") instanceof List<?> rows) || rows.isEmpty() || !(rows.get(0) instanceof Map<?, ?> all))
            throw wrong("rows", "no list of figures");
        Object v = all.get(metric.key());
        if (v == null) return null;
        if (v instanceof Number n) return n.doubleValue();
        throw wrong("rows", "a list with " + metric.key() + " that is no number");
    }
}
