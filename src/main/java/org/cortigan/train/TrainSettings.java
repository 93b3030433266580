// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;

/**
 * The validated section {@code train} of a recipe.
 *
 * @param source the section, for messages that name its keys
 * @param batch photographs in a micro-batch
 * @param accumulate micro-batches in a step
 * @param checkpointSteps steps between checkpoints within an epoch; 0 for none
 * @param patience epochs without a better validation after which the run ends; 0 for none
 * @param shufflePairs whether each photograph gets the responses to another photograph, a new one in every epoch
 * @param init file of a pre-trained backbone, a run or a checkpoint; "" for random weights
 * @param initUnet file or folder with the UNet of the readout diffusion; "" for random weights
 */
record TrainSettings(
        Settings source,
        int epochs,
        int batch,
        int accumulate,
        long seed,
        int checkpointSteps,
        int patience,
        boolean shufflePairs,
        Augmentation augmentation,
        Precision precision,
        Recomputation recompute,
        DataPlacement dataOnDevice,
        FeatureCaching cacheFeatures,
        InitialReadout initialReadout,
        String init,
        String initUnet) {
    /** Which intermediate results the backward pass recomputes instead of keeping. */
    enum Recomputation {
        NONE,
        CHEAP
    }

    /** Whether the training data are resident in the device's memory. */
    enum DataPlacement {
        /** Yes if the data fit. */
        AUTO,
        YES,
        NO
    }

    /** Whether the features of a frozen part of the generator are computed once. */
    enum FeatureCaching {
        /** Yes if they never change. */
        AUTO,
        YES,
        NO
    }

    /** The weights with which a dense readout begins. */
    enum InitialReadout {
        RANDOM,
        /** Those of a {@link org.cortigan.ridge.LearnedPrior} on the features of the training images. */
        FITTED
    }

    static TrainSettings of(Recipe recipe) {
        Settings train = recipe.section("train");
        int batch = train.integer("batch", 1), accumulate = train.integer("accumulate", 1);
        if ((long) batch * accumulate > Integer.MAX_VALUE)
            throw train.wrong(
                    "accumulate",
                    accumulate + " batches of train.batch: " + batch + " are too many photographs for a step",
                    "Give at most " + Integer.MAX_VALUE / batch);
        return new TrainSettings(
                train,
                train.integer("epochs", 1),
                batch,
                accumulate,
                train.whole("seed"),
                train.integer("checkpoint_steps", 0),
                train.integer("patience", 0),
                train.flag("shuffle_pairs"),
                Augmentation.of(train.section("augment")),
                train.choice("precision", Precision.class),
                train.choice("recompute", Recomputation.class),
                train.choice("data_on_device", DataPlacement.class),
                train.choice("cache_features", FeatureCaching.class),
                train.choice("initial_readout", InitialReadout.class),
                train.text("init"),
                train.text("init_unet"));
    }

    /** Photographs in a step. */
    int photographs() {
        return batch * accumulate;
    }

    /** The same with other batches. */
    TrainSettings withBatches(int batch, int accumulate) {
        return new TrainSettings(
                source,
                epochs,
                batch,
                accumulate,
                seed,
                checkpointSteps,
                patience,
                shufflePairs,
                augmentation,
                precision,
                recompute,
                dataOnDevice,
                cacheFeatures,
                initialReadout,
                init,
                initUnet);
    }

    /**
     * The device, with matrix products in the recipe's precision.
     *
     * @throws InputException if the device does not support the precision
     */
    Device withPrecision(Device device) {
        return device.with(precision, (problem, remedy) -> wrong("precision", problem, remedy));
    }

    /** An error in a value that is valid by itself but does not fit the data, the device or other settings. */
    InputException wrong(String key, String problem, String remedy) {
        return source.wrong(key, problem, remedy);
    }
}
