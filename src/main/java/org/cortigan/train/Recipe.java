// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Backbone;
import org.cortigan.model.BackboneRates;
import org.cortigan.model.Diffusion;
import org.cortigan.model.DiscriminatorNetwork;
import org.cortigan.model.FlatKeys;
import org.cortigan.model.Generator;
import org.cortigan.model.ModelConfig;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.Dump;
import org.snakeyaml.engine.v2.api.DumpSettings;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.common.FlowStyle;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/**
 * All settings of a training run. {@link #defaults} lists every key with a comment; a recipe file sets the values that
 * differ from the defaults. Keys of version 0.1 are still read, see {@link FlatKeys}.
 */
public final class Recipe {
    /** Metadata key of the recipe in a checkpoint. */
    static final String METADATA = "cortigan.recipe";

    private static final String DEFAULTS = "defaults.yaml";
    private static final String GENERATOR = "model.generator.", OPTIMIZER = "optimizer";
    /** Path of the rate of a readout's UNet, which no other readout has. */
    private static final String UNET_RATE = OPTIMIZER + "." + BackboneRates.UNET;

    private static final List<String> FILES = BundledRecipes.names();
    /** More would let a short text stand for more values than memory has. */
    private static final int MAX_ALIASES = 20;

    /**
     * Names of the bundled recipes: each recipe as in its file, and in every size that the file defines
     * ({@code NAME-workstation}, {@code NAME-tiny}).
     */
    public static final List<String> BUNDLED;

    private static final Settings DEFAULT = Settings.of(DEFAULTS, yaml(defaults(), DEFAULTS));

    static {
        List<String> all = new ArrayList<>();
        for (String f : FILES) {
            all.add(f);
            sizes(yaml(bundled(f), f), f).keySet().forEach(size -> all.add(f + "-" + size));
        }
        BUNDLED = List.copyOf(all);
    }

    private static Map<String, Object> sizes(Map<String, Object> file, String where) {
        return file.containsKey("sizes") ? Json.object(file.get("sizes"), where + ", sizes") : Map.of();
    }

    private final String name;
    private final Settings settings;
    /** The bundled recipe or the defaults that the user's values were laid over. */
    private final Settings base;

    private Recipe(String name, Settings settings, Settings base) {
        this.name = name;
        this.settings = settings;
        this.base = base;
    }

    /**
     * Loads a recipe.
     *
     * @param nameOrFile name of a bundled recipe, or a YAML file with the values that differ from the defaults or, if
     *     the file has the key {@code base}, from that bundled recipe
     * @throws InputException if the recipe is unknown, or a key or value is wrong
     */
    public static Recipe load(String nameOrFile) {
        if (BUNDLED.contains(nameOrFile)) return bundledRecipe(nameOrFile);
        Path file = InputFiles.path(nameOrFile);
        if (!nameOrFile.contains("/") && !nameOrFile.contains(".") && !Files.exists(file))
            throw new InputException(
                    "recipe '" + nameOrFile + "'", "is unknown", "Give a YAML file or one of " + namesLike(nameOrFile));
        if (Files.notExists(file))
            throw new InputException(
                    file.toString(), "no such file", "Give a YAML file or one of " + namesLike(nameOrFile));
        Map<String, Object> values =
                new LinkedHashMap<>(yaml(InputFiles.readText(file, 1 << 20, "a recipe"), file.toString()));
        if (values.isEmpty())
            throw new InputException(
                    file.toString(), "sets no value", "Write at least base: and the name of a bundled recipe");
        Object base = values.remove("base");
        String name = file.getFileName().toString().replaceFirst("\\.ya?ml$", "");
        if (base == null) return of(name, values, file.toString(), DEFAULT);
        if (!BUNDLED.contains(base.toString()))
            throw new InputException(
                    file + ", key 'base'",
                    "'" + base + "' is not a bundled recipe",
                    "Use one of " + namesLike(base.toString()));
        return of(name, values, file.toString(), bundledRecipe(base.toString()).settings);
    }

    /** The sizes of the bundled recipe whose name begins another name, for a message; without one, all recipes. */
    private static String namesLike(String name) {
        String file = file(name);
        return FILES.contains(file)
                ? String.join(
                        ", ", BUNDLED.stream().filter(b -> file(b).equals(file)).toList())
                : String.join(", ", FILES) + "; the command 'recipes' lists their sizes";
    }

