// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.exec.SimDevice;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.model.AttentionScores;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.Sampling;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;
import org.cortigan.op.Op;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Predictions with products in bf16, on the simulated card: not every processor has bf16. */
class PredictionPrecisionTest {
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final int PHOTOGRAPHS = 4;
    private static final String DIFFUSION = String.join(" ", DiffusionTrainingTest.SMALL);
    private static final String UNET = " " + String.join(" ", DiffusionTrainingTest.SMALL_UNET);
    private static final String VIT = "model.generator.type=vit";
    private static final Sampling.Change FEW = new Sampling.Change(null, 2, List.of(2));

    @TempDir
    static Path dir;

    private static Path trained(String options) {
        return trained(options, Map.of("", TrainerTest.TOY));
    }

    private static Path trained(String options, Map<String, TrainingData> data) {
        Recipe r = TrainerTest.recipe("train.epochs=2", "train.batch=16", "loss.gan_weight=0")
                .with(List.of(options.split("(?<!,) ")));
        Path folder = dir.resolve(Integer.toHexString(options.hashCode()));
        try (Trainer t = new Trainer(r, data, CPU, folder, line -> {})) {
            assertTrue(t.run());
        }
        return RunFolder.last(folder);
    }

    /** What a predictor computes; of responses before their means are added. */
    private static float[] predicted(Function<Device, Predictor> predictor, Device d) {
        try (Predictor p = predictor.apply(d)) {
            for (int i = 0; i < PHOTOGRAPHS; i++)
                TrainerTest.TOY.image(i, p.imageBytesOfBatch().position(i * 16 * 16 * 3));
            p.run();
            float[] y = new float[PHOTOGRAPHS * p.columns()];
            p.read(y, 0, PHOTOGRAPHS);
            return y;
        }
    }

    /** The largest number of roundings to bf16 in a row from a photograph to a response. */
    private static int roundings(ModelConfig m) {
        Graph g = new Graph();
        Generator generator = m.generator();
        ModelConfig.Subject s = m.subjects().get(0);
        Weights w = Weights.in(g, DType.BF16, Generator.PREFIX, false, Weights.Use.PREDICT);
        Value y = generator.responses(w, generator.images(g, 1), s.name(), s.vertices());
        Map<Node, Integer> roundings = new HashMap<>();
        for (Node n : g.nodes()) {
            int before = n.inputs().stream()
                    .mapToInt(v -> roundings.get(v.node()))
                    .max()
                    .orElse(0);
            boolean rounds = n.outputs().stream().anyMatch(v -> v.dtype() == DType.BF16)
                    && !(n.op() instanceof Leaf)
                    && !(n.op() instanceof Op.View);
            roundings.put(n, before + (rounds ? 1 : 0));
        }
        return roundings.get(y.node());
    }

    private static double norm(float[] x) {
        double squares = 0;
        for (float f : x) squares += (double) f * f;
        return Math.sqrt(squares);
    }

    /**
     * Asserts that predictions in bf16 differ from those in fp32, but by little.
     *
     * @param evaluations of the network in a row
     */
    private static void nearlyAgree(Model m, int evaluations) {
        for (ModelConfig.Subject s : m.config().subjects())
            nearlyAgree(m, evaluations, of -> d -> of.predictor(d, PHOTOGRAPHS, s.name()));
    }

    /** @param form makes a predictor of the responses, or of what is computed on the way to them */
    private static void nearlyAgree(Model m, int evaluations, Function<Model, Function<Device, Predictor>> form) {
        Model bf16 = m.predicting(Precision.BF16);
        try (Device sim = new SimDevice(false)) {
            float[] want = predicted(form.apply(m), sim), got = predicted(form.apply(bf16), sim);
            assertFalse(Arrays.equals(want, got), "in bf16 nothing is rounded");
            assertArrayEquals(got, predicted(form.apply(bf16), sim), "again");
            assertArrayEquals(want, predicted(form.apply(bf16.predicting(Precision.FP32)), sim));
            float[] difference = new float[want.length];
            for (int i = 0; i < want.length; i++) difference[i] = got[i] - want[i];
            // Each rounding is of 2^-8 at most, and so is that of the weight which reads the rounded value. They add up
            // like a random walk.
            double bound = Math.sqrt(2.0 * evaluations * roundings(m.config())) * 0x1p-8;
            double error = norm(difference) / norm(want);
            assertTrue(error < bound, error + " is more than " + bound);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "model.generator.readout=position model.generator.features=8",
                "model.generator.readout=position model.generator.features=8 model.generator.vit.layers=[1, 2]",
                "model.generator.readout=factorised model.generator.features=8",
                "model.generator.type=cnn model.generator.cnn.channels=[4, 8] model.generator.cnn.hidden=12",
                "model.generator.type=unet model.generator.unet.channels=[4, 8, 8] model.generator.unet.decoder=2"
                        + " model.generator.unet.hidden=12 model.generator.unet.norm=batch"
            })
    void predictionsNearlyAgree(String options) {
        nearlyAgree(Model.load(trained(options)), 1);
    }

    @Test
    void stableDiffusionAndItsFeaturesNearlyAgree() {
        Model m = Model.load(trained("model.generator.type=sd model.generator.sd.layers=[mid, up1]"
                + " model.generator.sd.vae_channels=[8, 16] model.generator.readout=position"
                + " model.generator.features=8" + UNET));
        assertTrue(m.names().stream().anyMatch(name -> name.startsWith("generator.vae.")), "latent: vae");
        nearlyAgree(m, 1);
    }

