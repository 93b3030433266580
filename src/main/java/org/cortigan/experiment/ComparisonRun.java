// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.Metric;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.train.PretrainedRecipe;
import org.cortigan.train.QueryRegions;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;

/** One run of a comparison with its result or its error; a run that has not ended has neither. */
final class ComparisonRun {
    /** Folder of the runs in that of the table. */
    static final String RUNS = "runs";

    private final String name;
    private final Recipe recipe;
    private final int subject;
    private final long seed;
    private final Path folder;
    private @Nullable Settings result;
    private @Nullable String error;

    /** @param recipe with the seed of this run */
    ComparisonRun(String name, Recipe recipe, int subject, long seed, Path out) {
        this.name = name;
        this.recipe = recipe;
        this.subject = subject;
        this.seed = seed;
        this.folder = out.resolve(RUNS)
                .resolve(name.replace(' ', '-') + "-" + AlgonautsSubject.folderName(subject) + "-seed" + seed);
    }

    String name() {
        return name;
    }

    Recipe recipe() {
        return recipe;
    }

    int subject() {
        return subject;
    }

    long seed() {
        return seed;
    }

    Path folder() {
        return folder;
    }

    /** Name of the folder; messages use it to name the run. */
    String label() {
        return folder.getFileName().toString();
    }

    boolean isFinished() {
        return result != null;
    }

    boolean hasFailed() {
        return error != null;
    }

    /** Why the run failed, in one line; null if it did not. */
    @Nullable
    String error() {
        return error;
    }

    boolean has(String key) {
        return result().values().containsKey(key);
    }

    double number(String key) {
        return result().number(key, Double.NEGATIVE_INFINITY);
    }

    long whole(String key) {
        return result().whole(key);
    }

    String text(String key) {
        return result().text(key);
    }

    private Settings result() {
        return Objects.requireNonNull(result, "the run is not finished");
    }

    private Path resultFile() {
        return folder.resolve("result.json");
    }

    private Path failureFile() {
        return folder.resolve("failure.txt");
    }

    /** Throws if the folder holds a run of another recipe. */
    void checkRecipe() {
        Path yaml = folder.resolve("recipe.yaml");
        if (!Files.exists(yaml)) return;
        Recipe before = Recipe.load(yaml.toString());
        // A run fills in what files and data determine.
        if (!values(before).equals(values(QueryRegions.namedAs(before, PretrainedRecipe.withColours(recipe)))))
            throw new InputException(
                    yaml.toString(),
                    "differs from recipe '" + name + "' with the current values",
                    "Give the same values as before, remove the folder of that run, or choose another folder with -o");
    }

    /** The values as JSON, where equal numbers of different types have the same text. */
    private static String values(Recipe r) {
        return Json.compact(r.decisive());
    }

    /** Reads the result, if the run is finished. */
    void readResult() {
        if (Files.exists(resultFile())) result = Settings.of(resultFile().toString(), Json.readObject(resultFile()));
    }

    /** Reads why the run failed when it was last tried; forgets a failure that nobody has recorded. */
    void readFailure() {
        error = Files.exists(failureFile()) ? fail(InputFiles.readText(failureFile(), 1 << 20, "a message")) : null;
    }

    /** Begins another trial. The caller has reserved the folder. */
    void begin() {
        error = null;
        AtomicFiles.deleteIfExists(failureFile());
    }

    void fail(Exception e) {
        fail(String.valueOf(e instanceof InputException ? e.getMessage() : e));
    }

    /** Marks the run as failed; returns why, in one line. */
    String fail(String why) {
        return error = why.replaceAll("\\s+", " ").strip();
    }

    /** Records the failure for other processes, which show it in their tables. The caller has reserved the folder. */
    void recordFailure() {
        try {
            AtomicFiles.writeString(failureFile(), error() + System.lineSeparator());
        } catch (InputException e) {
            // The failure may be that nothing can be written; this process knows it.
        }
    }

    /** Writes the files of the evaluation, then the result, whose existence marks the run as finished. */
    void finish(Evaluated evaluated, Map<String, Object> more) {
        evaluated.write(folder.resolve("evaluation"));
        Evaluation evaluation = evaluated.evaluation();
        Evaluation.Row all = evaluation.rows().get(0);
        Map<String, Object> values = new LinkedHashMap<>(more);
        values.put("images", evaluation.images());
        if (!evaluation.prediction().isEmpty()) values.put("prediction", evaluation.prediction());
        for (Metric m : Metric.compared()) if (all.has(m)) values.put(m.key(), all.figure(m));
        Json.write(resultFile(), values);
        readResult();
    }
}
