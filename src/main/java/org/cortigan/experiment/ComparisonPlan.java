// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.train.Recipe;

/** The runs of a comparison. */
final class ComparisonPlan {
    /** The ridge regressions beside the models: the strongest standard one, and the one on pixels. */
    static final String STRONGEST = "strongest ridge", PIXELS = "ridge on pixels";

    static final List<String> BASELINES = List.of(STRONGEST, PIXELS);
    private static final String WITHOUT_GAN = " without GAN";

    /** Two rows whose difference the table shows. */
    record Pair(String first, String second) {}

    /** Recipes by name. The ablation of a recipe follows the recipe. */
    private final Map<String, Recipe> recipes = new LinkedHashMap<>();

    private final List<Pair> pairs = new ArrayList<>();
    private final List<ComparisonRun> runs = new ArrayList<>();
    /**
     * By subject: for each baseline one run on the test split, or one per seed on the validation split, which depends
     * on the seed.
     */
    private final Map<Integer, List<ComparisonRun>> baselines = new TreeMap<>();

    /**
     * @param log receives messages about the recipes
     * @throws InputException if a recipe is wrong or a pair names an unknown recipe
     */
    ComparisonPlan(ComparisonOptions options, Consumer<String> log) {
        for (String nameOrFile : options.recipes()) addRecipe(nameOrFile, options);
        recipes.values().forEach(r -> r.tellUnused(log));
        for (String pair : options.pairs()) pairs.add(pair(pair));
        // Seeds are the outermost loop, so that every row of the table gets a first result early.
        for (long seed : options.seeds())
            for (int subject : options.subjects())
                recipes.forEach((name, r) ->
                        runs.add(new ComparisonRun(name, r.with("train.seed", seed), subject, seed, options.out())));
        for (int subject : options.subjects()) baselines.put(subject, baselines(subject, options));
    }

    private void addRecipe(String nameOrFile, ComparisonOptions options) {
        Recipe r = Recipe.load(nameOrFile);
        r = r.with(options.assignments());
        if (recipes.put(r.name(), r) != null)
            throw new InputException("--recipes", "names two recipes '" + r.name() + "'", "Rename one of them");
        if (options.ablation() && new RecipeSummary(r).hasGan()) {
            recipes.put(r.name() + WITHOUT_GAN, r.with("loss.gan_weight", 0));
            pairs.add(new Pair(r.name(), r.name() + WITHOUT_GAN));
        }
    }

    private Pair pair(String text) {
        String[] names = text.split("=", -1);
        if (names.length != 2
                || names[0].equals(names[1])
                || !recipes.containsKey(names[0])
                || !recipes.containsKey(names[1]))
            throw new InputException(
                    "--compare " + text,
                    "is not a pair of recipes",
                    "Write A=B with two of " + String.join(", ", recipes.keySet()));
        return new Pair(names[0], names[1]);
    }

    private List<ComparisonRun> baselines(int subject, ComparisonOptions options) {
        Recipe first = recipes.values().iterator().next();
        List<Long> seeds = options.data().hasHeldOut(subject) ? options.seeds().subList(0, 1) : options.seeds();
        return BASELINES.stream()
                .flatMap(name -> seeds.stream()
                        .map(seed ->
                                new ComparisonRun(name, first.with("train.seed", seed), subject, seed, options.out())))
                .toList();
    }

    /** Names of the rows of trained models. */
    Iterable<String> names() {
        return recipes.keySet();
    }

    List<Pair> pairs() {
        return pairs;
    }

    /** The baselines of all subjects, then all training runs: the order of execution. */
    List<ComparisonRun> all() {
        return Stream.concat(baselines.values().stream().flatMap(List::stream), runs.stream())
                .toList();
    }

    boolean isBaseline(ComparisonRun r) {
        return baselines(r.subject()).contains(r);
    }

    /** All training runs, in the order of execution. */
    List<ComparisonRun> runs() {
        return runs;
    }

    /** The training runs of a row, in the order of the seeds. */
    List<ComparisonRun> runs(String name, int subject) {
        return runs.stream()
                .filter(r -> r.name().equals(name) && r.subject() == subject)
                .toList();
    }

    /** The runs of a baseline, in the order of the seeds. */
    List<ComparisonRun> baselines(String name, int subject) {
        return baselines(subject).stream().filter(r -> r.name().equals(name)).toList();
    }

    List<ComparisonRun> baselines(int subject) {
        return Objects.requireNonNull(baselines.get(subject), "the subject has no baseline");
    }
}
