// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.List;
import java.util.Optional;
import org.cortigan.graph.DType;
import org.cortigan.model.Discriminator;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Optimizer;

/**
 * What a training step computes, the same for all subjects of a run.
 *
 * @param compute type of the operands of matrix products
 */
public record StepSettings(
        ModelConfig model,
        LossConfig loss,
        Optimizer generatorOptimizer,
        Optimizer discriminatorOptimizer,
        DType compute) {
    /** @throws org.cortigan.InputException for a value of the recipe that does not fit */
    public static StepSettings of(Recipe recipe, List<ModelConfig.Subject> subjects, DType compute) {
        return new StepSettings(
                ModelConfig.of(recipe.section("model"), subjects),
                LossConfig.of(recipe.section("loss")),
                Optimizer.generator(recipe.section("optimizer")),
                Optimizer.discriminator(recipe.section("optimizer")),
                compute);
    }

    /** Whether discriminators are trained: there are some, and the adversarial loss has a weight. */
    public boolean adversarial() {
        return trainedDiscriminator().isPresent();
    }

    /** The discriminators that are trained; empty where the step has none. */
    Optional<Discriminator> trainedDiscriminator() {
        return loss.ganTerm().weight() > 0 ? model.discriminator() : Optional.empty();
    }
}
