// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.List;
import java.util.Optional;
import org.cortigan.exec.Precision;
import org.cortigan.graph.DType;
import org.cortigan.model.BackboneRates;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Freeze;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Fp8Layers;
import org.cortigan.nn.Optimizer;
import org.cortigan.nn.Shard;

/**
 * Settings of the training step that all subjects of a run share.
 *
 * @param compute element type of the operands of matrix products
 * @param fp8 the linear layers whose products are in FP8
 * @param freeze the parameters of the generator that are not trained
 * @param rates factors of the learning rate of the others
 * @param shard the part of every batch that the graph of this process has
 */
public record StepSettings(
        ModelConfig model,
        LossConfig loss,
        Optimizer generatorOptimizer,
        Optimizer discriminatorOptimizer,
        DType compute,
        Optional<Fp8Layers> fp8,
        Freeze freeze,
        BackboneRates rates,
        Shard shard) {
    /**
     * Reads the settings from a recipe.
     *
     * @throws org.cortigan.InputException if a value of the recipe is wrong
     */
    public static StepSettings of(Recipe recipe, List<ModelConfig.Subject> subjects, Precision precision) {
        return of(recipe, subjects, precision, precision.compute());
    }

    static StepSettings of(Recipe recipe, List<ModelConfig.Subject> subjects, Precision precision, DType compute) {
        ModelConfig model = ModelConfig.of(recipe.section("model"), subjects);
        LossConfig loss = LossConfig.of(recipe.section("loss"));
        if (model.generator().diffusion().isPresent()) loss.requireSquares(recipe.section("loss"));
        return new StepSettings(
                model,
                loss,
                Optimizer.generator(recipe.section("optimizer")),
                Optimizer.discriminator(recipe.section("optimizer")),
                compute,
                precision == Precision.FP8
                        ? Optional.of(recipe.section("train").choice("fp8_layers", Fp8Layers.class))
                        : Optional.empty(),
                Freeze.of(recipe.section("train"), model.generator().backbone()),
                BackboneRates.of(recipe.section("optimizer"), model.generator()),
                Shard.WHOLE);
    }

    /** The same for a process that has a part of every batch. */
    public StepSettings in(Shard part) {
        return new StepSettings(
                model, loss, generatorOptimizer, discriminatorOptimizer, compute, fp8, freeze, rates, part);
    }

    /** The same in f32. */
    StepSettings inF32() {
        return new StepSettings(
                model,
                loss,
                generatorOptimizer,
                discriminatorOptimizer,
                DType.F32,
                Optional.empty(),
                freeze,
                rates,
                shard);
    }

    /** Whether discriminators are trained: the model has some, and the weight of the adversarial loss is above 0. */
    public boolean adversarial() {
        return trainedDiscriminator().isPresent();
    }

    /** The discriminators that are trained; empty if none are. */
    Optional<Discriminator> trainedDiscriminator() {
        return loss.ganTerm().weight() > 0 ? model.discriminator() : Optional.empty();
    }
}
