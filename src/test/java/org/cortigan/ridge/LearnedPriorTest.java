// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import static org.cortigan.io.Tensors.doubles;
import static org.cortigan.io.Tensors.ints;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.RowSource;
import org.cortigan.io.SafeTensors;
import org.cortigan.jni.Memory;
import org.cortigan.ridge.LearnedPrior.Options;
import org.cortigan.ridge.LearnedPrior.Sample;
import org.junit.jupiter.api.Test;

class LearnedPriorTest {
    /** Projection and weights are kept as floats, so a prediction has a relative rounding error of a few 2^-24. */
    private static final double TOLERANCE = 1e-6;

    private static final int TEST_IMAGES = 60;

    /** Responses to N images whose weights lie in {@code directions} of F dimensions, and more images to test on. */
    private record Data(int n, int f, int v, float[] x, float[] y) {
        static Data of(int n, int f, int v, int directions, double noise, double common, long seed) {
            SplittableRandom random = new SplittableRandom(seed);
            int all = n + TEST_IMAGES;
            float[] x = gaussian(all * f, random), y = gaussian(all * v, random);
            float[] to = gaussian(f * directions, random), weights = gaussian(directions * v, random);
            float[] shared = gaussian(all, random);
            for (int i = 0; i < all; i++) {
                double[] scores = new double[directions];
                for (int d = 0; d < directions; d++)
                    for (int j = 0; j < f; j++)
                        scores[d] += x[i * f + j] * to[j * directions + d] / Math.sqrt(f * directions);
                for (int k = 0; k < v; k++) {
                    double s = noise * y[i * v + k] + common * shared[i];
                    for (int d = 0; d < directions; d++) s += scores[d] * weights[d * v + k];
                    y[i * v + k] = (float) s;
                }
            }
            return new Data(n, f, v, x, y);
        }

        private static float[] gaussian(int n, SplittableRandom random) {
            float[] values = new float[n];
            for (int i = 0; i < n; i++) values[i] = (float) random.nextGaussian();
            return values;
        }

        Data withResponses(double scale, double offset) {
            float[] changed = new float[y.length];
            for (int i = 0; i < y.length; i++) changed[i] = (float) (scale * y[i] + offset);
            return new Data(n, f, v, x, changed);
        }

        private RowSource part(float[] values, int columns, int from, int to) {
            return RowSource.rows(
                    RowSource.of(values, values.length / columns, columns),
                    IntStream.range(from, to).toArray());
        }

        Sample sample() {
            return new Sample(
                    part(x, f, 0, n),
                    part(y, v, 0, n),
                    IntStream.range(0, v).map(i -> i % 3).toArray());
        }

        LearnedPrior fit(int rank) {
            return LearnedPrior.fit(List.of(sample()), Options.defaults().withRank(rank));
        }

        double[] predict(LearnedPrior prior) {
            return LearnedPriorTest.predict(prior, 0, part(x, f, n, n + TEST_IMAGES));
        }

        double[] predict(int rank) {
            return predict(fit(rank));
        }

        double r(LearnedPrior prior) {
            PearsonAccumulator accumulator = new PearsonAccumulator(v);
            accumulator.add(predict(prior), Arrays.copyOfRange(y, n * v, y.length), TEST_IMAGES);
            return mean(accumulator.r());
        }

        double ridgeR() {
            Ridge ridge = Ridge.fit(part(x, f, 0, n), part(y, v, 0, n), RidgeOptions.defaults());
            return mean(ridge.correlate(List.of(part(x, f, n, n + TEST_IMAGES)), part(y, v, n, n + TEST_IMAGES))
                    .r());
        }
    }

    private static double mean(double[] values) {
        return Arrays.stream(values).average().orElseThrow();
    }

