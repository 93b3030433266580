// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.graph.DType;
import org.cortigan.model.Generator;
import org.cortigan.model.InitialValues;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.PretrainedVit;
import org.cortigan.nn.Weights;
import org.cortigan.train.PretrainedRecipe;
import org.cortigan.train.Recipe;

/** Makes models that only compute features. */
public final class FeatureModel {
    private FeatureModel() {}

    /**
     * Loads a pre-trained ViT. The head, which features do not need, is zero.
     *
     * @param weights safetensors file of timm, DINOv2, Hugging Face or OpenCLIP
     * @param recipe gives the shape of the ViT
     * @param subject gives the vertex counts of the head
     * @param log receives messages for the user
     * @throws InputException if the file does not fit the recipe, or the recipe adds parameters to the ViT
     */
    public static Model pretrained(Path weights, Recipe recipe, AlgonautsSubject subject, Consumer<String> log) {
        // Features need no readout of their own, and the file tells the colours that the recipe leaves open.
        Recipe features = recipe.with("model.generator.readout", "dense")
                .with("model.generator.rank", 0)
                .with("model.generator.vit.layers", List.of())
                .with("model.generator.vit.lora_rank", 0)
                .with("train.init", weights.toString());
        ModelConfig config = ModelConfig.of(
                PretrainedRecipe.withColours(features).section("model"),
                List.of(new ModelConfig.Subject("", subject.left(), subject.right())));
        InitialValues vit = PretrainedVit.load(weights, config);
        vit.notes().forEach(note -> log.accept("weights: " + note));
        Map<String, Supplier<float[]>> values = new LinkedHashMap<>(vit.values());
        for (Weights.Spec spec : config.generatorWeights(DType.F32).specs()) {
            if (values.containsKey(spec.name())) continue;
            if (!spec.name().startsWith(Generator.PREFIX + "head."))
                throw new InputException(
                        weights.toString(),
                        "has no " + spec.name() + ", which the recipe's features need",
                        "Give a recipe with model.generator.vit.layers []");
            values.put(spec.name(), () -> new float[(int) spec.shape().elements()]);
        }
        return Model.of(config, name -> Objects.requireNonNull(values.get(name)).get());
    }
}
