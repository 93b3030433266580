// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.eval.Crps;
import org.cortigan.eval.Metrics;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.SampleAccumulator;
import org.cortigan.eval.SampleScores;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.exec.SimDevice;
import org.cortigan.jni.Memory;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.model.Sampling;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Predictions of a trained readout that denoises responses. */
class DiffusionSamplingTest {
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final TrainerTest.Toy TOY = TrainerTest.TOY;
    private static final int VERTICES = 20, BYTES = 16 * 16 * 3;
    private static final String ZERO = "v, zero terminal SNR";

    @TempDir
    static Path dir;

    private static Recipe recipe(String... options) {
        return TrainerTest.recipe(DiffusionTrainingTest.SMALL.toArray(new String[0]))
                .with(List.of("optimizer.ema=0.5"))
                .with(List.of(options));
    }

    static Path trained(Path folder, String... options) {
        try (Trainer t = new Trainer(recipe(options), TOY, CPU, folder)) {
            t.run();
        }
        return RunFolder.last(folder);
    }

    private static Path run;

    @BeforeAll
    static void train() {
        run = trained(dir.resolve("run"), "train.epochs=2");
    }

    private static Sampling.Change change(Integer steps, Integer... samples) {
        return new Sampling.Change(Sampling.Mode.SAMPLES, steps, List.of(samples));
    }

    private static final Sampling.Change MEAN = new Sampling.Change(Sampling.Mode.MEAN, null, List.of());

    private static Model model(Sampling.Change change) {
        return Model.load(run).predicting(change, "run");
    }

    static byte[] photographs(int n) {
        byte[] rgb = new byte[n * BYTES];
        new SplittableRandom(1).nextBytes(rgb);
        return rgb;
    }

    static float[] predict(Model m, Device d, int batch, byte[] rgb) {
        float[] all = new float[rgb.length / BYTES * VERTICES];
        try (Predictor p = m.predictor(d, batch)) {
            for (int at = 0; at < rgb.length; at += batch * BYTES) {
                float[] y = p.predict(Arrays.copyOfRange(rgb, at, Math.min(rgb.length, at + batch * BYTES)));
                System.arraycopy(y, 0, all, at / BYTES * VERTICES, y.length);
            }
        }
        return all;
    }

    @Test
    void aPredictionIsAFunctionOfThePhotographAlone() {
        byte[] rgb = photographs(5);
        float[] want = predict(model(change(5, 2)), CPU, 5, rgb);
        assertArrayEquals(want, predict(model(change(5, 2)), CPU, 5, rgb), "after a reload");
        byte[] last = Arrays.copyOfRange(rgb, 4 * BYTES, 5 * BYTES);
        // Products may sum in another order for another number of rows.
        for (int batch : new int[] {1, 2, 8})
            assertArrayEquals(want, predict(model(change(5, 2)), CPU, batch, rgb), 2e-5f, "batches of " + batch);
        try (Predictor p = model(change(5, 2)).predictor(CPU, 5)) {
            p.predict(photographs(3));
            byte[] turned = rgb.clone();
            System.arraycopy(last, 0, turned, 0, BYTES);
            System.arraycopy(rgb, 0, turned, 4 * BYTES, BYTES);
            float[] y = p.predict(turned);
            assertArrayEquals(
                    Arrays.copyOfRange(want, 4 * VERTICES, 5 * VERTICES),
                    Arrays.copyOf(y, VERTICES),
                    "in another place of a batch of the same size");
        }
        assertNotEquals(want[0], predict(model(change(5, 1)), CPU, 5, rgb)[0]);
    }

