// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.eval.RowSource;
import org.cortigan.ridge.Ridge;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the strongest of the standard ridge regressions by the mean r of a nested cross-validation on the photographs
 * to fit on; the photographs to evaluate on are not read. It compares feature sets first, then which vertices share a
 * lambda on the best set, then principal components with the best of these.
 *
 * <p>At most {@value #MAX_IMAGES} images and {@value #MAX_VERTICES} vertices, evenly spaced, are compared, which bounds
 * the time.
 */
public final class RidgeSearch {
    /** Folds of the cross-validation. */
    public static final int FOLDS = 5;

    private static final int COMPONENTS = 100;
    private static final int MAX_IMAGES = 2000, MAX_VERTICES = 2000;

    private final RidgeSplit split;
    private final Consumer<String> log;
    private final int[] images;
    private final int[] vertices;
    private final RowSource responses;
    private final List<Candidate> candidates = new ArrayList<>();

    /**
     * Settings with their score.
     *
     * @param meanR mean over vertices of the cross-validated r
     */
    public record Candidate(RidgeSettings settings, double meanR) {
        /** One line for the user. */
        String line() {
            return String.format(Locale.ROOT, "%.4f  %s", meanR, settings.name());
        }

        /** Settings and score as JSON. */
        public Map<String, Object> json() {
            return new TreeMap<>(Map.of("settings", settings.name(), "mean_r", meanR));
        }
    }

    /** @param log receives the score of each candidate */
    public RidgeSearch(RidgeSplit split, Consumer<String> log) {
        this.split = split;
        this.log = log;
        images = spaced(split.responses().rows(), MAX_IMAGES);
        vertices = spaced(split.responses().columns(), MAX_VERTICES);
        responses = RowSource.columns(RowSource.rows(split.responses(), images), vertices);
    }

    private static int[] spaced(int n, int most) {
        int count = Math.min(n, most);
        return IntStream.range(0, count).map(i -> (int) ((long) i * n / count)).toArray();
    }

    /**
     * Chooses between feature sets; the best of them, or it and pixels in bands; a lambda for all vertices, each ROI or
     * each vertex; and all features or {@value #COMPONENTS} principal components.
     *
     * @param start settings that all candidates share otherwise
     * @param alternatives to pixels
     * @return the best settings
     */
    public RidgeSettings choose(RidgeSettings start, List<FeatureSource> alternatives, FeatureSource pixels) {
        RidgeSettings strongest = best(alternatives.stream().map(f -> start.with(List.of(f), false)));
        RidgeSettings best = best(Stream.of(
                start.with(List.of(pixels), false),
                start.with(List.of(strongest.features().get(0), pixels), true)));
        boolean hasRois = !split.subject().groups().isEmpty();
        RidgeSettings features = best;
        best = best(Stream.of(RidgeSettings.Lambda.ROI, RidgeSettings.Lambda.VERTEX)
                .filter(l -> hasRois || l != RidgeSettings.Lambda.ROI)
                .map(features::with));
        if (images.length * (FOLDS - 1) / FOLDS > COMPONENTS) best = best(Stream.of(best.withComponents(COMPONENTS)));
        log.accept("chosen: " + best.name());
        return best;
    }

    /** The scores so far, the best first. */
    public List<Candidate> candidates() {
        return candidates.stream()
                .sorted(Comparator.comparingDouble(Candidate::meanR).reversed())
                .toList();
    }

    /** Scores settings; returns the best of these and all before. */
    private RidgeSettings best(Stream<RidgeSettings> settings) {
        settings.forEach(s -> {
            Candidate c = new Candidate(s, score(s));
            log.accept(c.line());
            candidates.add(c);
        });
        return candidates().get(0).settings();
    }

    private double score(RidgeSettings settings) {
        List<Ridge.Band> bands = split.features(settings.features()).stream()
                .map(b -> new Ridge.Band(b.name(), RowSource.rows(b.features(), images)))
                .toList();
        int @Nullable [] rois = settings.roiOfVertex(split.subject());
        int @Nullable [] some =
                rois == null ? null : Arrays.stream(vertices).map(v -> rois[v]).toArray();
        double[] r = Ridge.crossValidatedR(bands, responses, settings.options(some), FOLDS, 0);
        return Arrays.stream(r).average().orElseThrow();
    }
}
