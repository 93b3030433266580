// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ForkJoinPool;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.eval.RowSource;
import org.cortigan.jni.Memory;
import org.cortigan.ridge.RidgeOptions.Criterion;
import org.cortigan.ridge.RidgeOptions.Sharing;
import org.cortigan.ridge.RidgeOptions.Validation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Properties that hold for any data; GoldenRidgeTest has the numbers. */
class RidgeTest {
    /** Predictions come from weights that are kept as floats. */
    private static final double TOLERANCE = 1e-6;

    /** Features, responses that depend on them, and features of other images. */
    private record Data(int n, int f, int v, float[] x, float[] y, float[] test) {
        static Data of(int n, int f, int v, double noise, long seed) {
            SplittableRandom random = new SplittableRandom(seed);
            float[] x = gaussian((n + 10) * f, random), w = gaussian(f * v, random), y = gaussian(n * v, random);
            for (int i = 0; i < n; i++)
                for (int k = 0; k < v; k++) {
                    double s = 0;
                    for (int j = 0; j < f; j++) s += x[i * f + j] * w[j * v + k];
                    y[i * v + k] = (float) (s / Math.sqrt(f) + noise * y[i * v + k]);
                }
            return new Data(n, f, v, Arrays.copyOf(x, n * f), y, Arrays.copyOfRange(x, n * f, x.length));
        }

        private static float[] gaussian(int n, SplittableRandom random) {
            float[] values = new float[n];
            for (int i = 0; i < n; i++) values[i] = (float) random.nextGaussian();
            return values;
        }

        Data withFeatures(double factor, double offset) {
            return new Data(n, f, v, affine(x, factor, offset), y, affine(test, factor, offset));
        }

        Data withResponses(double factor, double offset) {
            return new Data(n, f, v, x, affine(y, factor, offset), test);
        }

        private static float[] affine(float[] values, double factor, double offset) {
            float[] changed = new float[values.length];
            for (int i = 0; i < changed.length; i++) changed[i] = (float) (factor * values[i] + offset);
            return changed;
        }

        RowSource features() {
            return RowSource.of(x, n, f);
        }

        RowSource responses() {
            return RowSource.of(y, n, v);
        }

        Ridge fit(RidgeOptions o) {
            return Ridge.fit(features(), responses(), o);
        }

        double[] predict(RidgeOptions o) {
            return fit(o).predict(RowSource.of(test, 10, f));
        }
    }

    private static final RidgeOptions DEFAULTS = RidgeOptions.defaults();

    private static Stream<RidgeOptions> settings() {
        return Stream.of(Validation.gcv(), Validation.loo(), Validation.folds(4), Validation.shuffledFolds(4, 9))
                .flatMap(v -> Stream.of(Sharing.SHARED, Sharing.VERTEX)
                        .map(s -> DEFAULTS.withValidation(v).withSharing(s)));
    }

    private static void assertClose(double[] expected, double[] got, double tolerance) {
        double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        assertArrayEquals(expected, got, tolerance * largest);
    }

    @Test
    void equalsTheClosedFormForOneFeature() {
        // A standardised feature z has sum z^2 = n, so the slope is z.y / (n + lambda) = 8 / (4 + 4).
        Ridge ridge = Ridge.fit(
                RowSource.of(new float[] {-1, 1, -1, 1}, 4, 1),
                RowSource.of(new float[] {0, 4, 2, 6}, 4, 1),
                DEFAULTS.withLambdas(4));
        assertArrayEquals(new double[] {2, 4, 6}, ridge.predict(RowSource.of(new float[] {-1, 1, 3}, 3, 1)), 1e-6);
    }

    /** Repeated features change the form from primal to dual, and lambda counts each of them. */
    @Test
    void primalAndDualFormAgree() {
        for (Validation v : List.of(Validation.gcv(), Validation.loo(), Validation.folds(4))) {
            Data d = Data.of(30, 20, 7, 1, 1);
            RidgeOptions o = DEFAULTS.withValidation(v).withSharing(Sharing.VERTEX);
            Ridge primal = d.fit(o.withLambdas(1, 10, 100));
            List<Ridge.Band> twice = List.of(new Ridge.Band("one", d.features()), new Ridge.Band("two", d.features()));
            Ridge dual = Ridge.fit(twice, d.responses(), o.withLambdas(2, 20, 200));
            RowSource test = RowSource.of(d.test, 10, 20);
            assertClose(primal.predict(test), dual.predict(test, test), TOLERANCE);
            assertEquals(primal.score(), dual.score(), TOLERANCE);
        }
    }

