// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Regions;
import org.cortigan.ridge.BandWeights;
import org.cortigan.ridge.RidgeOptions;
import org.jspecify.annotations.Nullable;

/**
 * Settings of a ridge regression on features of photographs.
 *
 * @param features at least one source; several are joined
 * @param banded whether each source is a band with a penalty of its own
 * @param lambda which vertices share a penalty
 * @param validation how the penalty is chosen
 * @param lambdas penalties to choose from; null for the default grid
 * @param standardise whether features are divided by their standard deviation
 * @param components principal components of the features; 0 for no reduction
 */
public record RidgeSettings(
        List<FeatureSource> features,
        boolean banded,
        Lambda lambda,
        RidgeOptions.Validation validation,
        double @Nullable [] lambdas,
        boolean standardise,
        int components) {
    /** Random weightings of bands, beside equal weights and each band alone. */
    private static final int BAND_SAMPLES = 10;

    /** Which vertices share a penalty. */
    public enum Lambda {
        /** All vertices. */
        SHARED("one lambda"),
        /** The vertices of an ROI, both hemispheres together. */
        ROI("a lambda for each ROI"),
        /** No two. */
        VERTEX("a lambda for each vertex");

        private final String words;

        Lambda(String words) {
            this.words = words;
        }
    }

    public RidgeSettings {
        features = List.copyOf(features);
        if (banded && features.size() < 2)
            throw new InputException(
                    "--banded",
                    "there is only one set of features",
                    "Join several with --features A,B, or leave it out");
    }

    /** The standard: all features scaled, none dropped, one lambda by generalised cross-validation. */
    public static RidgeSettings standard(FeatureSource... features) {
        return new RidgeSettings(List.of(features), false, Lambda.SHARED, RidgeOptions.Validation.gcv(), null, true, 0);
    }

    /** These settings on other features. */
    RidgeSettings with(List<FeatureSource> sources, boolean inBands) {
        return new RidgeSettings(sources, inBands, lambda, validation, lambdas, standardise, components);
    }

    RidgeSettings with(Lambda l) {
        return new RidgeSettings(features, banded, l, validation, lambdas, standardise, components);
    }

    RidgeSettings withComponents(int n) {
        return new RidgeSettings(features, banded, lambda, validation, lambdas, standardise, n);
    }

    /** The settings in words. */
    public String name() {
        return features.stream().map(FeatureSource::name).collect(Collectors.joining(" + "))
                + (banded ? " in bands" : "")
                + (standardise ? "" : ", not scaled")
                + (components > 0 ? ", " + components + " components" : "")
                + ", "
                + lambda.words
                + (lambdas != null && lambdas.length == 1 ? "" : " by " + choice());
    }

    private String choice() {
        return switch (validation.selection()) {
            case GCV -> "GCV";
            case LOO -> "leave-one-out";
            case KFOLD -> validation.folds() + " folds";
        };
    }

    /** The settings as JSON. */
    Map<String, Object> json() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("settings", name());
        m.put("features", features.stream().map(FeatureSource::name).toList());
        m.put("banded", banded);
        m.put("lambda", lambda.name().toLowerCase(Locale.ROOT));
        m.put("selection", choice());
        m.put("standardise", standardise);
        m.put("components", components);
        return m;
    }

    /**
     * The options of the regression.
     *
     * @param roiOfVertex from {@link #roiOfVertex}; read for {@link Lambda#ROI} only
     */
    RidgeOptions options(int @Nullable [] roiOfVertex) {
        RidgeOptions o = RidgeOptions.defaults()
                .withValidation(validation)
                .withStandardise(standardise)
                .withComponents(components);
        if (lambdas != null) o = o.withLambdas(lambdas);
        if (banded) o = o.withBandWeights(BandWeights.candidates(features.size(), BAND_SAMPLES, 0));
        return switch (lambda) {
            case SHARED -> o.withSharing(RidgeOptions.Sharing.SHARED);
            case ROI -> o.withGroups(Objects.requireNonNull(roiOfVertex, "no ROIs"));
            case VERTEX -> o.withSharing(RidgeOptions.Sharing.VERTEX);
        };
    }

    /**
     * The ROIs that share a penalty, or null if these settings need none.
     *
     * @throws InputException if the subject has no ROIs
     */
    int @Nullable [] roiOfVertex(AlgonautsSubject subject) {
        if (lambda != Lambda.ROI) return null;
        if (subject.groups().isEmpty())
            throw new InputException(
                    "--lambda roi", "the subject has no roi_masks", "Give the masks, or use --lambda shared or vertex");
        return Regions.roiOfVertex(subject, false);
    }
}
