// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.exec.Arena;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.InputBuffer;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.model.DiffusionSchedule.Noise;
import org.cortigan.model.DiffusionSchedule.Prediction;
import org.cortigan.model.DiffusionSchedule.Step;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/**
 * Samples of a world whose responses to a photograph are Gaussian: a mean, which is a pixel of the photograph, plus
 * noise of the deviation {@link #DEVIATION}. There the best network is known, and affine in the noisy responses.
 */
class SamplerTest {
    private static final int PIXELS = 12, VERTICES = 42 * PIXELS;
    private static final double DEVIATION = 0.6;
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final DiffusionSchedule V = new DiffusionSchedule(Noise.ZERO, Prediction.V);

    /** The best network. */
    private record Best(DiffusionSchedule schedule, Sampling sampling) implements Denoiser {
        @Override
        public int vertices() {
            return VERTICES;
        }

        @Override
        public Value context(Weights w, Value images) {
            Value x = Ops.normalize(images, List.of(0.5, 0.5, 0.5), List.of(0.3, 0.3, 0.3), DType.F32);
            Value[] copies = new Value[VERTICES / PIXELS];
            Arrays.fill(copies, Ops.reshape(x, images.dim(0), PIXELS));
            return Ops.concat(1, copies);
        }

        @Override
        public Value output(Weights w, Value x, Value t, Value context) {
            return Ops.diffuse(context, x, t, x.graph().table(table(), DiffusionSchedule.TIMESTEPS, 4))
                    .output(0);
        }

        /** For each timestep the factors of the mean and of x, with two columns that are not used. */
        float[] table() {
            float[] targets = schedule.table(), all = new float[targets.length];
            for (int i = 0; i < all.length; i += 4) {
                double a = targets[i], s = targets[i + 1], p = targets[i + 2], q = targets[i + 3];
                double variance = DEVIATION * DEVIATION, gain = a * variance / (a * a * variance + s * s);
                // Of the responses (1 - gain a) mean + gain x, and of the noise (x - a responses) / s.
                all[i] = (float) ((1 - gain * a) * (p - q * a / s));
                all[i + 1] = (float) (p * gain + q * (1 - a * gain) / s);
            }
            return all;
        }

        /** What a sample is of mean and noise, {of the mean, of the noise}, in double. */
        double[] sample() {
            float[] table = table();
            double ofMean = 0, ofNoise = 1;
            for (Step s : schedule.steps(sampling.steps())) {
                int at = 4 * s.timestep();
                ofMean = s.x() * ofMean + s.output() * (table[at] + table[at + 1] * ofMean);
                ofNoise *= s.x() + s.output() * table[at + 1];
            }
            return new double[] {ofMean, ofNoise};
        }
    }

    private static Sampling sampling(int steps, int samples, boolean antithetic, long seed) {
        return new Sampling(Sampling.Mode.MEAN, Sampling.Mode.SAMPLES, steps, samples, antithetic, seed);
    }

    private static Best best(int steps, int samples, boolean antithetic) {
        return new Best(V, sampling(steps, samples, antithetic, 3));
    }

    /** A sampler, its variables and its photographs. */
    private static final class Rig implements AutoCloseable {
        private final Variables vars;
        private final Arena arena;
        final Sampler sampler;
        private final InputBuffer images;
        private final int batch;

        Rig(Denoiser network, Device device, int batch) {
            this.batch = batch;
            vars = new Variables(device);
            arena = new Arena(device);
            Sampler.Graphs graphs = Sampler.Graphs.of(
                    network,
                    g -> Weights.in(g, DType.F32, "", false, Weights.Use.PREDICT),
                    g -> g.input("images", DType.U8, batch, 2, 2, 3),
                    g -> g,
                    batch);
            sampler = new Sampler(network, graphs, vars, arena);
            images = sampler.input("images").inputBuffer();
        }

        /** @return [photographs, VERTICES] */
        float[] predict(Photographs p, int... which) {
            ByteBuffer pixels = images.contents();
            for (int b = 0; b < batch; b++) pixels.put(p.of(which[Math.min(b, which.length - 1)]));
            images.send();
            sampler.run(images.contents(), k -> {});
            sampler.synchronize();
            return Arrays.copyOf(vars.find("sampling.mean").toFloats(), which.length * VERTICES);
        }

        float[] context() {
            return vars.find("sampling.context").toFloats();
        }

        @Override
        public void close() {
            images.close();
            sampler.close();
            arena.close();
            vars.close();
        }
    }

    private interface Photographs {
        byte[] of(int i);
    }

    private static final Photographs RANDOM = i -> {
        byte[] rgb = new byte[PIXELS];
        new SplittableRandom(i).nextBytes(rgb);
        return rgb;
    };

    /** The scale of the responses, for relative errors. */
    private static double largest(float[] x) {
        double max = 0;
        for (float f : x) max = Math.max(max, Math.abs(f));
        return max;
    }

    @Test
    void anAntitheticPairOfAnAffineModelIsItsMean() {
        for (Device device : new Device[] {CPU, new SimDevice(false)})
            for (int samples : new int[] {2, 4}) {
                Best network = best(10, samples, true);
                try (Rig rig = new Rig(network, device, 2)) {
                    float[] got = rig.predict(RANDOM, 0, 1), mean = rig.context();
                    double factor = network.sample()[0];
                    assertEquals(1, factor, 1e-3, "the mean of the responses");
                    // Two roundings in each of ten steps of a sum whose terms are below the largest of noise and mean.
                    double tolerance = samples * 20 * 0x1p-24 * (largest(mean) + 5);
                    for (int i = 0; i < got.length; i++) assertEquals(factor * mean[i], got[i], tolerance);
                }
            }
    }

