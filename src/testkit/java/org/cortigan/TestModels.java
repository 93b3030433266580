// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
import org.cortigan.model.InitialValues;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.train.Recipe;

/** Makes small models from recipes: the defaults plus the given options. */
public final class TestModels {
    private TestModels() {}

    /** The default recipe with options such as {@code train.epochs=2}. */
    public static Recipe recipe(String... options) {
        Recipe r = Recipe.of("test", Map.of(), "test");
        for (String o : options) r = r.with(o);
        return r;
    }

    private static Recipe in(String section, String... options) {
        Recipe r = recipe();
        for (String o : options) r = r.with(section + o);
        return r;
    }

    /** @param options for example {@code type=cnn} */
    public static Generator generator(String... options) {
        return Generator.of(in("model.generator.", options).section("model").section("generator"));
    }

    /** @param options for example {@code type=mlp} */
    public static Discriminator discriminator(String... options) {
        return ModelConfig.of(in("model.discriminator.", options).section("model"), List.of())
                .discriminator()
                .orElseThrow();
    }

    /** A model of one subject. */
    public static ModelConfig model(Generator g, Discriminator d, int left, int right) {
        return new ModelConfig(
                g, Optional.of(d), recipe().section("model"), List.of(new ModelConfig.Subject("", left, right)));
    }

    /** The values of all parameters and states of a model, by name. */
    public static Map<String, float[]> values(Model m) {
        Map<String, float[]> all = new LinkedHashMap<>();
        for (String name : m.names()) all.put(name, m.values(name));
        return all;
    }

    /** All initial values, by name. */
    public static Map<String, float[]> read(InitialValues values) {
        Map<String, float[]> all = new LinkedHashMap<>();
        values.values().forEach((name, reader) -> all.put(name, reader.get()));
        return all;
    }
}
