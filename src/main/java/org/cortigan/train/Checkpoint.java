// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;

/**
 * The whole state of a run in one safetensors file. Tensors, all f32 and named as the graph's variables: parameters,
 * optimizer state, spectral-norm vectors and moving averages; and the scaling of each subject's responses. Metadata:
 * the model, the recipe and the {@link RunState}. The bf16 copies are not stored, because they are the rounded
 * parameters. A run in FP8 also stores the states of its tensors in FP8; a run in another precision resumes from it
 * without them.
 */
final class Checkpoint {
    static final String VERSION = "2";
    private static final String STATE = "cortigan.state";

    private Checkpoint() {}

    /**
     * What a run resumes from beside its variables.
     *
     * @param scalings of the responses, by subject
     * @param differences from the recipe of the checkpoint, for the user
     */
    record Resumed(RunState state, Map<ModelConfig.Subject, ResponseScaling> scalings, List<String> differences) {}

    /**
     * Writes the file atomically: an older file is replaced only once the new one is complete.
     *
     * @param subject name of a model's only subject; "" if it is not known or there are several
     */
    static void save(
            Path file,
            Variables vars,
            ModelConfig config,
            String subject,
            Recipe recipe,
            RunState state,
            Map<ModelConfig.Subject, ResponseScaling> scalings) {
        SafeTensors.Writer w = new SafeTensors.Writer(file)
                .metadata("format", "pt")
                .metadata(Model.FORMAT, VERSION)
                .metadata(Model.CONFIG, Json.compact(config.toMap()))
                .metadata(Recipe.METADATA, recipe.json())
                .metadata(STATE, Json.compact(state.toMap()));
        if (!subject.isEmpty()) w.metadata(Model.SUBJECT, subject);
        kept(vars).forEach((name, type) -> {
            long[] dims = Arrays.stream(type.shape().dims()).asLongStream().toArray();
            w.add(name, SafeTensors.DType.F32, dims, vars.find(name)::snapshot);
        });
        scalings.forEach((s, scaling) -> scaling.add(w, s));
        w.commit();
    }

    /**
     * Reads a checkpoint into declared variables. Checks the whole file before it changes a variable.
     *
     * @param subject name of the data's only subject; "" if it is not known or there are several
     * @param present state of the resuming run before its first step
     * @param scaling of the resuming run's training responses, which takes reading them
     * @return what the run resumes from beside its variables
     * @throws InputException if the checkpoint is of another model, subject or run
     */
    static Resumed load(
            Path file,
            ModelConfig config,
            String subject,
            Variables vars,
            RunState present,
            Function<ModelConfig.Subject, ResponseScaling> scaling,
            Resumption resumption) {
        try (SafeTensors t = SafeTensors.open(file)) {
            Optional<Recipe> recipe = Recipe.storedIn(t);
            requireModel(t, config, recipe.map(resumption::networks).orElse(""));
            requireSubject(t, subject);
            RunState state = state(t);
            resumption.requireRecipe(file, recipe, state.otherRun(present));
            Map<String, Type> kept = kept(vars);
            // A run that was not in FP8 has no such states: they keep their initial values.
            kept.keySet()
                    .removeIf(name ->
                            name.endsWith(Weights.FP8_STATE) && !t.names().contains(name));
            requireTensors(t, kept);
            resumption.requireEpochs(file, state);
            List<String> differences = new ArrayList<>(resumption.differences(file, recipe, state));
            Map<ModelConfig.Subject, ResponseScaling> scalings = Model.scalings(t, config);
            scalings.forEach((s, saved) -> {
                if (ResponseScaling.isStored(t, s))
                    resumption
                            .requireResponses(file, s, scaling.apply(s), saved)
                            .ifPresent(differences::add);
            });
            kept.keySet().forEach(name -> vars.find(name).write(t.floats(name)));
            return new Resumed(state, scalings, differences);
        }
    }

    /** The state of the run of a checkpoint; empty if the file cannot be read or stores none. */
    static Optional<RunState> state(Path file) {
        try (SafeTensors t = SafeTensors.open(file)) {
            return Optional.of(state(t));
        } catch (InputException e) {
            return Optional.empty();
        }
    }

    /** The variables that a checkpoint stores. */
    private static Map<String, Type> kept(Variables vars) {
        Map<String, Type> kept = new LinkedHashMap<>(vars.types());
        kept.values().removeIf(type -> type.dtype() != DType.F32);
        return kept;
    }

    /** @param difference values of the networks that differ from the checkpoint's recipe; empty if it has none */
    private static void requireModel(SafeTensors t, ModelConfig config, String difference) {
        ModelConfig saved = Model.config(t);
        if (!saved.subjects().equals(config.subjects()))
            throw mismatch(t, "it is for " + saved.subjects() + ", but the data are " + config.subjects());
        if (!saved.generator().isSameNetwork(config.generator())
                || !saved.discriminator().equals(config.discriminator()))
            throw mismatch(
                    t,
                    difference.isEmpty()
                            ? "its model is " + saved.networks() + ", but the recipe has " + config.networks()
                            : "its model is another: " + difference);
    }

    private static void requireSubject(SafeTensors t, String subject) {
        String saved = Model.subject(t);
        if (!saved.isEmpty() && !subject.isEmpty() && !saved.equals(subject))
            throw mismatch(t, "it is of " + InputFiles.quote(saved) + ", but the data are of '" + subject + "'");
    }

    private static void requireTensors(SafeTensors t, Map<String, Type> kept) {
        TreeSet<String> lacks = new TreeSet<>(kept.keySet());
        lacks.removeAll(t.names());
        if (!lacks.isEmpty())
            throw mismatch(t, "it lacks " + lacks.size() + " tensors, for example '" + lacks.first() + "'");
        kept.forEach((name, type) -> {
            SafeTensors.Entry e = t.entry(name);
            if (e.elements() != type.shape().elements() || e.dtype() != SafeTensors.DType.F32)
                throw mismatch(t, "tensor " + e + " is not " + type);
            if (isParameter(name)) t.finite(name);
        });
    }

    /** Whether a variable is one of the networks', not of an optimizer: sums of squares may overflow harmlessly. */
    private static boolean isParameter(String variable) {
        return Stream.of(Generator.PREFIX, Discriminator.PREFIX, Weights.AVERAGE)
                .anyMatch(variable::startsWith);
    }

    private static RunState state(SafeTensors t) {
        String json = t.metadata().get(STATE);
        if (json == null) throw mismatch(t, "its metadata have no '" + STATE + "'");
        String where = t.path() + ", metadata '" + STATE + "'";
        return RunState.of(Json.object(Json.parse(json, where), where), where);
    }

    private static InputException mismatch(SafeTensors t, String what) {
        return new InputException(
                t.path().toString(),
                "cannot be resumed: " + what,
                "Resume with the recipe and the data of that run, or start a new run");
    }
}
