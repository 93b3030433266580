// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
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
     */
    record Resumed(RunState state, Map<ModelConfig.Subject, ResponseScaling> scalings) {}

    /** Writes the file atomically: an older file is replaced only once the new one is complete. */
    static void save(
            Path file,
            Variables vars,
            ModelConfig config,
            Recipe recipe,
            RunState state,
            Map<ModelConfig.Subject, ResponseScaling> scalings) {
        SafeTensors.Writer w = new SafeTensors.Writer(file)
                .metadata("format", "pt")
                .metadata(Model.FORMAT, VERSION)
                .metadata(Model.CONFIG, Json.compact(config.toMap()))
                .metadata(Recipe.METADATA, recipe.json())
                .metadata(STATE, Json.compact(state.toMap()));
        kept(vars).forEach((name, type) -> {
            long[] dims = Arrays.stream(type.shape().dims()).asLongStream().toArray();
            w.add(name, SafeTensors.DType.F32, dims, vars.find(name)::snapshot);
        });
        scalings.forEach((subject, scaling) -> scaling.add(w, subject));
        w.commit();
    }

    /**
     * Reads a checkpoint into declared variables. Checks the whole file before it changes a variable.
     *
     * @param present state of the resuming run before its first step
     * @return state of the saved run, and its scalings of the responses
     * @throws InputException if the checkpoint is of another model or run
     */
    static Resumed load(Path file, ModelConfig config, Variables vars, RunState present) {
        try (SafeTensors t = SafeTensors.open(file)) {
            requireModel(t, config);
            Map<String, Type> kept = kept(vars);
            // A run that was not in FP8 has no such states: they keep their initial values.
            kept.keySet()
                    .removeIf(name ->
                            name.endsWith(Weights.FP8_STATE) && !t.names().contains(name));
            requireTensors(t, kept);
            RunState state = state(t);
            state.requireSameRun(file, present);
            Map<ModelConfig.Subject, ResponseScaling> scalings = Model.scalings(t, config);
            kept.keySet().forEach(name -> vars.find(name).write(t.floats(name)));
            return new Resumed(state, scalings);
        }
    }

    /** The variables that a checkpoint stores. */
    private static Map<String, Type> kept(Variables vars) {
        Map<String, Type> kept = new LinkedHashMap<>(vars.types());
        kept.values().removeIf(type -> type.dtype() != DType.F32);
        return kept;
    }

    private static void requireModel(SafeTensors t, ModelConfig config) {
        ModelConfig saved = Model.config(t);
        if (!saved.subjects().equals(config.subjects()))
            throw mismatch(t, "it is for " + saved.subjects() + ", but the data are " + config.subjects());
        if (!saved.generator().equals(config.generator())
                || !saved.discriminator().equals(config.discriminator()))
            throw mismatch(t, "its model is " + saved.networks() + ", but the recipe has " + config.networks());
    }

    private static void requireTensors(SafeTensors t, Map<String, Type> kept) {
        TreeSet<String> lacks = new TreeSet<>(kept.keySet());
        lacks.removeAll(t.names());
        if (!lacks.isEmpty())
            throw mismatch(t, "it lacks " + lacks.size() + " tensors, for example '" + lacks.first() + "'");
        kept.forEach((name, type) -> {
            SafeTensors.Entry e = t.entry(name);
            if (e.elements() != type.shape().elements() || e.dtype() != SafeTensors.DType.F32)
                throw mismatch(t, "tensor '" + name + "' is " + e + ", not " + type);
        });
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
