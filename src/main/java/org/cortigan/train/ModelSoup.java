// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;
import org.jspecify.annotations.Nullable;

/**
 * Averages the generator's parameters over several checkpoints of one model (Wortsman et al. 2022, "Model soups"). Uses
 * the moving averages of a checkpoint if it has any. Averaging helps if the checkpoints lie in one basin of the loss:
 * checkpoints of one run, or of runs from the same initial weights. The average of runs from different random weights
 * is useless, which only evaluation shows.
 */
public final class ModelSoup {
    private ModelSoup() {}

    /**
     * Writes the average as a checkpoint of the generator alone, from which no run can resume. The checkpoint stores a
     * recipe only if the runs of all checkpoints held out the same images.
     *
     * @param log receives a warning if the runs began with other seeds
     * @throws InputException if a checkpoint has another model than the first; names that checkpoint
     */
    public static void write(List<Path> checkpoints, Path out, Consumer<String> log) {
        Path first = checkpoints.get(0);
        ModelConfig config = null;
        List<Optional<Recipe>> recipes = new ArrayList<>();
        List<String> subjects = new ArrayList<>();
        Map<Weights.Spec, double[]> sums = new LinkedHashMap<>();
        List<Map<ModelConfig.Subject, ResponseScaling>> scalings = new ArrayList<>();
        for (Path p : checkpoints) {
            try (SafeTensors t = SafeTensors.open(p)) {
                // Averages weights with their low-rank updates merged: the mean of B A is not that of B times that of
                // A.
                Model model = Model.load(t);
                if (config == null) config = model.config();
                requireSameModel(p, model.config(), first, config);
                subjects.add(Model.subject(t));
                requireSameSubject(checkpoints, subjects);
                recipes.add(Recipe.storedIn(t));
                scalings.add(model.scalings());
                Weights all = config.generatorWeights(DType.F32);
                for (Weights.Spec spec : all.specs()) add(sums, spec, model.values(spec.name()));
                for (Weights.Spec spec : all.states()) {
                    float[] values = model.values(spec.name());
                    if (Generator.isLayout(spec))
                        requireSameLayout(p, first, sums.get(spec), spec, values, scalings.size() - 1);
                    add(sums, spec, values);
                }
            }
        }
        SafeTensors.Writer w = new SafeTensors.Writer(out)
                .metadata("format", "pt")
                .metadata(Model.FORMAT, Checkpoint.VERSION)
                .metadata(
                        Model.CONFIG,
                        Json.compact(
                                Objects.requireNonNull(config, "no checkpoints").toMap()))
                .metadata(
                        "cortigan.averaged",
                        Json.compact(checkpoints.stream().map(Path::toString).toList()));
        ofSameSplit(recipes).ifPresent(r -> w.metadata(Recipe.METADATA, r.json()));
        if (!subjects.contains("")) w.metadata(Model.SUBJECT, subjects.get(0));
        sums.forEach((spec, sum) -> {
            float[] mean = new float[sum.length];
            for (int i = 0; i < mean.length; i++) mean[i] = (float) (sum[i] / checkpoints.size());
            w.add(
                    spec.name(),
                    mean,
                    Arrays.stream(spec.shape().dims()).asLongStream().toArray());
        });
        for (ModelConfig.Subject s : config.subjects())
            ResponseScaling.mean(scalings.stream()
                            .map(m -> Objects.requireNonNull(m.get(s), "no scaling of the subject"))
                            .toList())
                    .add(w, s);
        w.commit();
        Set<Long> seeds = recipes.stream()
                .flatMap(Optional::stream)
                .map(r -> r.section("train").whole("seed"))
                .collect(Collectors.toCollection(TreeSet::new));
        if (seeds.size() > 1)
            log.accept("warning: the runs have other seeds (train.seed: " + seeds
                    + "). The mean of weights that began at other values predicts little; evaluate takes the mean of"
                    + " predictions");
    }

    private static void requireSameModel(Path file, ModelConfig config, Path first, ModelConfig want) {
        if (!config.generator().isSameNetwork(want.generator()))
            throw mismatch(
                    file, "its generator is " + config.generator() + ", but " + first + " has " + want.generator());
        if (!config.subjects().equals(want.subjects()))
            throw mismatch(file, "it is for " + config.subjects() + ", but " + first + " is for " + want.subjects());
    }

    /** @param subjects of the checkpoints up to this one; "" for one that does not tell it */
    private static void requireSameSubject(List<Path> checkpoints, List<String> subjects) {
        int last = subjects.size() - 1;
        String subject = subjects.get(last);
        for (int i = 0; i < last; i++) {
            String other = subjects.get(i);
            if (!subject.isEmpty() && !other.isEmpty() && !subject.equals(other))
                throw mismatch(
                        checkpoints.get(last),
                        "it was trained on " + InputFiles.quote(subject) + ", but " + checkpoints.get(i) + " on "
                                + InputFiles.quote(other));
        }
    }

    /** The first recipe, if all checkpoints have a recipe and all recipes hold out the same images. */
    private static Optional<Recipe> ofSameSplit(List<Optional<Recipe>> recipes) {
        Optional<Recipe> first = recipes.get(0);
        boolean same = recipes.stream().allMatch(r -> r.isPresent() && ImageSplit.isSame(r.get(), first.orElseThrow()));
        return same ? first : Optional.empty();
    }

    private static void add(Map<Weights.Spec, double[]> sums, Weights.Spec spec, float[] values) {
        double[] sum = sums.computeIfAbsent(spec, k -> new double[values.length]);
        for (int i = 0; i < values.length; i++) sum[i] += values[i];
    }

    /** The mean of two layouts of vertices is none. */
    private static void requireSameLayout(
            Path file, Path first, double @Nullable [] sum, Weights.Spec spec, float[] values, int before) {
        for (int i = 0; sum != null && i < values.length; i++)
            if (sum[i] != (double) values[i] * before)
                throw mismatch(
                        file, "its vertices are laid out otherwise than those of " + first + " (" + spec.name() + ")");
    }

    private static InputException mismatch(Path file, String what) {
        return new InputException(file.toString(), "cannot be averaged: " + what, "Give checkpoints of one model");
    }
}