    @ParameterizedTest
    @MethodSource("settings")
    void scaleAndOffsetOfTheDataChangeNothing(RidgeOptions o) {
        Data d = Data.of(40, 15, 6, 2, 2);
        double[] expected = d.predict(o);
        // Powers of two and small offsets keep the floats exact.
        assertClose(expected, d.withFeatures(0x1p-60, 0).predict(o), TOLERANCE);
        assertClose(expected, d.withFeatures(0x1p60, 0).predict(o), TOLERANCE);
        for (double scale : new double[] {0x1p-66, 0x1p100}) {
            double[] scaled = d.withResponses(scale, 0).predict(o);
            assertClose(expected, Arrays.stream(scaled).map(p -> p / scale).toArray(), TOLERANCE);
        }
    }

    /** Relative penalties follow the scale of features that are not standardised. */
    @Test
    void defaultPenaltiesSuitFeaturesOfAnyScale() {
        Data d = Data.of(40, 15, 6, 2, 2);
        RidgeOptions o = DEFAULTS.withStandardise(false);
        assertClose(d.predict(o), d.withFeatures(0x1p-50, 0).predict(o), TOLERANCE);
        assertClose(d.predict(o), d.withFeatures(0x1p50, 0).predict(o), TOLERANCE);
    }

    @Test
    void offsetOfTheResponsesLeavesTheCorrelation() {
        Data d = Data.of(200, 15, 60, 1, 3);
        int[] training = IntStream.range(0, 150).toArray(),
                test = IntStream.range(150, 200).toArray();
        double[] r = new double[2];
        for (int i = 0; i < 2; i++) {
            Data moved = d.withResponses(2, i * 1e6); // float32 steps of 1/16
            Ridge ridge = Ridge.fit(
                    RowSource.rows(moved.features(), training), RowSource.rows(moved.responses(), training), DEFAULTS);
            r[i] = mean(ridge.correlate(
                            List.of(RowSource.rows(moved.features(), test)), RowSource.rows(moved.responses(), test))
                    .r());
        }
        // Rounding to steps of 1/16 adds noise of sd 0.018 to responses of sd 2.8. It moves the r of a vertex over 50
        // images by about 0.018 / 2.8 / root of 50 = 0.001, and the mean of 60 vertices by an eighth of it.
        assertEquals(r[0], r[1], 1e-3);
    }

    @ParameterizedTest
    @MethodSource("settings")
    void constantFeaturesAndVerticesAreHarmless(RidgeOptions o) {
        Data d = Data.of(24, 10, 4, 1, 4);
        double[] expected = d.predict(o);
        float[] wider = new float[24 * 11], test = new float[10 * 11], more = new float[24 * 5];
        for (int i = 0; i < 24; i++) {
            System.arraycopy(d.x, i * 10, wider, i * 11, 10);
            wider[i * 11 + 10] = 1e9f;
            System.arraycopy(d.y, i * 4, more, i * 5, 4);
            more[i * 5 + 4] = -7;
        }
        for (int i = 0; i < 10; i++) {
            System.arraycopy(d.test, i * 10, test, i * 11, 10);
            test[i * 11 + 10] = i; // Not constant here: the weight must be 0.
        }
        double[] got = Ridge.fit(RowSource.of(wider, 24, 11), RowSource.of(more, 24, 5), o)
                .predict(RowSource.of(test, 10, 11));
        for (int i = 0; i < 10; i++) {
            assertEquals(-7, got[i * 5 + 4]);
            for (int v = 0; v < 4; v++) assertEquals(expected[i * 4 + v], got[i * 5 + v], TOLERANCE * 5);
        }
    }

    @Test
    void threeImagesAndOneFeatureSuffice() {
        Data d = Data.of(3, 1, 2, 0.1, 5);
        for (Validation v : List.of(Validation.gcv(), Validation.loo())) {
            assertTrue(Arrays.stream(d.predict(DEFAULTS.withValidation(v))).allMatch(Double::isFinite));
        }
        Data wide = Data.of(3, 50, 2, 0.1, 5);
        for (Validation v : List.of(Validation.gcv(), Validation.loo())) {
            assertTrue(Arrays.stream(wide.predict(DEFAULTS.withValidation(v))).allMatch(Double::isFinite));
        }
    }

    @Test
    void rankDeficientFeaturesActLikeTheirBasis() {
        Data d = Data.of(40, 6, 5, 1, 6);
        for (int copies : new int[] {3, 9}) { // 18 of 40 dimensions, and 54 features
            List<Ridge.Band> bands = IntStream.range(0, copies)
                    .mapToObj(i -> new Ridge.Band("copy", d.features()))
                    .toList();
            RowSource[] test = new RowSource[copies];
            Arrays.fill(test, RowSource.of(d.test, 10, 6));
            RidgeOptions o = DEFAULTS.withSharing(Sharing.VERTEX);
            double[] penalties = {3, 30, 300};
            Ridge repeated = Ridge.fit(
                    bands,
                    d.responses(),
                    o.withLambdas(
                            DoubleStream.of(penalties).map(l -> l * copies).toArray()));
            assertClose(d.predict(o.withLambdas(penalties)), repeated.predict(test), TOLERANCE);
        }
    }

