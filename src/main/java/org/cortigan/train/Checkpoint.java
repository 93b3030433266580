// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.data.Json;
import org.cortigan.data.SafeTensors;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;

/**
 * The whole state of a run in one safetensors file: parameters, optimizer state, spectral-norm vectors, moving averages
 * (all f32, by the names of the graph's variables); in the metadata the model, the recipe and where the run is. bf16
 * copies are not kept: they are the parameters, rounded.
 */
final class Checkpoint {
    static final String VERSION = "2";
    static final String RECIPE = "cortigan.recipe";
    private static final String STATE = "cortigan.state";

    private Checkpoint() {}

    /** Replaces the file, under its name only once it is complete. */
    static void save(Path file, Variables vars, ModelConfig config, Recipe recipe, Map<String, Object> state) {
        SafeTensors.Writer w = new SafeTensors.Writer(file)
                .metadata("format", "pt")
                .metadata(Model.FORMAT, VERSION)
                .metadata(Model.CONFIG, Json.compact(config.toMap()))
                .metadata(RECIPE, Json.compact(recipe.settings().values()))
                .metadata(STATE, Json.compact(state));
        vars.types().forEach((name, type) -> {
            if (type.dtype() != DType.F32) return;
            int[] d = type.shape().dims();
            long[] dims = new long[d.length];
            for (int i = 0; i < d.length; i++) dims[i] = d[i];
            Storage s = vars.find(name);
            w.add(name, SafeTensors.DType.F32, dims, s::snapshot);
        });
        w.commit();
    }

    /**
     * Reads a run's state into variables that have been declared; fails before it changes any.
     *
     * @return where the run was
     */
    static Map<String, Object> load(Path file, Variables vars, ModelConfig config) {
        try (SafeTensors t = SafeTensors.open(file)) {
            ModelConfig saved = Model.config(t);
            if (!saved.subjects().equals(config.subjects()))
                throw other(file, "it is for " + saved.subjects() + ", the data are " + config.subjects());
            if (!saved.generator().equals(config.generator())
                    || !saved.discriminator().equals(config.discriminator()))
                throw other(
                        file,
                        "its model is " + saved.generator() + ", " + saved.discriminator() + "; the recipe's is "
                                + config.generator() + ", " + config.discriminator());
            Map<String, Type> want = new LinkedHashMap<>();
            vars.types().forEach((n, type) -> {
                if (type.dtype() == DType.F32) want.put(n, type);
            });
            TreeSet<String> lacks = new TreeSet<>(want.keySet());
            lacks.removeAll(t.names());
            if (!lacks.isEmpty())
                throw other(file, "it lacks " + lacks.size() + " tensors, for example '" + lacks.first() + "'");
            want.forEach((n, type) -> {
                if (t.entry(n).elements() != type.shape().elements()
                        || t.entry(n).dtype() != SafeTensors.DType.F32)
                    throw other(file, "tensor '" + n + "' is " + t.entry(n) + ", not " + type);
            });
            String state = t.metadata().get(STATE);
            if (state == null) throw other(file, "its metadata have no '" + STATE + "'");
            Map<String, Object> s = Json.object(Json.parse(state, file + ", metadata"), file + ", metadata");
            want.forEach((n, type) -> vars.find(n).write(t.floats(n)));
            return s;
        }
    }

    /** The recipe that a checkpoint was trained by; null where it does not say. */
    static Recipe recipe(SafeTensors t) {
        String json = t.metadata().get(RECIPE);
        if (json == null) return null;
        String where = t.path() + ", metadata '" + RECIPE + "'";
        return Recipe.of(t.path().getFileName().toString(), Json.object(Json.parse(json, where), where), where);
    }

    private static InputException other(Path file, String what) {
        return new InputException(
                file.toString(),
                "cannot be resumed: " + what,
                "Resume with the recipe and data of that run, or begin a new one");
    }
}