    @Test
    void featuresNearlyAgree() {
        nearlyAgree(Model.load(trained(VIT)), 1, of -> d -> of.featureExtractor(d, PHOTOGRAPHS));
    }

    @Test
    void twoSubjectsWithMovingAveragesAndMergedUpdatesNearlyAgree() {
        Map<String, TrainingData> data = new LinkedHashMap<>();
        data.put("subj01", TrainerTest.TOY);
        data.put("subj02", new TrainerTest.Toy(48, 5, 6, 16));
        Model m = Model.load(trained("optimizer.ema=0.5 model.generator.vit.lora_rank=2", data));
        assertEquals(2, m.config().subjects().size());
        assertTrue(m.names().stream().noneMatch(Lora::isUpdate));
        nearlyAgree(m, 1);
    }

    /** The softmax magnifies an absolute error of a score: no product of queries and keys is rounded to bf16. */
    @Test
    void attentionMapsNearlyAgree() {
        Model m = Model.load(trained("model.generator.readout=queries model.generator.features=8"
                + " model.generator.query_heads=2 model.generator.queries=hemisphere"
                + " model.generator.query_regions=[lh, rh]"));
        nearlyAgree(m, 1);
        Function<Model, Function<Device, Predictor>> form = of -> d -> of.attention(d, PHOTOGRAPHS, "");
        nearlyAgree(m, 1, form);
        try (Device sim = new SimDevice(false);
                Predictor p = m.attention(sim, PHOTOGRAPHS, "")) {
            float[] want = predicted(form.apply(m), sim),
                    got = predicted(form.apply(m.predicting(Precision.BF16)), sim);
            long rounded = IntStream.range(0, got.length)
                    .filter(i -> (Float.floatToRawIntBits(got[i]) & 0xffff) == 0)
                    .count();
            assertTrue(rounded < got.length / 10, rounded + " of " + got.length + " scores are numbers of bf16");
            AttentionScores s = p.attention();
            float[] of = new float[s.elements()], other = new float[s.elements()];
            double error = 0;
            for (int i = 0; i < want.length; i++) error = Math.max(error, s.scale() * Math.abs(want[i] - got[i]));
            for (int k = 0; k < PHOTOGRAPHS; k++) {
                s.maps(want, k * p.columns(), of);
                s.maps(got, k * p.columns(), other);
                // Numerator and denominator of a share change by a factor of exp(error) at most; maps are in float.
                for (int i = 0; i < of.length; i++)
                    assertEquals(of[i], other[i], of[i] * (Math.expm1(2 * error) + 0x1p-22), "share " + i);
                assertFalse(Arrays.equals(of, other));
            }
        }
    }

    @Test
    void meansOfDiffusionModelsNearlyAgree() {
        for (String in : List.of("", " model.generator.diffusion.interface=conv")) {
            Model m = Model.load(trained(DIFFUSION + in));
            nearlyAgree(m.predicting(new Sampling.Change(Sampling.Mode.MEAN, null, List.of()), ""), 1);
            nearlyAgree(m.predicting(FEW, ""), 2);
        }
    }

    @Test
    void everyCorrelationSaysThePrecision() {
        Path plain = trained(VIT), diffusion = trained(DIFFUSION);
        int[] images = IntStream.range(0, 10).toArray();
        try (Device sim = new SimDevice(false)) {
            try (Ensemble fp32 = Ensemble.load(List.of(plain), sim, 4, "", true);
                    Ensemble bf16 =
                            Ensemble.load(List.of(plain), sim, 4, "", true, Sampling.Change.NONE, Precision.BF16);
                    Ensemble host =
                            Ensemble.load(List.of(plain), sim, 4, "", false, Sampling.Change.NONE, Precision.BF16)) {
                assertEquals("", fp32.prediction());
                assertEquals("products in bf16", bf16.prediction());
                double[] r = bf16.evaluate(size -> TrainerTest.TOY, images).r();
                assertFalse(Arrays.equals(
                        fp32.evaluate(size -> TrainerTest.TOY, images).r(), r));
                // The moments on the device and on the host are those of the same f32 predictions.
                assertArrayEquals(host.evaluate(size -> TrainerTest.TOY, images).r(), r, 1e-5);
            }
            try (Ensemble bf16 = Ensemble.load(List.of(diffusion), sim, 4, "", true, FEW, Precision.BF16)) {
                assertEquals(
                        "mean of 2 antithetic samples, 2 DDIM steps, v, zero terminal SNR, products in bf16",
                        bf16.prediction());
            }
        }
    }

    private static String refused(Model m, Precision p, Device d) {
        return assertThrows(
                        InputException.class,
                        () -> m.predicting(p).predictor(d, 1).close())
                .getMessage();
    }

    @Test
    void whatADeviceLacksIsRefused() {
        Model m = Model.load(trained(VIT));
        try (Device sim = new SimDevice(false)) {
            String fp8 = refused(m, Precision.FP8, sim), tf32 = refused(m, Precision.TF32, sim);
            assertTrue(fp8.contains("--precision fp8") && fp8.contains("Use bf16, tf32 or fp32"), fp8);
            assertTrue(tf32.contains("--precision") && tf32.contains("tf32 needs an NVIDIA GPU"), tf32);
        }
        if (CPU.supportsBf16()) nearlyAgree(m, 1);
        else assertTrue(refused(m, Precision.BF16, CPU).contains("--precision: bf16 needs a CPU with avx512bf16"));
    }
}
