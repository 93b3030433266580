// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.RowSource;
import org.cortigan.model.Predictor;
import org.cortigan.ridge.RidgeOptions;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageFeatures;
import org.cortigan.train.TrainingData;

/**
 * The field's baseline: ridge regression for each vertex on principal components of standardised features.
 *
 * @param components principal components, at least 1
 * @param unit of the subject's noise ceilings
 * @see org.cortigan.ridge.Ridge
 */
public record RidgeExperiment(AlgonautsSubject subject, int components, NoiseCeiling.Unit unit) {
    /** Side of the averaged images; their pixels are the features. */
    private static final int PIXELS = 32;

    /** Side of the images that {@link #onPixels} reads. */
    public static final int IMAGE_SIZE = 2 * PIXELS;

    /**
     * Fits and evaluates on pixels.
     *
     * @param training images to fit on, of side {@link #IMAGE_SIZE}
     * @param test images to evaluate on, of side {@link #IMAGE_SIZE}
     * @param split name of the test images in the label
     */
    public Evaluation onPixels(TrainingData training, TrainingData test, String split) {
        return evaluate(
                "pixels, " + split,
                ImageFeatures.pixels(training, IMAGE_SIZE, PIXELS),
                ImageFeatures.pixels(test, IMAGE_SIZE, PIXELS),
                training,
                test);
    }

    /**
     * Fits and evaluates on the features that a network computes.
     *
     * @param name name of the network in the label
     */
    public Evaluation onFeatures(
            Predictor extractor, String name, TrainingData training, TrainingData test, String split) {
        return evaluate(
                "features of " + name + ", " + split,
                ImageFeatures.of(extractor, training),
                ImageFeatures.of(extractor, test),
                training,
                test);
    }

    private Evaluation evaluate(
            String what, RowSource trainingFeatures, RowSource testFeatures, TrainingData training, TrainingData test) {
        return HeldOut.ridge(
                "ridge on " + components + " components of " + what,
                trainingFeatures,
                testFeatures,
                training,
                test,
                subject,
                RidgeOptions.defaults().withComponents(components),
                unit);
    }
}
