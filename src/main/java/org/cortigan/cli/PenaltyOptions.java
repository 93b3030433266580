// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.util.List;
import org.cortigan.InputException;
import org.cortigan.experiment.FeatureSource;
import org.cortigan.experiment.RidgeSettings;
import org.cortigan.ridge.RidgeOptions.Selection;
import org.cortigan.ridge.RidgeOptions.Validation;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Options of a ridge regression, apart from its features. */
final class PenaltyOptions {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--banded", description = "Banded ridge: a penalty for each set of features in --features.")
    private boolean banded;

    @Option(
            names = "--components",
            defaultValue = "0",
            paramLabel = "N",
            description = "Principal components that the features are reduced to; 0 for none (default"
                    + " ${DEFAULT-VALUE}).")
    private int components;

    @Option(
            names = "--no-standardise",
            description = "Only centres the features instead of dividing them by their standard deviation.")
    private boolean unscaled;

    @Option(
            names = "--lambda",
            defaultValue = "SHARED",
            paramLabel = "FOR",
            description = "shared: one penalty for all vertices; roi: one for each ROI; vertex: one for each vertex"
                    + " (default ${DEFAULT-VALUE}).")
    private RidgeSettings.Lambda lambda;

    @Option(
            names = "--selection",
            defaultValue = "GCV",
            paramLabel = "HOW",
            description = "How penalties are chosen on the training images: gcv (generalised cross-validation), loo"
                    + " (leave-one-out) or kfold (default ${DEFAULT-VALUE}).")
    private Selection selection;

    @Option(
            names = "--folds",
            defaultValue = "5",
            paramLabel = "N",
            description = "Folds of --selection kfold, which hold consecutive images (default ${DEFAULT-VALUE}).")
    private int folds;

    @Option(
            names = "--lambdas",
            split = ",",
            paramLabel = "X,X...",
            description = "Penalties to choose from, scikit-learn's alpha (default: a grid relative to the features).")
    private double @Nullable [] lambdas;

    private boolean isGiven(String option) {
        return command.commandLine().getParseResult().hasMatchedOption(option);
    }

    /** Throws if a value is wrong. */
    void check(boolean auto) {
        if (components < 0)
            throw new InputException("--components " + components, "is below 0", "Give at least 1, or 0 for none");
        if (folds < 2) throw new InputException("--folds " + folds, "is too small", "Give at least 2");
        if (isGiven("--folds") && selection != Selection.KFOLD)
            throw new InputException("--folds " + folds, "is for --selection kfold", "Give that too, or leave it out");
        if (lambdas != null)
            for (double l : lambdas)
                if (!(l > 0 && l < Double.POSITIVE_INFINITY))
                    throw new InputException("--lambdas", "has the penalty " + l, "Give finite numbers above 0");
        for (String option : List.of("--banded", "--components", "--lambda"))
            if (auto && isGiven(option))
                throw new InputException(
                        option, "is chosen by --features auto", "Leave it out, or name the features instead of auto");
    }

    RidgeSettings settings(List<FeatureSource> features) {
        return new RidgeSettings(features, banded, lambda, validation(), lambdas, !unscaled, components);
    }

    private Validation validation() {
        return new Validation(selection, selection == Selection.KFOLD ? folds : 0, null);
    }
}
