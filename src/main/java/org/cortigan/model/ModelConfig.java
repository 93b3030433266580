// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.io.Json;
import org.cortigan.nn.Weights;

/**
 * A generator with its discriminators, for one subject or for several that share the backbone.
 *
 * @param discriminator empty in a model without discriminators
 * @param settings the section {@code model} that it was made from; checkpoints keep it
 */
public record ModelConfig(
        Generator generator, Optional<Discriminator> discriminator, Settings settings, List<Subject> subjects) {
    /**
     * Whose vertices a head predicts.
     *
     * @param name "" in a model of one subject, else for example {@code subj01}
     * @param left vertices of the left hemisphere; @param right of the right
     */
    public record Subject(String name, int left, int right) {
        public int vertices() {
            return left + right;
        }

        @Override
        public String toString() {
            return (name.isEmpty() ? "" : name + ": ") + left + " + " + right + " vertices";
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

    /** The subject of that name; the only one, whatever its name, of a model of one subject. */
    public Subject subject(String name) {
        if (subjects.size() == 1 && subjects.get(0).name.isEmpty()) return subjects.get(0);
        for (Subject s : subjects) if (s.name.equals(name)) return s;
        throw new InputException(
                "subject '" + name + "'",
                "is none of the model's: "
                        + subjects.stream().map(Subject::name).toList(),
                "Choose one of them");
    }

    /** The generator's parameters and states, all heads among them. */
    public Weights generatorWeights(DType compute) {
        return Weights.declaredBy(compute, Generator.PREFIX, false, w -> {
            // every subject's graph asks for the same backbone, and for its own head; batch statistics want two images
            Value images = generator.images(w.graph(), 2);
            for (Subject s : subjects) generator.responses(w, images, s.name, s.vertices());
        });
    }

    /** Numbers in these parameters. */
    public static long count(List<Weights.Spec> specs) {
        return specs.stream().mapToLong(s -> s.shape().elements()).sum();
    }

    /** The networks and their sizes, for messages. */
    public String networks() {
        return generator + ", " + discriminator.map(Discriminator::toString).orElse("no discriminator");
    }

    /**
     * Values of a recipe's section {@code model} that decide something: those of networks that it does not choose are
     * left out.
     */
    public static Map<String, Object> used(Map<String, Object> model) {
        Map<String, Object> used = new LinkedHashMap<>(model);
        used.computeIfPresent("generator", (k, v) -> Backbone.types().used(Json.object(v, k)));
        used.computeIfPresent(
                "discriminator", (k, v) -> DiscriminatorNetwork.types().used(Json.object(v, k)));
        return used;
    }

    /** For a checkpoint. */
    public Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>(); // equal models give equal files
        m.put("model", settings.values());
        List<Object> all = new ArrayList<>();
        for (Subject s : subjects) {
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("name", s.name);
            o.put("left", s.left);
            o.put("right", s.right);
            all.add(o);
        }
        m.put("subjects", all);
        return m;
    }

    /** From a checkpoint's text; @param where for messages */
    public static ModelConfig of(Map<String, Object> m, String where) {
        Map<String, Object> now = new LinkedHashMap<>(m);
        now.computeIfPresent("model", (k, v) -> FlatKeys.moved(Json.object(v, where + ", model")));
        Settings s = Settings.of(where, now);
        if (!(m.get("subjects") instanceof List<?> list) || list.isEmpty())
            throw new InputException(
                    where, "names no subjects", "It is damaged, or of a version before 0.1: train again");
        List<Subject> subjects = new ArrayList<>();
        for (Object o : list) {
            Settings one = Settings.of(where + ", subjects", Json.object(o, where + ", subjects"));
            subjects.add(new Subject(one.text("name"), one.integer("left", 1), one.integer("right", 1)));
        }
        return of(s.section("model"), subjects);
    }
}