    @Test
    void modesStepsAndDevicesAgree() {
        byte[] rgb = photographs(3);
        float[] mean = predict(model(MEAN), CPU, 3, rgb);
        // One step from noise to the responses is the same evaluation from other noise.
        float[] one = predict(model(change(1, 1)), CPU, 3, rgb);
        double difference = 0, size = 0;
        for (int i = 0; i < mean.length; i++) {
            difference += Math.pow(mean[i] - one[i], 2);
            size += Math.pow(mean[i], 2);
        }
        assertTrue(difference < 0.3 * size && difference > 0, difference + " of " + size);
        for (Sampling.Change c : List.of(MEAN, change(5, 2)))
            try (Device sim = new SimDevice(false)) {
                assertArrayEquals(predict(model(c), CPU, 3, rgb), predict(model(c), sim, 3, rgb), 2e-4f);
            }
        Model m = Model.load(run);
        assertEquals("mean of 2 antithetic samples, 10 DDIM steps, " + ZERO, prediction(m));
        assertEquals("conditional mean (1 evaluation at t 999), " + ZERO, prediction(model(MEAN)));
        assertEquals("1 sample, 1 DDIM step, " + ZERO, prediction(model(change(1, 1))));
    }

    private static String prediction(Model m) {
        try (Predictor p = m.predictor(CPU, 1)) {
            return p.prediction();
        }
    }

    /** A network whose answer is the readout's bias: a sampler of it is affine in the noise. */
    @Test
    void anAntitheticPairOfAConstantNetworkIsTheMean() {
        Model trained = Model.load(run);
        float[] bias = new float[VERTICES];
        for (int v = 0; v < VERTICES; v++) bias[v] = 0.1f * (v - 7);
        Model m = Model.of(trained.config(), name -> switch (name) {
            case "generator.head.bias" -> bias;
            case "generator.head.weight" -> new float[trained.values(name).length];
            default -> trained.values(name);
        });
        byte[] rgb = photographs(2);
        float[] mean = predict(m.predicting(MEAN, ""), CPU, 2, rgb);
        for (int i = 0; i < mean.length; i++) assertEquals(-bias[i % VERTICES], mean[i]);
        assertArrayEquals(mean, predict(m.predicting(change(1, 1), ""), CPU, 2, rgb));
        float[] pair = predict(m.predicting(change(10, 2), ""), CPU, 2, rgb);
        float[] two = predict(m.predicting(change(10, 4), ""), CPU, 2, rgb);
        for (int i = 0; i < pair.length; i++) {
            // The noise cancels; what v = bias leaves of the bias is the same at every vertex and for every noise.
            assertEquals(pair[0] / bias[0] * bias[i % VERTICES], pair[i], 1e-5);
            assertEquals(pair[i], two[i], 1e-5);
        }
    }

    @Test
    void evaluationOnTheDeviceAndOnTheHostAgreeAndSamplesAreScored() {
        int[] images = IntStream.range(0, 40).toArray();
        for (Sampling.Change c : List.of(MEAN, change(5, 4)))
            try (Ensemble device = Ensemble.load(List.of(run), CPU, 16, "", true, c, Precision.FP32);
                    Ensemble host = Ensemble.load(List.of(run), CPU, 16, "", false, c, Precision.FP32)) {
                double[] r = device.evaluate(size -> TOY, images).r();
                assertArrayEquals(host.evaluate(size -> TOY, images).r(), r, 1e-5);
                assertArrayEquals(device.evaluate(size -> TOY, images).r(), r, "again");
                if (c.equals(MEAN)) continue;
                SampleAccumulator samples = host.scorer(new int[] {1, 2, 4}).orElseThrow();
                PearsonAccumulator of = host.evaluate(size -> TOY, images, null, samples, null);
                assertArrayEquals(r, of.r(), 1e-5);
                assertArrayEquals(r, samples.ofAll().r(), 1e-5, "the mean of the samples is the prediction");
                SampleScores s = samples.scores(new int[0]);
                assertEquals(3, s.means().size());
                assertTrue(s.means().get(0).meanR() < s.means().get(1).meanR(), s.toString());
                assertTrue(s.spread() > 0, s.toString());
                assertNull(s.crps(), "of antithetic samples");
            }
    }

