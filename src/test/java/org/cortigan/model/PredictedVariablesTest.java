// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
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

    @ParameterizedTest
    @ValueSource(strings = {"sd-finetune", "sd-finetune-epsilon", "vit-position", "vit-corr-2d", "unet-corr-2d"})
    void aModelIsReadWholeAndEachWeightOnce(String recipe) {
        ModelConfig m = ModelConfig.of(
                Recipe.load(recipe).section("model"), List.of(new ModelConfig.Subject("", 19004, 20544)));
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
