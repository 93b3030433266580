// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.cortigan.train.Recipe;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The variables that a prediction reads, in both types of products. */
class PredictedVariablesTest {
    private static Map<String, Type> variables(ModelConfig m, DType compute) {
        return Predictor.variables(m, m.subjects().get(0), Predictor.Form.RESPONSES, compute);
    }

    private static long bytes(Map<String, Type> variables, Predicate<String> which) {
        return variables.entrySet().stream()
                .filter(e -> which.test(e.getKey()))
                .mapToLong(e ->
                        e.getValue().shape().elements() * e.getValue().dtype().bytes())
                .sum();
    }

    private static ModelConfig model(String recipe) {
        Recipe r = Recipe.load(recipe).with("model.generator.query_regions", List.of("early", "ventral"));
        return ModelConfig.of(r.section("model"), List.of(new ModelConfig.Subject("", 19004, 20544)));
    }

    /** The variables that the graphs of a predictor read, less those that it makes for itself. */
    private static Map<String, Type> read(ModelConfig m, Predictor.Form form, DType compute) {
        Predictor.Programs programs = Predictor.Programs.of(
                m,
                m.subjects().get(0),
                compute,
                Weights.Use.PREDICT,
                3,
                form,
                ResponseScaling.identity(m.subjects().get(0).vertices()),
                s -> false,
                g -> g);
        List<Graph> graphs = new ArrayList<>(List.of(programs.last()));
        programs.sampled().ifPresent(s -> graphs.addAll(s.graphs().all()));
        Set<Node> seen = new HashSet<>();
        Deque<Node> open = new ArrayDeque<>();
        for (Graph g : graphs) for (Value v : g.outputs().values()) open.add(v.node());
        Map<String, Type> read = new HashMap<>();
        while (!open.isEmpty()) {
            Node n = open.pop();
            if (!seen.add(n)) continue;
            for (Value v : n.inputs()) {
                open.push(v.node());
                if (v.node().op() instanceof Leaf.Variable x) read.put(x.id(), v.type());
            }
        }
        read.keySet().removeIf(name -> name.startsWith("sampling.") || name.startsWith("evaluation."));
        return read;
    }

    @ParameterizedTest
    @ValueSource(strings = {"sd-finetune", "sd-finetune-epsilon", "sd-features", "dinov2-roi-queries", "vit-position"})
    void thoseOfEveryPredictorAreThoseThatItsGraphsRead(String recipe) {
        ModelConfig own = model(recipe);
        List<ModelConfig> models = new ArrayList<>();
        if (own.generator().diffusion().isEmpty()) models.add(own);
        else
            for (Sampling.Mode mode : Sampling.Mode.values())
                models.add(own.predicting(new Sampling.Change(mode, null, List.of()), recipe));
        for (ModelConfig m : models)
            for (Predictor.Form form : Predictor.Form.values()) {
                if (form == Predictor.Form.ATTENTION && m.generator().queries().isEmpty()) continue;
                for (DType compute : List.of(DType.F32, DType.BF16))
                    assertEquals(
                            read(m, form, compute),
                            Predictor.variables(m, m.subjects().get(0), form, compute),
                            form + " in " + compute);
            }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "sd-finetune",
                "sd-finetune-epsilon",
                "sd-features",
                "dinov2-roi-queries",
                "vit-position",
                "vit-corr-2d",
                "unet-corr-2d"
            })
    void aModelIsReadWholeAndEachWeightOnce(String recipe) {
        ModelConfig m = model(recipe);
        Weights all = m.generatorWeights(DType.F32);
        Map<String, Type> f32 = variables(m, DType.F32), bf16 = variables(m, DType.BF16);
        assertEquals(
                Stream.concat(all.specs().stream(), all.states().stream())
                        .map(Weights.Spec::name)
                        .collect(Collectors.toSet()),
                f32.keySet());
        Set<String> parameters = new LinkedHashSet<>();
        bf16.forEach((name, type) -> {
            assertEquals(!name.equals(Weights.parameterOf(name)), type.dtype() == DType.BF16, name);
            if (!parameters.add(Weights.parameterOf(name)))
                assertEquals(1, type.shape().rank(), name + " is read twice");
        });
        assertEquals(f32.keySet(), parameters);
        // Half the memory of what products read.
        Predicate<String> copied = n -> bf16.containsKey(Weights.copyName(n)) && !bf16.containsKey(n);
        long half = bytes(f32, copied) / 2;
        assertEquals(half, bytes(bf16, n -> copied.test(Weights.parameterOf(n))));
        assertTrue(half > 0.3 * bytes(f32, n -> true), half + " of " + bytes(f32, n -> true));
    }
}
