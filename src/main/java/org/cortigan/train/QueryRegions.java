// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.Variables;
import org.cortigan.model.Generator;
import org.cortigan.model.Queries;

/**
 * The regions of a readout's queries. A vertex belongs to the first named region that has it; a vertex in none belongs
 * to the remainder of its hemisphere.
 */
public final class QueryRegions {
    private static final String KEY = "model.generator." + Queries.NAMES;

    /** Names of the remainders, left then right. */
    private static final List<String> REMAINDERS = List.of(Regions.REMAINDER + "-lh", Regions.REMAINDER + "-rh");

    private QueryRegions() {}

    private static Optional<Queries> queries(Recipe recipe) {
        return Generator.of(recipe.section("model").section("generator")).queries();
    }

    /** The recipe with the names of a checkpoint's queries, if it has queries of the same grouping without names. */
    public static Recipe namedLike(Path checkpoint, Recipe recipe) {
        Queries q = queries(recipe).orElse(null);
        if (q == null || !q.names().isEmpty()) return recipe;
        List<String> names = Transfer.queryNames(checkpoint, q);
        return names.isEmpty() ? recipe : recipe.with(KEY, names);
    }

    /** The recipe with the names of the queries that a run has filled in, if it has none itself. */
    public static Recipe namedAs(Recipe ofRun, Recipe recipe) {
        Optional<Queries> empty = queries(recipe).filter(q -> q.names().isEmpty());
        return queries(ofRun)
                .filter(q -> empty.isPresent() && q.per().equals(empty.get().per()))
                .map(q -> recipe.with(KEY, q.names()))
                .orElse(recipe);
    }

    /**
     * The recipe with the names of all queries, which a run's files then hold; a recipe without queries as it is. A run
     * that begins with the weights of another run has the queries of that run.
     *
     * @param sets data of all subjects, whose regions are joined
     * @param log receives the names, if the recipe has none
     * @throws InputException if the data lack the grouping, or a region that the recipe names
     */
    static Recipe named(Recipe recipe, Collection<? extends TrainingData> sets, Consumer<String> log) {
        String init = TrainSettings.of(recipe).init();
        Recipe named = init.isEmpty()
                        || queries(recipe).filter(q -> q.names().isEmpty()).isEmpty()
                ? recipe
                : namedLike(Transfer.file(init), recipe);
        return named(named, sets, init, log);
    }

    private static Recipe named(
            Recipe recipe, Collection<? extends TrainingData> sets, String init, Consumer<String> log) {
        Queries q = queries(recipe).orElse(null);
        if (q == null) return recipe;
        Set<String> inData = new LinkedHashSet<>();
        for (TrainingData d : sets) for (Region r : regions(q, d)) inData.add(r.name());
        inData.remove(Regions.REMAINDER);
        Set<String> names = new LinkedHashSet<>(q.names());
        if (names.isEmpty()) names.addAll(inData);
        for (String name : names)
            if (!inData.contains(name) && !REMAINDERS.contains(name) && !isOfOtherRun(name, init, q))
                throw new InputException(
                        KEY,
                        "no subject has vertices of the region '" + name + "' (model.generator.queries: " + q.per()
                                + ")",
                        "Use some of " + String.join(", ", inData));
        boolean divides = q.per().equals(Regions.ALL) || q.per().equals(Regions.HEMISPHERE);
        if (!(divides && names.containsAll(inData))) names.addAll(REMAINDERS);
        if (q.names().size() == names.size()) return recipe;
        log.accept("queries of " + q.per() + ": " + String.join(", ", names));
        return recipe.with(KEY, List.copyOf(names));
    }

    /** Whether the run that gives the initial weights has a query of that name: its subjects may have other regions. */
    private static boolean isOfOtherRun(String name, String init, Queries q) {
        if (init.isEmpty()) return false;
        try {
            return Transfer.queryNames(Transfer.file(init), q).contains(name);
        } catch (InputException e) {
            return true; // The file may be gone when a run resumes. A new run reads it and fails.
        }
    }

    private static List<Region> regions(Queries q, TrainingData data) {
        return data.regions(q.per(), Regions.Order.STORED, null, 1, line -> {});
    }

    /**
     * The number of each vertex's query.
     *
     * @param log receives the names of queries that no vertex reads
     */
    static float[] ofVertices(Queries q, TrainingData data, Consumer<String> log) {
        int left = data.leftVertices();
        float[] region = new float[left + data.rightVertices()];
        Arrays.fill(region, -1);
        Map<String, int[]> vertices = new HashMap<>();
        for (Region r : regions(q, data)) vertices.put(r.name(), r.vertices());
        for (int k = 0; k < q.names().size(); k++)
            for (int v : vertices.getOrDefault(q.names().get(k), new int[0])) if (region[v] < 0) region[v] = k;
        for (int v = 0; v < region.length; v++) if (region[v] < 0) region[v] = remainder(q, v < left ? 0 : 1);
        List<String> unread = new ArrayList<>();
        IntStream.range(0, q.names().size())
                .filter(k -> IntStream.range(0, region.length).noneMatch(v -> region[v] == k))
                .forEach(k -> unread.add(q.names().get(k)));
        if (!unread.isEmpty())
            log.accept((data.subjectName().isEmpty() ? "" : data.subjectName() + ": ")
                    + "no vertex reads these queries: " + String.join(", ", unread));
        return region;
    }

    private static int remainder(Queries q, int hemisphere) {
        int k = q.names().indexOf(REMAINDERS.get(hemisphere));
        if (k < 0)
            throw new InputException(
                    KEY,
                    "has no query for vertices of the " + (hemisphere == 0 ? "left" : "right")
                            + " hemisphere in none of " + String.join(", ", q.names()),
                    "Add " + REMAINDERS.get(hemisphere));
        return k;
    }

    /** Writes the number of each vertex's query to the states of all subjects, if the readout has queries. */
    static void write(List<SubjectSetup> setups, Variables vars, Consumer<String> log) {
        for (SubjectSetup s : setups)
            s.settings()
                    .model()
                    .generator()
                    .queries()
                    .ifPresent(q ->
                            vars.find(Generator.regionOf(s.subject().name())).write(ofVertices(q, s.data(), log)));
    }
}