    /** All ways to hold images out estimate the same error. */
    @Test
    void foldsOfTwoDifferLittleFromLeaveOneOut() {
        Data d = Data.of(60, 10, 5, 1, 7);
        double loo = d.fit(DEFAULTS.withValidation(Validation.loo())).score();
        assertEquals(loo, d.fit(DEFAULTS.withValidation(Validation.folds(30))).score(), 0.02);
        assertEquals(loo, d.fit(DEFAULTS).score(), 0.02); // generalised cross-validation approximates it
    }

    /** A shared penalty needs only sums over vertices; one group computes the errors of each vertex. */
    @Test
    void sumsOverVerticesEqualTheErrorsOfEach() {
        Data d = Data.of(30, 50, 700, 1, 14);
        for (Validation v : List.of(Validation.loo(), Validation.folds(4), Validation.shuffledFolds(4, 3))) {
            for (Criterion c : List.of(Criterion.MSE, Criterion.R2)) {
                RidgeOptions o = DEFAULTS.withValidation(v).withCriterion(c);
                Ridge shared = d.fit(o), group = d.fit(o.withGroups(new int[700]));
                assertEquals(group.score(), shared.score(), TOLERANCE);
                assertArrayEquals(group.lambdas(), shared.lambdas());
            }
        }
    }

    /** The formula for all folds at once against a fit on each fold. */
    @Test
    void theScoreOfFoldsEqualsExplicitRefits() {
        for (int f : new int[] {8, 60}) {
            Data d = Data.of(30, f, 5, 1, 8);
            for (Criterion c : List.of(Criterion.MSE, Criterion.CORRELATION)) {
                RidgeOptions o = DEFAULTS.withStandardise(false)
                        .withLambdas(20)
                        .withValidation(Validation.folds(3))
                        .withCriterion(c);
                assertEquals(refitted(d, c, 20), d.fit(o).score(), TOLERANCE * 5, c + ", " + f + " features");
            }
        }
    }

    private static double refitted(Data d, Criterion c, double lambda) {
        double score = 0;
        Folds folds = Folds.of(d.n, 3, null);
        for (int fold = 0; fold < 3; fold++) {
            int[] training = folds.others(fold), held = folds.images(fold);
            Ridge ridge = Ridge.fit(
                    RowSource.rows(d.features(), training),
                    RowSource.rows(d.responses(), training),
                    DEFAULTS.withStandardise(false).withLambdas(lambda));
            RowSource x = RowSource.rows(d.features(), held), y = RowSource.rows(d.responses(), held);
            double[] p = ridge.predict(x);
            float[] t = new float[p.length];
            y.read(0, held.length, t);
            score += c == Criterion.MSE
                    ? -IntStream.range(0, p.length)
                                    .mapToDouble(i -> (p[i] - t[i]) * (p[i] - t[i]))
                                    .average()
                                    .orElseThrow()
                            / 3
                    : Arrays.stream(ridge.correlate(List.of(x), y).r())
                                    .average()
                                    .orElseThrow()
                            / 3;
        }
        return score;
    }

    @Test
    void bandsChooseTheFeaturesThatMatter() {
        Data d = Data.of(80, 10, 30, 0.5, 10), noise = Data.of(80, 40, 1, 1, 11);
        List<Ridge.Band> bands =
                List.of(new Ridge.Band("noise", noise.features()), new Ridge.Band("signal", d.features()));
        RowSource[] test = {RowSource.of(noise.test, 10, 40), RowSource.of(d.test, 10, 10)};
        Ridge banded = Ridge.fit(bands, d.responses(), DEFAULTS.withBandWeights(BandWeights.candidates(2, 20, 0)));
        Ridge joined = Ridge.fit(bands, d.responses(), DEFAULTS);
        assertTrue(banded.score() > joined.score() + 0.05, banded.score() + " against " + joined.score());
        double[] weights = banded.bandWeights(0);
        assertTrue(weights[1] > 10 * weights[0], Arrays.toString(weights));
        // Each vertex alone can only choose better on its own score.
        Ridge vertex = Ridge.fit(
                bands,
                d.responses(),
                DEFAULTS.withSharing(Sharing.VERTEX).withBandWeights(BandWeights.candidates(2, 20, 0)));
        assertTrue(vertex.score() >= banded.score());
        assertTrue(Arrays.stream(vertex.predict(test)).allMatch(Double::isFinite));
    }

