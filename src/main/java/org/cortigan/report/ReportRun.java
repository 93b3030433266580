// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.EvaluationFile;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;

/**
 * An evaluation that a report shows.
 *
 * @param name in the report
 * @param role what the evaluated predictions are from
 * @param evaluation folder with metrics.json and {@code {lh,rh}_correlation.npy}
 * @param run folder of the training; null if there was none or it is not known
 */
public record ReportRun(
        String name, Role role, Path evaluation, @Nullable Path run) {
    /** What predictions are from. */
    public enum Role {
        MODEL,
        /** A linear model that others are compared with. */
        BASELINE,
        /** A model of shuffled pairs of photograph and response. */
        CONTROL,
        /** The evaluation does not say: an earlier version wrote it. */
        UNKNOWN;

        String key() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private static final String EVALUATION = "evaluation", RECIPE = "recipe.yaml";

    /** The file of a folder of several evaluations that names them. */
    private static final String SUMMARY = "summary.json";

    /**
     * Finds evaluations.
     *
     * @param folder an evaluation's folder, a run's, or one of several runs: that of quickstart or table
     * @throws InputException if there is none
     */
    public static List<ReportRun> find(Path folder) {
        if (!Files.isDirectory(folder))
            throw new InputException(
                    folder.toString(), "is no folder", "Give the folder of a run, an evaluation, quickstart or table");
        if (EvaluationFile.isIn(folder)) return List.of(of(folder, null));
        Path evaluation = folder.resolve(EVALUATION);
        if (EvaluationFile.isIn(evaluation)) return List.of(of(evaluation, null));
        List<ReportRun> several =
                Files.exists(folder.resolve(SUMMARY)) ? ofSummary(folder) : ofRuns(folder.resolve("runs"));
        if (several.isEmpty())
            throw new InputException(
                    folder.toString(),
                    "has no evaluation: neither metrics.json nor evaluation/metrics.json",
                    "Evaluate the run first: cortigan evaluate " + folder + "/last.safetensors --data DIR");
        return several;
    }

    /** Takes every evaluation once, and gives those of equal names the names of their folders too. */
    public static List<ReportRun> withOwnNames(List<ReportRun> runs) {
        Map<Path, ReportRun> once = new LinkedHashMap<>();
        for (ReportRun r : runs) once.putIfAbsent(r.evaluation.toAbsolutePath().normalize(), r);
        Map<String, Integer> count = new HashMap<>();
        for (ReportRun r : once.values()) count.merge(r.name, 1, Integer::sum);
        return once.values().stream()
                .map(r -> count.getOrDefault(r.name, 1) == 1
                        ? r
                        : new ReportRun(r.name + " in " + r.evaluation, r.role, r.evaluation, r.run))
                .toList();
    }

    /** @param name null for that of the run or the folder */
    private static ReportRun of(Path evaluation, @Nullable String name) {
        EvaluationFile file = EvaluationFile.read(evaluation);
        Path own = evaluation.toAbsolutePath().normalize(), parent = own.getParent();
        Optional<Path> run = file.run()
                .filter(r -> Files.exists(r.resolve(RECIPE)))
                .or(() -> Optional.ofNullable(parent).filter(p -> Files.exists(p.resolve(RECIPE))));
        Path named = run.orElse(own);
        // A ridge regression of a table has its evaluation in a folder of the same name as every other.
        if (run.isEmpty() && parent != null && own.endsWith(EVALUATION)) named = parent;
        String text = name != null ? name : String.valueOf(named.getFileName());
        return new ReportRun(text, role(file, run), evaluation, run.orElse(null));
    }

    private static Role role(EvaluationFile file, Optional<Path> run) {
        if (run.isPresent()) {
            Recipe recipe = Recipe.load(run.get().resolve(RECIPE).toString());
            return recipe.section("train").flag("shuffle_pairs") ? Role.CONTROL : Role.MODEL;
        }
        return file.evaluated()
                .map(kind -> kind == Evaluation.Kind.RIDGE ? Role.BASELINE : Role.MODEL)
                .orElse(Role.UNKNOWN);
    }

    private static List<ReportRun> ofSummary(Path folder) {
        List<ReportRun> runs = new ArrayList<>();
        Path summary = folder.resolve(SUMMARY);
        for (Map.Entry<String, Object> e : Json.readObject(summary).entrySet()) {
            Settings s = Settings.of(summary.toString(), Json.object(e.getValue(), summary + ", " + e.getKey()));
            if (s.has("evaluation")) runs.add(of(folder.resolve(s.text("evaluation")), e.getKey()));
        }
        return runs;
    }

    private static List<ReportRun> ofRuns(Path folder) {
        if (!Files.isDirectory(folder)) return List.of();
        return InputFiles.list(folder).stream()
                .map(run -> run.resolve(EVALUATION))
                .filter(EvaluationFile::isIn)
                .map(evaluation -> of(evaluation, null))
                .toList();
    }
}
