package org.cortigan.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.data.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.nn.Weights;

/**
 * A generator with its discriminators for one subject's vertices.
 *
 * @param settings the section {@code model} that it was made from; checkpoints keep it
 * @param left vertices of the left hemisphere; @param right of the right
 */
public record ModelConfig(Generator generator, Discriminator discriminator, Settings settings, int left, int right) {
    public static ModelConfig of(Settings model, int left, int right) {
        return new ModelConfig(
                Generator.of(model.section("generator")), Discriminator.of(model.section("discriminator")), model, left, right);
    }

    public int vertices() {
        return left + right;
    }

    public List<Discriminator.Part> parts() {
        return discriminator.parts(left, right);
    }

    /** All parameters of one discriminator. */
    public List<Weights.Spec> specs(DType compute, Discriminator.Part part) {
        return Weights.specsOf(compute, part.prefix(), discriminator.normalised(), w -> {
            Graph g = w.graph();
            discriminator.logits(w, g.input("responses", compute, 1, part.to() - part.from()), generator.images(g, 1), generator);
        });
    }

    /** All parameters of everything. */
    public List<Weights.Spec> specs(DType compute) {
        List<Weights.Spec> all = new ArrayList<>(generator.specs(compute, vertices()));
        for (Discriminator.Part p : parts()) all.addAll(specs(compute, p));
        return all;
    }

    /** Numbers in these parameters. */
    public static long count(List<Weights.Spec> specs) {
        return specs.stream().mapToLong(s -> s.shape().elements()).sum();
    }

    /** For a checkpoint. */
    public Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>(); // equal models give equal files
        m.put("model", settings.values());
        m.put("left", left);
        m.put("right", right);
        return m;
    }
}