    @Test
    void candidatesLieOnTheSimplexAndFollowTheSeed() {
        List<double[]> all = BandWeights.candidates(3, 50, 1);
        assertEquals(54, all.size());
        for (double[] w : all) {
            assertEquals(1, Arrays.stream(w).sum(), 1e-12);
            assertTrue(Arrays.stream(w).allMatch(x -> x >= 0));
        }
        assertArrayEquals(all.get(20), BandWeights.candidates(3, 50, 1).get(20));
        assertNotEquals(all.get(20)[0], BandWeights.candidates(3, 50, 2).get(20)[0]);
    }

    @Test
    void theNumberOfThreadsDoesNotChangeABit() throws Exception {
        Data d = Data.of(70, 300, 600, 2, 12);
        for (RidgeOptions o : settings().toList()) {
            double[] several = d.predict(o);
            ForkJoinPool one = new ForkJoinPool(1);
            try {
                assertArrayEquals(several, one.submit(() -> d.predict(o)).get());
            } finally {
                one.shutdown();
            }
        }
    }

    @Test
    void allMemoryIsFreed() {
        Data d = Data.of(30, 20, 7, 1, 1), wide = Data.of(30, 50, 7, 1, 1);
        long before = Memory.live();
        for (RidgeOptions o : settings().toList()) {
            d.predict(o);
            wide.predict(o.withComponents(5));
        }
        float[] bad = d.y.clone();
        bad[40] = Float.NaN;
        assertThrows(InputException.class, () -> Ridge.fit(d.features(), RowSource.of(bad, 30, 7), DEFAULTS));
        float[] zeros = new float[30 * 20];
        assertThrows(InputException.class, () -> Ridge.fit(RowSource.of(zeros, 30, 20), d.responses(), DEFAULTS));
        assertEquals(before, Memory.live());
    }

    @Test
    void wrongInputIsNamed() {
        Data d = Data.of(12, 5, 3, 1, 1);
        RowSource fewer = RowSource.of(new float[11 * 3], 11, 3);
        assertMessage("12 images have features and 11 have responses", () -> Ridge.fit(d.features(), fewer, DEFAULTS));
        float[] bad = d.x.clone();
        bad[7] = Float.POSITIVE_INFINITY;
        assertMessage(
                "features, image row 1, column 2", () -> Ridge.fit(RowSource.of(bad, 12, 5), d.responses(), DEFAULTS));
        assertMessage("12 images are too few for 7 folds", () -> d.fit(DEFAULTS.withValidation(Validation.folds(7))));
        Ridge ridge = d.fit(DEFAULTS);
        assertMessage(
                "an image has 4, but the ridge was fitted on 5", () -> ridge.predict(RowSource.of(new float[8], 2, 4)));
        Ridge two = Ridge.fit(
                List.of(new Ridge.Band("a", d.features()), new Ridge.Band("b", d.features())), d.responses(), DEFAULTS);
        assertMessage(
                "12 images have features in one band and 10 in another",
                () -> two.predict(d.features(), RowSource.of(d.test, 10, 5)));
        assertThrows(IllegalArgumentException.class, () -> DEFAULTS.withLambdas(0));
        assertThrows(IllegalArgumentException.class, () -> DEFAULTS.withCriterion(Criterion.CORRELATION));
        assertThrows(IllegalArgumentException.class, () -> d.fit(DEFAULTS.withGroups(new int[] {0, 1})));
        assertThrows(
                IllegalArgumentException.class,
                () -> d.fit(DEFAULTS.withBandWeights(List.of(new double[] {0.5, 0.5}))));
    }

    private static void assertMessage(String part, org.junit.jupiter.api.function.Executable run) {
        String message = assertThrows(InputException.class, run).getMessage();
        assertTrue(message.contains(part), message);
    }

    @Test
    void nestedCrossValidationSeesSignalAndNoNoise() {
        Data signal = Data.of(100, 10, 40, 0.5, 13), noise = Data.of(100, 10, 40, 1e6, 13);
        List<Ridge.Band> bands = List.of(new Ridge.Band("x", signal.features()));
        RidgeOptions vertex = DEFAULTS.withSharing(Sharing.VERTEX);
        double r = mean(Ridge.crossValidatedR(bands, signal.responses(), vertex, 5, 0));
        assertTrue(r > 0.8, "r " + r);
        // The mean of 40 vertices' r over 100 images has a standard deviation of about 0.1 / root of 40 = 0.016.
        assertEquals(0, mean(Ridge.crossValidatedR(bands, noise.responses(), vertex, 5, 0)), 0.06);
    }

    private static double mean(double[] values) {
        return Arrays.stream(values).average().orElseThrow();
    }
}