    private static Recipe bundledRecipe(String name) {
        String file = file(name), where = "recipe " + name;
        Map<String, Object> all = new LinkedHashMap<>(yaml(bundled(file), where));
        Map<String, Object> sizes = sizes(all, where);
        all.remove("sizes");
        Settings s = of(name, all, where).settings;
        if (!name.equals(file)) s = s.with(Json.object(sizes.get(name.substring(file.length() + 1)), where), where);
        return new Recipe(name, s, s);
    }

    /** The name of the file that defines a bundled recipe, without its suffix. */
    public static String file(String name) {
        return FILES.stream()
                .filter(f -> name.equals(f) || name.startsWith(f + "-"))
                .max(Comparator.comparingInt(String::length))
                .orElse(name);
    }

    /**
     * Makes a recipe from the defaults and the values that differ.
     *
     * @param where source of the values, for messages
     */
    public static Recipe of(String name, Map<String, Object> values, String where) {
        return of(name, values, where, DEFAULT);
    }

    private static Recipe of(String name, Map<String, Object> values, String where, Settings base) {
        return new Recipe(name, lay(base, values, where).in(where), base);
    }

    /** Lays values over a recipe's. Colours of the user's own are meant, whatever a pre-trained file says. */
    private static Settings lay(Settings base, Map<String, Object> values, String where) {
        Settings s = FlatKeys.lay(base, values, where);
        boolean ownColours = values.get("model") instanceof Map<?, ?> model
                && model.get("generator") instanceof Map<?, ?> g
                && (g.containsKey("mean") || g.containsKey("std"))
                && !g.containsKey("preprocess");
        return ownColours ? s.with("model.generator.preprocess", "custom", where) : s;
    }

    /**
     * The recipe that trained a checkpoint.
     *
     * @throws InputException if the checkpoint stores no recipe
     */
    public static Recipe ofCheckpoint(Path file) {
        try (SafeTensors t = SafeTensors.open(file)) {
            return storedIn(t)
                    .orElseThrow(() -> new InputException(
                            file.toString(),
                            "stores no recipe: it is an average of runs that held out different images",
                            "Evaluate it on the test split"));
        }
    }

    /** The recipe in the metadata of a checkpoint; empty if there is none. */
    static Optional<Recipe> storedIn(SafeTensors t) {
        String json = t.metadata().get(METADATA);
        if (json == null) return Optional.empty();
        String where = t.path() + ", metadata '" + METADATA + "'";
        return Optional.of(of(t.path().getFileName().toString(), Json.object(Json.parse(json, where), where), where));
    }

    /** All values as JSON, for a checkpoint's metadata. */
    String json() {
        return Json.compact(settings.values());
    }

    /** Text of a bundled recipe, with its comments. */
    public static String bundled(String name) {
        return BundledRecipes.text(name);
    }

    /** Every key with its default and a comment, in YAML. The networks document their own keys. */
    public static String defaults() {
        return bundled("defaults")
                .replace(
                        "    # {generator.networks}\n",
                        Backbone.types().defaults().indent(4))
                .replace(
                        "    # {discriminator.networks}\n",
                        DiscriminatorNetwork.types().defaults().indent(4))
                .replace(
                        "{generator.types}", String.join(" | ", Backbone.types().names()))
                .replace(
                        "{discriminator.types}",
                        String.join(" | ", DiscriminatorNetwork.types().names()));
    }

    private static Map<String, Object> yaml(String text, String where) {
        try {
            Object o = new Load(LoadSettings.builder()
                            .setLabel(where)
                            .setMaxAliasesForCollections(MAX_ALIASES)
                            .build())
                    .loadFromString(text);
            if (o != null && !(o instanceof Map))
                throw new InputException(where, "has no keys with values", "Write for example 'train: {epochs: 3}'");
            return o == null ? Map.of() : Json.object(o, where);
        } catch (YamlEngineException e) {
            throw new InputException(
                    where,
                    "is not valid YAML: " + String.valueOf(e.getMessage()).replaceAll("\\s+", " "),
                    "Correct that line",
                    e);
        }
    }

    /**
     * This recipe with one value replaced.
     *
     * @param assignment {@code key.path=value}, the value in YAML
     * @throws InputException if the key is unknown or the value is wrong
     */
    public Recipe with(String assignment) {
        int eq = assignment.indexOf('=');
        String where = "option " + assignment;
        if (eq < 1) throw new InputException(where, "has no key and value", "Write key.path=value");
        Object v = yaml("v: " + assignment.substring(eq + 1), where).get("v");
        return with(assignment.substring(0, eq), v, where);
    }

    /** This recipe with every assignment of {@link #with(String)}, in order. */
    public Recipe with(List<String> assignments) {
        Recipe r = this;
        for (String assignment : assignments) r = r.with(assignment);
        return r;
    }