    /** The climatology is of the responses that the model was trained on, in their units. */
    @Test
    void independentSamplesHaveASkill() {
        Sampling.Change independent = new Sampling.Change(null, 5, List.of(3), true);
        int[] images = IntStream.range(0, 40).toArray();
        try (Ensemble e = Ensemble.load(List.of(run), CPU, 16, "", true, independent, Precision.FP32);
                Predictor p = model(independent).predictor(CPU, 1)) {
            assertEquals("mean of 3 samples, 5 DDIM steps, " + ZERO, e.prediction());
            SampleAccumulator samples = e.scorer(new int[] {3}).orElseThrow();
            e.evaluate(size -> TOY, images, null, samples, null);
            Crps crps = samples.scores(new int[0]).crps();
            float[][] drawn = drawn(e, images, 3);
            float[] mean = p.scaling().mean();
            ByteBuffer row = ByteBuffer.allocate(4 * VERTICES).order(ByteOrder.LITTLE_ENDIAN);
            for (int v = 0; v < VERTICES; v++) {
                double m = mean[v], s = p.scaling().scale(v), sum = 0, score = 0, largest = 0;
                for (int i : images) {
                    row.clear();
                    TOY.responses(i, row);
                    double y = row.getFloat(4 * v);
                    sum += normal((y - m) / s);
                    for (float[] x : drawn) {
                        double of = x[i * VERTICES + v];
                        score += Math.abs(of - y) / 3;
                        for (float[] other : drawn) score -= Math.abs(of - other[i * VERTICES + v]) / (2 * 3 * 2);
                        largest = Math.max(largest, Math.max(Math.abs(of), Math.abs(y)));
                    }
                }
                assertEquals(sum / images.length, crps.climatology()[v], 2 * STEP, "vertex " + v);
                // The sample in measured units and the response less its mean are rounded once each, by 2^-24 of what
                // is no larger than response and mean; a sample counts in its distances from the response and others.
                double rounding = 4 * (largest + Math.abs(m)) * 0x1p-24;
                assertEquals(score / images.length / s, crps.samples()[v], rounding / s, "vertex " + v);
            }
        }
    }

    /** The samples of some photographs in measured units, [samples][photographs, vertices]. */
    private static float[][] drawn(Ensemble e, int[] images, int samples) {
        float[][] all = new float[samples][images.length * VERTICES];
        float[] mean = new float[e.batch() * VERTICES];
        for (int at = 0; at < images.length; at += e.batch()) {
            int first = at, n = Math.min(e.batch(), images.length - at);
            e.predict(
                    (k, side, into) -> TOY.image(images[first + k], into),
                    n,
                    mean,
                    (k, x) -> System.arraycopy(x, 0, all[k], first * VERTICES, n * VERTICES));
        }
        return all;
    }

    /**
     * Of an integral. The jump at y is in its cell's middle, and so is the distribution: 1.5 steps of error at most.
     */
    private static final double STEP = 1e-3;

    /** The score of the standard normal distribution: the integral of the squared difference of the distributions. */
    private static double normal(double y) {
        double below = 0, sum = 0;
        for (double x = -8 + STEP / 2; x < 8; x += STEP) {
            below += STEP * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
            sum += STEP * Math.pow(below - (x > y ? 1 : 0), 2);
        }
        return sum;
    }

    /**
     * Responses to the four quarters of a photograph: a mean, which is linear in their brightness, and noise. The
     * correlation of a response with its mean is {@link #BOUND}.
     */
    private record Gaussian(int count, int leftVertices, int rightVertices) implements TrainingData {
        static final double BOUND = 0.7;

