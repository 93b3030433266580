// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import static org.cortigan.io.Tensors.doubles;
import static org.cortigan.io.Tensors.ints;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.eval.RowSource;
import org.cortigan.io.SafeTensors;
import org.cortigan.ridge.RidgeOptions.Criterion;
import org.cortigan.ridge.RidgeOptions.Sharing;
import org.cortigan.ridge.RidgeOptions.Validation;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares the ridge regression with scikit-learn's and himalaya's (tools/golden_ridge.py). */
class GoldenRidgeTest {
    private static final Path FILE = Path.of("src/test/resources/ridge/ridge.safetensors");
    private static final int V = 12;

    /** Weights are kept as floats, so a prediction has a relative rounding error of a few 2^-24. */
    private static final double TOLERANCE = 1e-6;

    private static RowSource matrix(SafeTensors t, String name) {
        float[] values = t.floats(name);
        int columns = Math.toIntExact(t.entry(name).shape()[1]);
        return RowSource.of(values, values.length / columns, columns);
    }

    private static RowSource columns(RowSource source, int from, int to) {
        return RowSource.columns(source, IntStream.range(from, to).toArray());
    }

    private static RidgeOptions options(SafeTensors t) {
        return RidgeOptions.defaults()
                .withLambdas(doubles(t, "alphas"))
                .withValidation(Validation.loo())
                .withCriterion(Criterion.MSE);
    }

    private static void compare(SafeTensors t, String name, Ridge ridge, RowSource... test) {
        assertArrayEquals(doubles(t, name + ".alpha"), ridge.lambdas(), name);
        double[] expected = doubles(t, name + ".prediction"), got = ridge.predict(test);
        double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        assertArrayEquals(expected, got, TOLERANCE * largest, name);
        if (t.names().contains(name + ".score")) {
            double score = doubles(t, name + ".score")[0];
            assertEquals(score, ridge.score(), TOLERANCE * Math.abs(score), name);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"wide", "tall"})
    void equalsRidgeCvOfScikitLearn(String shape) {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            RowSource x = matrix(t, shape + ".x"), y = matrix(t, shape + ".y"), test = matrix(t, shape + ".test");
            RidgeOptions o = options(t), vertex = o.withSharing(Sharing.VERTEX);
            RidgeOptions folds = o.withValidation(Validation.folds(5));
            compare(t, shape + ".loo_shared", Ridge.fit(x, y, o), test);
            compare(t, shape + ".loo_vertex", Ridge.fit(x, y, vertex), test);
            compare(t, shape + ".raw", Ridge.fit(x, y, o.withStandardise(false)), test);
            compare(t, shape + ".pca", Ridge.fit(x, y, vertex.withComponents(10)), test);
            compare(t, shape + ".folds", Ridge.fit(x, y, folds), test);
            compare(t, shape + ".pca_folds", Ridge.fit(x, y, folds.withComponents(10)), test);
            compare(t, shape + ".groups", Ridge.fit(x, y, o.withGroups(ints(t, "groups"))), test);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"wide", "tall"})
    void equalsHimalaya(String shape) {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            RowSource x = matrix(t, shape + ".x"), y = matrix(t, shape + ".y"), test = matrix(t, shape + ".test");
            RidgeOptions folds = options(t).withValidation(Validation.folds(5)).withSharing(Sharing.VERTEX);
            compare(t, shape + ".himalaya", Ridge.fit(x, y, folds), test);
            double[] flat = doubles(t, "weightings"), chosen = doubles(t, shape + ".banded.weighting");
            List<double[]> weightings = new ArrayList<>();
            for (int i = 0; i < flat.length; i += 2) weightings.add(new double[] {flat[i], flat[i + 1]});
            int third = x.columns() / 3;
            Ridge ridge = Ridge.fit(
                    List.of(
                            new Ridge.Band("first", columns(x, 0, third)),
                            new Ridge.Band("second", columns(x, third, x.columns()))),
                    y,
                    folds.withBandWeights(weightings));
            for (int v = 0; v < V; v++) {
                assertArrayEquals(new double[] {chosen[2 * v], chosen[2 * v + 1]}, ridge.bandWeights(v));
            }
            compare(t, shape + ".banded", ridge, columns(test, 0, third), columns(test, third, x.columns()));
        }
    }
}