    private static double[] predict(LearnedPrior prior, int subject, RowSource test) {
        int n = test.rows(), f = test.columns(), rank = prior.rank();
        float[] x = new float[n * f];
        float[] projection = prior.projection(), weights = prior.weights(subject), bias = prior.bias(subject);
        test.read(0, n, x);
        double[] predicted = new double[n * bias.length];
        for (int i = 0; i < n; i++) {
            double[] scores = new double[rank];
            for (int r = 0; r < rank; r++)
                for (int j = 0; j < f; j++) scores[r] += (double) projection[r * f + j] * x[i * f + j];
            for (int k = 0; k < bias.length; k++) {
                double sum = bias[k];
                for (int r = 0; r < rank; r++) sum += weights[k * rank + r] * scores[r];
                predicted[i * bias.length + k] = sum;
            }
        }
        return predicted;
    }

    private static void assertClose(double[] expected, double[] got, double tolerance) {
        double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        assertArrayEquals(expected, got, tolerance * largest);
    }

    private static RowSource matrix(SafeTensors t, String name) {
        float[] values = t.floats(name);
        int columns = Math.toIntExact(t.entry(name).shape()[1]);
        return RowSource.of(values, values.length / columns, columns);
    }

    /** tools/golden_prior.py has the formulas. */
    @Test
    void equalsTheFormulasInDouble() {
        try (SafeTensors t = SafeTensors.open(Path.of("src/test/resources/ridge/prior.safetensors"))) {
            List<Sample> subjects = new ArrayList<>();
            for (int s = 0; s < 2; s++) {
                subjects.add(new Sample(matrix(t, s + ".x"), matrix(t, s + ".y"), ints(t, s + ".groups")));
            }
            LearnedPrior prior = LearnedPrior.fit(subjects, Options.defaults().withRank(12));
            assertEquals(ints(t, "steps")[0], prior.iterations());
            for (int s = 0; s < 2; s++) {
                assertEquals(doubles(t, "noise")[s], prior.noise(s), TOLERANCE);
                assertClose(doubles(t, s + ".prediction"), predict(prior, s, matrix(t, s + ".test")), TOLERANCE);
            }
        }
    }

    /**
     * With 60 images of 200 isotropic features a ridge sees 60 / 200 of a vertex's weights, so its r is at most the
     * root of 0.3 = 0.55; the 3 directions in use can be seen from all 300 vertices together. The r of a vertex over 60
     * images has a standard error of about 0.13, and a difference of means over 300 vertices about 0.01; the margin is
     * twice it.
     */
    @Test
    void beatsARidgeWhereVerticesShareDirections() {
        Data d = Data.of(60, 200, 300, 3, 0.5, 0, 1);
        double prior = d.r(d.fit(20)), ridge = d.ridgeR();
        assertTrue(prior > ridge + 0.02, prior + " against " + ridge);
    }

    /**
     * Responses along directions that images differ much in, with much noise. Few of the fit's directions are kept, and
     * they must be those that predictions vary along. The prior variance of the weights alone is largest along
     * directions that images hardly differ in, since no response lowers it there.
     */
    @Test
    void keepsTheDirectionsThatPredict() {
        int n = 200, f = 150, v = 100, directions = 5;
        Data d = Data.of(n, f, v, 1, 20, 0, 11);
        float[] to = Data.gaussian(f * directions, new SplittableRandom(12));
        float[] weights = Data.gaussian(directions * v, new SplittableRandom(13));
        for (int i = 0; i < n + TEST_IMAGES; i++) {
            double[] scores = new double[directions];
            for (int j = 0; j < f; j++) {
                d.x[i * f + j] *= (float) (4 / Math.sqrt(1 + j));
                for (int k = 0; k < directions; k++) scores[k] += d.x[i * f + j] * to[j * directions + k];
            }
            for (int k = 0; k < v; k++)
                for (int c = 0; c < directions; c++)
                    d.y[i * v + k] += (float) (scores[c] * weights[c * v + k] / Math.sqrt(directions));
        }
        LearnedPrior prior = d.fit(30);
        assertTrue(prior.iterations() > 0, "no steps");
        double all = d.r(d.fit(f)), kept = d.r(prior);
        assertTrue(kept > all - 0.02, kept + " of " + all);
    }