        @Override
        public void image(int i, ByteBuffer into) {
            new TrainerTest.Toy(count, leftVertices, rightVertices, 16).image(i, into);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            SplittableRandom levels = new SplittableRandom(i), noise = new SplittableRandom(~i);
            double[] u = new double[4];
            for (int q = 0; q < 4; q++) u[q] = (levels.nextInt(256) - 127.5) / 73.9;
            for (int v = 0; v < leftVertices + rightVertices; v++) {
                double angle = 0.7 * v;
                double mean = Math.cos(angle) * u[v % 4] + Math.sin(angle) * u[(v + 1) % 4];
                into.putFloat((float) (BOUND * mean + Math.sqrt(1 - BOUND * BOUND) * noise.nextGaussian()));
            }
        }
    }

    /** The r of samples of a trained model follows from that of its conditional mean. */
    @Test
    @Tag("slow")
    void samplesOfATrainedModelFollowTheLaw() {
        TrainingData data = new Gaussian(1000, 9, 11);
        Path folder = dir.resolve("gaussian");
        Recipe r = recipe(
                "train.epochs=30",
                "train.batch=32",
                "train.validation=0.3",
                "optimizer.ema=0.99",
                "model.generator.diffusion.sampling.antithetic=false");
        try (Trainer t = new Trainer(r, data, CPU, folder)) {
            t.run();
        }
        Path best = RunFolder.last(folder);
        int[] held = ImageSplit.of(Recipe.ofCheckpoint(best), 1000).validation();
        double ofMean;
        try (Ensemble e = Ensemble.load(List.of(best), CPU, 50, "", true, MEAN, Precision.FP32)) {
            ofMean = Metrics.mean(e.evaluate(size -> data, held).r());
        }
        // Five standard errors of a mean of 20 correlations over 300 photographs.
        double tolerance = 5 / Math.sqrt(VERTICES * (double) held.length);
        try (Ensemble e = Ensemble.load(List.of(best), CPU, 50, "", true, change(25, 4), Precision.FP32)) {
            SampleAccumulator samples = e.scorer(new int[] {1, 2, 4}).orElseThrow();
            e.evaluate(size -> data, held, null, samples, null);
            SampleScores s = samples.scores(new int[0]);
            double of = s.extrapolatedR();
            assertEquals(ofMean, of, tolerance, "the mean of infinitely many samples and the conditional mean");
            assertTrue(ofMean > 0.2, "the network has learned: " + ofMean);
            assertEquals(1, s.spread(), 0.2, "many steps from noise to responses lose no spread");
            for (SampleScores.Score k : s.means())
                assertEquals(
                        of * of / Math.sqrt(of * of + (1 - of * of) / k.samples()), k.meanR(), tolerance, k.toString());
        }
    }

    @Test
    void samplesAreInMeasuredUnitsAndTheirMeanIsThePrediction() {
        byte[] rgb = photographs(2);
        try (Ensemble e = Ensemble.load(List.of(run), CPU, 2, "", false, change(5, 3), Precision.FP32)) {
            float[] y = new float[2 * VERTICES], sum = new float[y.length];
            List<Integer> numbers = new ArrayList<>();
            e.predict((k, side, into) -> into.put(rgb, k * BYTES, BYTES), 2, y, (k, responses) -> {
                numbers.add(k);
                for (int i = 0; i < sum.length; i++) sum[i] += responses[i] / 3;
            });
            assertEquals(List.of(0, 1, 2), numbers);
            assertArrayEquals(y, sum, 1e-5f);
            assertArrayEquals(y, predict(model(change(5, 3)), CPU, 2, rgb), 1e-5f);
        }
    }

    @Test
    void severalModelsAndTheirAverage() {
        Path other = trained(dir.resolve("other"), "train.epochs=1"), soup = dir.resolve("soup.safetensors");
        ModelSoup.write(List.of(run, run), soup, note -> {});
        byte[] rgb = photographs(2);
        float[] want = predict(Model.load(run), CPU, 2, rgb);
        assertArrayEquals(want, predict(Model.load(soup), CPU, 2, rgb), "the average of a model and itself");
        try (Ensemble e = Ensemble.load(List.of(run, other), CPU, 2, "", true, change(5, 2), Precision.FP32)) {
            assertEquals("mean of 2 antithetic samples, 5 DDIM steps, " + ZERO, e.prediction());
            assertTrue(e.sampling().isEmpty());
            assertEquals(20, e.evaluate(size -> TOY, new int[] {1, 2, 3}).r().length);
        }
    }

