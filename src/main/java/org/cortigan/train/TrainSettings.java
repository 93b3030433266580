// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.graph.DType;

/**
 * The section {@code train} of a recipe, checked.
 *
 * @param source the section itself, for messages that name its keys
 * @param batch photographs of a step
 * @param checkpointSteps steps between checkpoints within an epoch; 0 for none
 * @param shufflePairs whether each photograph gets another one's responses, a new one's in every epoch
 * @param init file of a pre-trained ViT, or "" for random weights
 */
record TrainSettings(
        Settings source,
        int epochs,
        int batch,
        long seed,
        int checkpointSteps,
        boolean shufflePairs,
        Precision precision,
        Recomputation recompute,
        DataPlacement dataOnDevice,
        String init) {
    /** Which intermediate results the backward pass computes again instead of keeping them. */
    enum Recomputation {
        NONE,
        CHEAP
    }

    /** Whether the training data live in the device's memory. */
    enum DataPlacement {
        /** They do if they fit. */
        AUTO,
        YES,
        NO
    }

    static TrainSettings of(Recipe recipe) {
        Settings train = recipe.section("train");
        return new TrainSettings(
                train,
                train.integer("epochs", 1),
                train.integer("batch", 1),
                train.whole("seed"),
                train.integer("checkpoint_steps", 0),
                train.flag("shuffle_pairs"),
                train.choice("precision", Precision.class),
                train.choice("recompute", Recomputation.class),
                train.choice("data_on_device", DataPlacement.class),
                train.text("init"));
    }

    /**
     * The device with its products in this precision.
     *
     * @throws InputException if the device does not have it
     */
    Device withPrecision(Device device) {
        if (device.supports(precision)) return device.with(precision);
        throw precision == Precision.TF32
                ? wrong("precision", "tf32 is a format of NVIDIA's cards, not of " + device.name(), "Use fp32 or bf16")
                : wrong("precision", "bf16 needs a processor with avx512bf16", "Use fp32");
    }

    /** Type of the operands of matrix products. */
    DType compute() {
        return precision.compute();
    }

    /** An error of one of the section's values, which fits its kind but not the rest. */
    InputException wrong(String key, String problem, String remedy) {
        return source.wrong(key, problem, remedy);
    }
}
