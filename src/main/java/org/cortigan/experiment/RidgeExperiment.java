// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.Metrics;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.PermutationTest;
import org.cortigan.ridge.Ridge;
import org.cortigan.train.HeldOut;

/**
 * The field's yardstick: ridge regression of all vertices on features of the photographs.
 *
 * @param split photographs to fit on and to evaluate on
 * @param unit of the subject's noise ceilings
 * @see Ridge
 */
public record RidgeExperiment(RidgeSplit split, NoiseCeiling.Unit unit) {
    /**
     * An evaluated ridge regression.
     *
     * @param json settings and penalties
     */
    public record Result(Evaluation evaluation, Map<String, Object> json) {}

    /** Fits and evaluates. */
    public Result evaluate(RidgeSettings settings) {
        return evaluate(settings, PermutationTest.Design.NONE);
    }

    /** The same with a test of each vertex's r. */
    public Result evaluate(RidgeSettings settings, PermutationTest.Design design) {
        PermutationTest test = design.test(split.subject().vertices());
        Ridge ridge = Ridge.fit(
                split.features(settings.features()),
                split.responses(),
                settings.options(settings.roiOfVertex(split.subject())));
        Evaluation evaluation = HeldOut.summary(
                        "ridge on " + settings.name() + ", " + split.name(),
                        ridge.correlate(split.heldOutFeatures(settings.features()), split.heldOut(), test),
                        split.subject(),
                        unit,
                        split.notMeasured(),
                        test,
                        Evaluation.Prediction.ONLY)
                .from(new Evaluation.Origin(Evaluation.Kind.RIDGE, null, null));
        Map<String, Object> json = new LinkedHashMap<>(settings.json());
        json.put("number_of_features", ridge.features());
        json.put("lambdas", summary(ridge.lambdas()));
        return new Result(evaluation, json);
    }

    private static Map<String, Object> summary(double[] lambdas) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("min", Arrays.stream(lambdas).min().orElseThrow());
        m.put("median", Metrics.median(lambdas));
        m.put("max", Arrays.stream(lambdas).max().orElseThrow());
        return m;
    }
}
