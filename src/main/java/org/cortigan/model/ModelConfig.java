// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.io.Json;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;

/**
 * A generator and its discriminators, for one subject or for several subjects that share the backbone.
 *
 * @param discriminator empty in a model without discriminators
 * @param settings the recipe's section {@code model} that describes the model; checkpoints store it
 */
public record ModelConfig(
        Generator generator, Optional<Discriminator> discriminator, Settings settings, List<Subject> subjects) {
    /**
     * A subject, whose vertices one head predicts.
     *
     * @param name "" in a model of one subject, otherwise for example {@code subj01}
     * @param left vertices of the left hemisphere
     * @param right vertices of the right hemisphere
     * @param missing vertices that the subject's files have and the model does not
     */
    public record Subject(String name, int left, int right, MissingVertices missing) {
        /** A subject without missing vertices. */
        public Subject(String name, int left, int right) {
            this(name, left, right, MissingVertices.NONE);
        }

        public int vertices() {
            return left + right;
        }

        @Override
        public String toString() {
            return (name.isEmpty() ? "" : name + ": ") + left + " + " + right + " vertices"
                    + (missing.count() == 0 ? "" : " " + missing);
        }
    }

    public ModelConfig {
        subjects = List.copyOf(subjects);
    }

    /** From the section {@code model} of a recipe. */
    public static ModelConfig of(Settings model, List<Subject> subjects) {
        return new ModelConfig(
                Generator.of(model.section("generator")),
                Discriminator.of(model.section("discriminator")),
                model,
                subjects);
    }

    /**
     * The subject of that name. A model of one subject returns its subject for every name.
     *
     * @throws InputException if the model has no such subject
     */
    public Subject subject(String name) {
        if (subjects.size() == 1 && subjects.get(0).name.isEmpty()) return subjects.get(0);
        for (Subject s : subjects) if (s.name.equals(name)) return s;
        throw new InputException(
                "subject '" + name + "'",
                "is not in the model, which has "
                        + subjects.stream().map(Subject::name).toList(),
                "Choose one of them");
    }

    /** The generator's parameters and states, including the heads of all subjects. */
    public Weights generatorWeights(DType compute) {
        return Weights.declaredBy(compute, Generator.PREFIX, false, w -> {
            // Every subject declares the same backbone and its own head. Batch statistics need two images.
            Value images = generator.images(w.graph(), 2);
            for (Subject s : subjects) generator.responses(w, images, s.name, s.vertices());
        });
    }

    /**
     * The same model with another sampling.
     *
     * @param where whose model this is, for messages
     * @throws InputException if its readout has no sampling to change
     */
    public ModelConfig predicting(Sampling.Change change, String where) {
        if (change.isNone()) return this;
        if (generator.diffusion().isEmpty())
            throw new InputException(
                    where,
                    "predicts in one way: its readout is not diffusion",
                    "Leave --mode, --steps, --samples and --independent out");
        return sampled(change.values(), "the options");
    }

    /** The same model with the sampling of the validation during training. */
    public ModelConfig validating() {
        return generator
                .diffusion()
                .map(d -> d.sampling().validation().name().toLowerCase(Locale.ROOT))
                .map(mode -> sampled(Map.of("mode", mode), "validation"))
                .orElse(this);
    }

    private ModelConfig sampled(Map<String, Object> values, String source) {
        Map<String, Object> over = Map.of("generator", Map.of(Diffusion.SECTION, Map.of(Sampling.SECTION, values)));
        return of(settings.with(over, source), subjects);
    }

    /** The low-rank updates of the generator's backbone. */
    Lora lora() {
        return generator.backbone() instanceof Vit vit ? vit.encoder().lora() : Lora.NONE;
    }

    /** The same model with low-rank updates merged into the weights that they update. */
    ModelConfig merged() {
        if (lora().rank() == 0) return this;
        return of(settings.with("generator.vit.lora_rank", 0, "merged"), subjects);
    }

    /** Total number of elements of these parameters. */
    public static long count(List<Weights.Spec> specs) {
        return specs.stream().mapToLong(s -> s.shape().elements()).sum();
    }

    /** The networks and their sizes, for messages. */
    public String networks() {
        return generator + ", " + discriminator.map(Discriminator::toString).orElse("no discriminator");
    }

    /**
     * The values of a recipe's section {@code model} that have an effect: without the sections of networks that the
     * recipe does not choose.
     */
    public static Map<String, Object> used(Map<String, Object> model) {
        Map<String, Object> used = new LinkedHashMap<>(model);
        used.computeIfPresent("generator", (k, v) -> Generator.used(Json.object(v, k)));
        used.computeIfPresent(
                "discriminator", (k, v) -> DiscriminatorNetwork.types().used(Json.object(v, k)));
        return used;
    }

    /** The model as a map, which a checkpoint stores as JSON. */
    public Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>(); // ordered, so that equal models give equal files
        m.put("model", settings.values());
        List<Object> all = new ArrayList<>();
        for (Subject s : subjects) {
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("name", s.name);
            o.put("left", s.left);
            o.put("right", s.right);
            if (s.missing.count() > 0) {
                o.put("missing_left", s.missing.left());
                o.put("missing_right", s.missing.right());
            }
            all.add(o);
        }
        m.put("subjects", all);
        return m;
    }

    /**
     * From the map that a checkpoint stores; keys of version 0.1 are accepted ({@link FlatKeys}).
     *
     * @param where file and field, for messages
     */
    public static ModelConfig of(Map<String, Object> m, String where) {
        Map<String, Object> now = new LinkedHashMap<>(m);
        now.computeIfPresent("model", (k, v) -> FlatKeys.moved(Json.object(v, where + ", model")));
        Settings s = Settings.of(where, now);
        if (!(m.get("subjects") instanceof List<?> list) || list.isEmpty())
            throw new InputException(
                    where, "names no subjects", "The file is damaged, or older than version 0.1: train again");
        List<Subject> subjects = new ArrayList<>();
        for (Object o : list) {
            Settings one = Settings.of(where + ", subjects", Json.object(o, where + ", subjects"));
            MissingVertices missing = one.has("missing_left")
                    ? new MissingVertices(one.integers("missing_left", 0), one.integers("missing_right", 0))
                    : MissingVertices.NONE;
            subjects.add(new Subject(one.text("name"), one.integer("left", 1), one.integer("right", 1), missing));
        }
        return of(s.section("model"), subjects);
    }
}
