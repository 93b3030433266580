// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Options of a ridge regression. {@link #defaults()} and the {@code with} methods make them.
 *
 * @param lambdas penalties to choose from, each above 0, in units of the kernel's eigenvalues (scikit-learn's and
 *     himalaya's alpha); null for 1e-3 to 1e5 times the mean of the kernel's positive eigenvalues, 3 a decade, which
 *     suit features of any scale. One value fixes lambda.
 * @param validation how images are held out to choose penalties
 * @param criterion what is measured on the images that are held out
 * @param sharing which vertices share a penalty and, in a banded ridge, weights of bands
 * @param groupOfVertex for {@link Sharing#GROUP} the group of each vertex [V], numbers from 0; else null
 * @param standardise whether features are divided by their standard deviation; they are always centred
 * @param components number of principal components that the features are reduced to; 0 for no reduction
 * @param bandWeights banded ridge: candidates [bands] of weights of the bands' kernels, each at least 0 and not all 0;
 *     empty for a plain ridge on the joined features, where all weights are 1
 */
public record RidgeOptions(
        double @Nullable [] lambdas,
        Validation validation,
        Criterion criterion,
        Sharing sharing,
        int @Nullable [] groupOfVertex,
        boolean standardise,
        int components,
        List<double[]> bandWeights) {

    /** How images are held out. */
    public enum Selection {
        /** Generalised cross-validation (Golub, Heath and Wahba 1979). */
        GCV,
        /** Exact leave-one-out, which scikit-learn's RidgeCV does by default. */
        LOO,
        /** k folds, as scikit-learn's and himalaya's KFold. */
        KFOLD
    }

    /**
     * A cross-validation.
     *
     * @param folds number of folds for {@link Selection#KFOLD}, at least 2; else 0
     * @param seed seed that assigns images to folds at random; null for contiguous folds
     */
    public record Validation(
            Selection selection, int folds, @Nullable Long seed) {
        public Validation {
            if (selection == Selection.KFOLD ? folds < 2 : folds != 0) {
                throw new IllegalArgumentException(folds + " folds do not suit " + selection);
            }
        }

        public static Validation gcv() {
            return new Validation(Selection.GCV, 0, null);
        }

        public static Validation loo() {
            return new Validation(Selection.LOO, 0, null);
        }

        /** Contiguous folds. */
        public static Validation folds(int k) {
            return new Validation(Selection.KFOLD, k, null);
        }

        /** Folds of images at random. */
        public static Validation shuffledFolds(int k, long seed) {
            return new Validation(Selection.KFOLD, k, seed);
        }
    }

    /** What is measured on the images that are held out. */
    public enum Criterion {
        /**
         * 1 minus the mean squared error divided by the vertex's variance over all training images, so that every
         * vertex has equal weight in a shared choice.
         */
        R2,
        /** The negative mean squared error, the criterion of scikit-learn's RidgeCV and himalaya. */
        MSE,
        /**
         * Pearson's r between responses and predictions, the mean of the folds' r; for k folds alone. Leave-one-out's
         * predictions come from as many models as images, whose small differences pull r below 0.
         */
        CORRELATION
    }

    /** Which vertices share a choice. */
    public enum Sharing {
        SHARED,
        GROUP,
        VERTEX
    }

    public RidgeOptions {
        if (lambdas != null) {
            lambdas = lambdas.clone();
            if (lambdas.length == 0 || !Arrays.stream(lambdas).allMatch(l -> l > 0 && l < Double.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(
                        "lambdas must be finite and above 0, not " + Arrays.toString(lambdas));
            }
        }
        if (criterion == Criterion.CORRELATION && validation.selection != Selection.KFOLD) {
            throw new IllegalArgumentException(
                    "correlation is a criterion for k folds alone, not for " + validation.selection);
        }
        if ((sharing == Sharing.GROUP) != (groupOfVertex != null)) {
            throw new IllegalArgumentException("groupOfVertex is needed for groups, and only for them");
        }
        if (components < 0) {
            throw new IllegalArgumentException("components must be at least 0, not " + components);
        }
        groupOfVertex = groupOfVertex == null ? null : groupOfVertex.clone();
        bandWeights = bandWeights.stream().map(double[]::clone).toList();
    }

    /** One lambda by generalised cross-validation from relative penalties; standardised features, no components. */
    public static RidgeOptions defaults() {
        return new RidgeOptions(null, Validation.gcv(), Criterion.R2, Sharing.SHARED, null, true, 0, List.of());
    }

    /** These options with absolute penalties. */
    public RidgeOptions withLambdas(double... l) {
        return new RidgeOptions(l, validation, criterion, sharing, groupOfVertex, standardise, components, bandWeights);
    }

    /** These options with another cross-validation. */
    public RidgeOptions withValidation(Validation v) {
        return new RidgeOptions(lambdas, v, criterion, sharing, groupOfVertex, standardise, components, bandWeights);
    }

    /** These options with another criterion. */
    public RidgeOptions withCriterion(Criterion c) {
        return new RidgeOptions(lambdas, validation, c, sharing, groupOfVertex, standardise, components, bandWeights);
    }

    /** These options with one choice for all vertices, or one for each. */
    public RidgeOptions withSharing(Sharing s) {
        return new RidgeOptions(lambdas, validation, criterion, s, null, standardise, components, bandWeights);
    }

    /** These options with one choice for each group of vertices. */
    public RidgeOptions withGroups(int[] group) {
        return new RidgeOptions(
                lambdas, validation, criterion, Sharing.GROUP, group, standardise, components, bandWeights);
    }

    /** These options with features divided by their standard deviation, or only centred. */
    public RidgeOptions withStandardise(boolean on) {
        return new RidgeOptions(lambdas, validation, criterion, sharing, groupOfVertex, on, components, bandWeights);
    }

    /** These options with another number of principal components; 0 for no reduction. */
    public RidgeOptions withComponents(int n) {
        return new RidgeOptions(lambdas, validation, criterion, sharing, groupOfVertex, standardise, n, bandWeights);
    }

    /** These options with candidates for a banded ridge; see {@link BandWeights}. */
    public RidgeOptions withBandWeights(List<double[]> candidates) {
        return new RidgeOptions(
                lambdas, validation, criterion, sharing, groupOfVertex, standardise, components, candidates);
    }
}