    /** This recipe with one value replaced. */
    public Recipe with(String key, Object value) {
        return with(key, value, key);
    }

    /** Whether the value of a key is not that of the bundled recipe or the defaults that this recipe began with. */
    boolean changes(String key) {
        return !Objects.equals(
                leaves(settings.values()).get(key), leaves(base.values()).get(key));
    }

    private Recipe with(String key, @Nullable Object value, String where) {
        return new Recipe(name, lay(settings, Settings.at(key, value), where), base);
    }

    /** The bundled name, the name of the YAML file without its suffix, or the file name of the checkpoint. */
    public String name() {
        return name;
    }

    /** All values, including the defaults. */
    public Settings settings() {
        return settings;
    }

    /** The settings below a top-level key, such as {@code train}. */
    public Settings section(String key) {
        return settings.section(key);
    }

    /** Photographs in a training step: {@code train.batch} times {@code train.accumulate}. */
    public long photographs() {
        Settings train = section("train");
        return (long) train.integer("batch", 1) * train.integer("accumulate", 1);
    }

    /** The values that affect a run: all except the settings of networks that the model does not use. */
    public Map<String, Object> decisive() {
        Map<String, Object> all = new LinkedHashMap<>(settings.values());
        all.computeIfPresent("model", (k, v) -> ModelConfig.used(Json.object(v, k)));
        if (!Generator.denoises(section("model").section("generator").values())) {
            Map<String, Object> optimizer =
                    new LinkedHashMap<>(section(OPTIMIZER).values());
            optimizer.remove(BackboneRates.UNET);
            all.put(OPTIMIZER, optimizer);
        }
        return all;
    }

    /**
     * Tells which values the user gave for networks that the model does not use: they have no effect.
     *
     * @param log receives a line for the generator, for its readout (and its UNet's rate) and for the discriminator, if
     *     there are such values
     */
    public void tellUnused(Consumer<String> log) {
        Map<String, Object> used = leaves(decisive()), before = leaves(base.values());
        for (String part : List.of(GENERATOR, "model.discriminator.")) {
            List<String> unused = new ArrayList<>();
            leaves(settings.values()).forEach((key, value) -> {
                if ((key.startsWith(part) || part.equals(GENERATOR) && key.equals(UNET_RATE))
                        && !used.containsKey(key)
                        && !value.equals(before.get(key))
                        && !hasTwin(used, part, key, value)) unused.add(key);
            });
            Object type = used.get(part + "type");
            List<String> ofReadout = unused.stream()
                    .filter(k -> k.equals(UNET_RATE) || Diffusion.isKey(k.substring(part.length())))
                    .toList();
            unused.removeAll(ofReadout);
            tellUnused(
                    unused,
                    part + "type is " + type
                            + (unused.stream().allMatch(k -> k.startsWith(part + type + "."))
                                    ? " and its size " + used.get(part + type + ".size")
                                    : ""),
                    log);
            tellUnused(ofReadout, part + "readout is " + used.get(part + "readout"), log);
        }
    }

    private void tellUnused(List<String> keys, String why, Consumer<String> log) {
        if (!keys.isEmpty())
            log.accept("warning: recipe " + name + ": " + String.join(", ", keys)
                    + (keys.size() == 1 ? " has" : " have") + " no effect, because " + why);
    }

    /** Whether a network in use has a key of the same name and value: a key of version 0.1 sets it in several. */
    private static boolean hasTwin(Map<String, Object> used, String part, String key, Object value) {
        String name = key.substring(key.lastIndexOf('.'));
        return used.entrySet().stream()
                .anyMatch(e -> e.getKey().startsWith(part)
                        && e.getKey().endsWith(name)
                        && e.getValue().equals(value));
    }

    /** The values by their whole path. */
    static Map<String, Object> leaves(Map<String, Object> values) {
        Map<String, Object> all = new LinkedHashMap<>();
        values.forEach((key, value) -> {
            if (value instanceof Map<?, ?> section)
                leaves(Json.object(section, key)).forEach((k, v) -> all.put(key + "." + k, v));
            else all.put(key, value);
        });
        return all;
    }

    /** The values that affect the run, as YAML. Loading the YAML gives an equivalent recipe. */
    public String toYaml() {
        DumpSettings d =
                DumpSettings.builder().setDefaultFlowStyle(FlowStyle.BLOCK).build();
        return "# recipe " + name + ", with every value in force\n" + new Dump(d).dumpToString(decisive());
    }
}