    /** Noise of an image that all vertices share must not pass for a direction of the weights. */
    @Test
    void commonNoiseIsFoundOut() {
        Data d = Data.of(60, 200, 300, 60, 1, 1, 2);
        LearnedPrior prior = d.fit(60);
        assertTrue(prior.iterations() <= 1, prior.iterations() + " steps");
        assertTrue(d.r(prior) > d.ridgeR() - 0.02, d.r(prior) + " against " + d.ridgeR());
    }

    @Test
    void predictionsFollowScaleAndOffsetOfTheResponses() {
        Data d = Data.of(40, 30, 20, 3, 1, 0, 3);
        double[] expected = d.predict(12);
        for (double scale : new double[] {0x1p-10, 0x1p10}) {
            double[] got = d.withResponses(scale, 0).predict(12);
            assertClose(expected, Arrays.stream(got).map(p -> p / scale).toArray(), TOLERANCE);
        }
        // float32 steps of 1/16 round responses of sd 1.4 by an sd of 0.018, and the bias by at most 1/32.
        double[] moved = d.withResponses(1, 1e6).predict(12);
        assertArrayEquals(expected, Arrays.stream(moved).map(p -> p - 1e6).toArray(), 0.15);
    }

    @Test
    void constantVerticesHaveNoWeights() {
        Data d = Data.of(40, 30, 20, 3, 1, 0, 4);
        for (int i = 0; i < d.n; i++) d.y[i * 20 + 7] = -3;
        LearnedPrior prior = d.fit(12);
        assertEquals(-3, prior.bias(0)[7]);
        assertArrayEquals(new float[12], Arrays.copyOfRange(prior.weights(0), 7 * 12, 8 * 12));
        Arrays.fill(d.y, 5);
        assertTrue(Arrays.stream(d.predict(12)).allMatch(p -> p == 5));
    }

    @Test
    void extremeShapesArePredictable() {
        int[][] shapes = {{10, 5000, 6}, {40, 8, 1}, {3, 5, 2}, {30, 20, 2}};
        for (int[] s : shapes) {
            Data d = Data.of(s[0], s[1], s[2], 2, 1, 0, 5);
            LearnedPrior prior = d.fit(16);
            assertEquals(16 * s[1], prior.projection().length);
            assertEquals(16 * s[2], prior.weights(0).length);
            assertEquals(Math.min(16, Math.min(s[0] - 1, s[1])), prior.components());
            assertTrue(Arrays.stream(d.predict(prior)).allMatch(Double::isFinite), Arrays.toString(s));
        }
    }

    /** Landmarks that span the features lose nothing. */
    @Test
    void landmarksThatSpanTheFeaturesSuffice() {
        Data d = Data.of(300, 10, 20, 3, 1, 0, 6);
        double[] expected = d.predict(10);
        double[] got = d.predict(
                LearnedPrior.fit(List.of(d.sample()), Options.defaults().withRank(10), 50));
        assertClose(expected, got, TOLERANCE);
    }

    @Test
    void repeatedImagesAreHarmless() {
        Data d = Data.of(40, 50, 20, 3, 1, 0, 7);
        System.arraycopy(d.x, 0, d.x, 20 * 50, 20 * 50);
        LearnedPrior prior = d.fit(30);
        assertEquals(19, prior.components());
        assertTrue(Arrays.stream(d.predict(prior)).allMatch(Double::isFinite));
    }

    @Test
    void theNumberOfThreadsDoesNotChangeABit() throws Exception {
        Data d = Data.of(300, 40, 600, 5, 1, 0, 8);
        double[] several = d.predict(20);
        ForkJoinPool one = new ForkJoinPool(1);
        try {
            assertArrayEquals(several, one.submit(() -> d.predict(20)).get());
        } finally {
            one.shutdown();
        }
    }

    /** The heap bounds the blocks of responses, so it must not change a prediction. */
    @Test
    void theSizeOfABlockDoesNotChangeABit() {
        Data d = Data.of(6, 4, 2 * 16 * Blas.TILE + 5, 2, 1, 0, 10);
        assertArrayEquals(moments(d, 1 << 27), moments(d, 1));
    }