    @Test
    void samplesHaveTheSpreadOfTheResponses() {
        for (int[] steps : new int[][] {{10}, {50}}) {
            Best network = best(steps[0], 1, false);
            try (Rig rig = new Rig(network, CPU, 4)) {
                float[] got = rig.predict(RANDOM, 0, 1, 2, 3), mean = rig.context();
                double want = Math.pow(network.sample()[1], 2), sum = 0;
                for (int i = 0; i < got.length; i++) sum += Math.pow(got[i] - mean[i], 2);
                // Five standard errors of a variance of 2,000 numbers.
                assertEquals(want, sum / got.length, 5 * want * Math.sqrt(2.0 / got.length));
            }
        }
        assertEquals(DEVIATION, Math.abs(best(1000, 1, false).sample()[1]), 0.01, "many steps lose no spread");
        assertTrue(Math.abs(best(2, 1, false).sample()[1]) < DEVIATION / 2, "few steps do");
    }

    @Test
    void oneStepOfOneSampleIsTheConditionalMean() {
        for (Prediction p : new Prediction[] {Prediction.V, Prediction.SAMPLE}) {
            Best network = new Best(new DiffusionSchedule(Noise.ZERO, p), sampling(1, 1, false, 0));
            try (Rig rig = new Rig(network, CPU, 2)) {
                float[] got = rig.predict(RANDOM, 0, 1);
                assertArrayEquals(rig.context(), got, p.toString());
            }
        }
    }

    /** Noise is a function of the seed, the photograph's content and the sample's number. */
    @Test
    void equalPhotographsHaveEqualBitsEverywhere() {
        Best network = best(10, 3, true);
        float[] four;
        try (Rig rig = new Rig(network, CPU, 4)) {
            four = rig.predict(RANDOM, 0, 1, 2, 3);
            assertArrayEquals(four, rig.predict(RANDOM, 0, 1, 2, 3), "again");
            float[] turned = rig.predict(RANDOM, 3, 1, 1, 0);
            assertArrayEquals(of(four, 3), of(turned, 0), "in another place");
            assertArrayEquals(of(turned, 1), of(turned, 2), "the same photograph twice");
            assertArrayEquals(of(four, 1), of(turned, 1), "beside others");
        }
        for (int batch : new int[] {1, 3})
            try (Rig rig = new Rig(network, CPU, batch)) {
                assertArrayEquals(of(four, 2), of(rig.predict(RANDOM, 2), 0), "in a batch of " + batch);
            }
        try (Rig rig = new Rig(new Best(V, sampling(10, 3, true, 4)), CPU, 1)) {
            assertNotEquals(four[0], rig.predict(RANDOM, 0)[0], "another seed");
        }
    }

    private static float[] of(float[] x, int photograph) {
        return Arrays.copyOfRange(x, photograph * VERTICES, (photograph + 1) * VERTICES);
    }

    @Test
    void theSimulatedCardReplaysStepsAndAgrees() {
        Best network = best(10, 2, false);
        float[] want;
        try (Rig rig = new Rig(network, CPU, 2)) {
            want = rig.predict(RANDOM, 0, 1);
        }
        try (SimDevice sim = new SimDevice(false);
                Rig rig = new Rig(network, sim, 2)) {
            assertArrayEquals(want, rig.predict(RANDOM, 0, 1), (float) (20 * 0x1p-24 * (largest(want) + 5)));
            // Each session's first run launches, and the next two record; then everything is replayed.
            rig.predict(RANDOM, 1, 0);
            rig.predict(RANDOM, 1, 0);
            int replays = sim.replays();
            rig.predict(RANDOM, 1, 0);
            // A context, and for each of two samples the noise, ten steps and the sum.
            assertEquals(1 + 2 * 12, sim.replays() - replays);
        }
    }

    /** Different photographs, and different samples of one, have independent noise. */
    @Test
    void photographsAndSamplesHaveTheirOwnNoise() {
        Best network = best(10, 4, false);
        float[][] noise = new float[8][];
        try (Rig rig = new Rig(network, CPU, 2)) {
            ByteBuffer pixels = rig.images.contents();
            for (int b = 0; b < 2; b++) pixels.put(RANDOM.of(b));
            rig.images.send();
            float[] x = new float[2 * VERTICES];
            rig.sampler.run(rig.images.contents(), k -> {
                rig.sampler.read(x, 0, 2);
                for (int b = 0; b < 2; b++) noise[2 * k + b] = of(less(x, rig.context()), b);
            });
        }
        double variance = Math.pow(network.sample()[1], 2);
        for (int i = 0; i < noise.length; i++)
            for (int j = 0; j < i; j++) {
                double product = 0;
                for (int v = 0; v < VERTICES; v++) product += noise[i][v] * noise[j][v];
                assertEquals(0, product / VERTICES / variance, 5 / Math.sqrt(VERTICES), i + " and " + j);
            }
    }

    private static float[] less(float[] a, float[] b) {
        float[] d = new float[a.length];
        for (int i = 0; i < d.length; i++) d[i] = a[i] - b[i];
        return d;
    }
}