    @Test
    void aModelWithAnotherReadoutHasOneWay() {
        Path folder = dir.resolve("dense");
        try (Trainer t = new Trainer(TrainerTest.recipe("train.epochs=1"), TOY, CPU, folder)) {
            t.run();
        }
        Model m = Model.load(RunFolder.last(folder));
        assertEquals("", prediction(m));
        InputException e = assertThrows(InputException.class, () -> m.predicting(MEAN, "dense/last.safetensors"));
        assertEquals(
                "dense/last.safetensors: predicts in one way: its readout is not diffusion. Leave --mode, --steps,"
                        + " --samples and --independent out",
                e.getMessage());
    }

    @Test
    void validationSaysHowItPredictsAndSamplesTwoHundredPhotographs(@TempDir Path folder) throws Exception {
        List<String> predictions = new ArrayList<>();
        TrainerTest.Toy large = new TrainerTest.Toy(500, 9, 11, 16);
        for (String mode : new String[] {"mean", "samples"}) {
            Recipe r = recipe(
                    "train.epochs=1",
                    "train.validation=0.5",
                    "train.freeze=backbone",
                    "model.generator.diffusion.sampling.validation=" + mode,
                    "model.generator.diffusion.sampling.steps=2");
            try (Trainer t = new Trainer(r, large, CPU, null);
                    RunFolder files = new RunFolder(folder.resolve(mode), r, CPU, Map.of(), 0)) {
                t.addListener(files);
                t.addListener(new TrainerListener() {
                    @Override
                    public void epoch(EpochResult e) {
                        assertTrue(Double.isFinite(e.validationMeanR()));
                        predictions.add(e.prediction());
                    }
                });
                t.run();
            }
            List<String> csv = Files.readAllLines(folder.resolve(mode).resolve("metrics.csv"));
            assertTrue(csv.get(0).contains("validation_prediction"), csv.get(0));
            assertTrue(csv.get(1).contains("t 999") == mode.equals("mean"), csv.get(1));
        }
        assertEquals(
                List.of(
                        "conditional mean (1 evaluation at t 999), " + ZERO,
                        "mean of 2 antithetic samples, 2 DDIM steps, " + ZERO + ", 200 photographs"),
                predictions);
    }

    @Test
    void aCheckpointHasNoVariablesOfSampling() {
        Recipe r = recipe("train.epochs=1", "model.generator.diffusion.sampling.validation=samples");
        try (Trainer t = new Trainer(r, TOY, CPU, dir.resolve("variables"))) {
            t.run();
            for (String name : t.variables())
                assertFalse(name.startsWith("sampling.") || name.startsWith("evaluation."), name);
        }
    }

    @Test
    void aPredictionAllocatesNothingAndNothingLeaks() {
        long live = Memory.live();
        try (Predictor p = model(change(2, 2)).predictor(CPU, 2)) {
            ByteBuffer rgb = ByteBuffer.allocateDirect(2 * BYTES);
            FloatBuffer y = ByteBuffer.allocateDirect(2 * VERTICES * 4).asFloatBuffer();
            com.sun.management.ThreadMXBean threads =
                    (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
            long me = Thread.currentThread().getId(), before = 0;
            for (int i = 0; i < 600; i++) {
                if (i == 599) before = threads.getThreadAllocatedBytes(me);
                p.predict(rgb, y.clear());
            }
            assertEquals(0, threads.getThreadAllocatedBytes(me) - before);
        }
        assertEquals(live, Memory.live());
    }
}