    private static double[] moments(Data d, int blockValues) {
        Sample sample = d.sample();
        Blas.load();
        try (PriorSubject subject =
                new PriorSubject(sample.features(), new Responses(sample.responses(), blockValues), sample.groups())) {
            subject.setCoordinates(subject.centring().read(List.of(sample.features())));
            try (PriorSubject.Fold fold = subject.fold(2, 2)) {
                return DoubleStream.concat(
                                Arrays.stream(fold.training().cross().getDoubles(0, d.f)),
                                Arrays.stream(fold.cross().getDoubles(0, 2)))
                        .toArray();
            }
        }
    }

    /** Reads rows until none are left, and then runs out of memory. */
    private record Failing(RowSource source, AtomicInteger left) implements RowSource {
        @Override
        public int rows() {
            return source.rows();
        }

        @Override
        public int columns() {
            return source.columns();
        }

        @Override
        public void read(int first, int count, float[] into) {
            if (left.getAndDecrement() == 0) {
                throw new OutOfMemoryError("of the test");
            }
            source.read(first, count, into);
        }
    }

    @Test
    void anErrorAtAnyReadLeavesNoMemory() {
        Sample good = Data.of(20, 10, 6, 3, 1, 0, 9).sample();
        assertEquals(
                5,
                assertNoMemoryIsLeft(
                        good, left -> new Sample(good.features(), new Failing(good.responses(), left), good.groups())));
        assertNoMemoryIsLeft(
                good, left -> new Sample(new Failing(good.features(), left), good.responses(), good.groups()));
    }

    /** Fails at each read of a second subject in turn, and returns how many there are. */
    private static int assertNoMemoryIsLeft(Sample good, Function<AtomicInteger, Sample> failing) {
        AtomicInteger left = new AtomicInteger(Integer.MAX_VALUE);
        LearnedPrior.fit(List.of(good, failing.apply(left)), Options.defaults());
        int reads = Integer.MAX_VALUE - left.get();
        long before = Memory.live();
        for (int read = 0; read < reads; read++) {
            List<Sample> subjects = List.of(good, failing.apply(new AtomicInteger(read)));
            assertThrows(OutOfMemoryError.class, () -> LearnedPrior.fit(subjects, Options.defaults()));
            assertEquals(before, Memory.live(), "after read " + read);
        }
        return reads;
    }

    @Test
    void wrongInputIsNamedAndLeavesNoMemory() {
        Data d = Data.of(20, 10, 6, 3, 1, 0, 9);
        long before = Memory.live();
        d.fit(5);
        Sample good = d.sample();
        RowSource fewer = d.part(d.x, 10, 0, 19), narrow = RowSource.of(new float[20 * 3], 20, 3);
        assertMessage(
                "19 images have features and 20 have responses", new Sample(fewer, good.responses(), good.groups()));
        assertMessage("10 features and those of another 3", good, new Sample(narrow, good.responses(), good.groups()));
        float[] bad = d.y.clone();
        bad[3 * 6 + 2] = Float.NaN;
        assertMessage(
                "responses, image row 3, column 2", new Sample(good.features(), d.part(bad, 6, 0, 20), good.groups()));
        float[] infinite = d.x.clone();
        infinite[10] = Float.POSITIVE_INFINITY;
        assertMessage(
                "features, image row 1, column 0",
                good,
                new Sample(d.part(infinite, 10, 0, 20), good.responses(), good.groups()));
        float[] zeros = new float[20 * 10];
        assertMessage(
                "all 10 features are constant",
                new Sample(RowSource.of(zeros, 20, 10), good.responses(), good.groups()));
        assertThrows(
                IllegalArgumentException.class,
                () -> LearnedPrior.fit(
                        List.of(new Sample(good.features(), good.responses(), new int[2])), Options.defaults()));
        assertEquals(before, Memory.live());
    }

    private static void assertMessage(String part, Sample... subjects) {
        String message = assertThrows(
                        InputException.class, () -> LearnedPrior.fit(List.of(subjects), Options.defaults()))
                .getMessage();
        assertTrue(message.contains(part), message);
    }
}
