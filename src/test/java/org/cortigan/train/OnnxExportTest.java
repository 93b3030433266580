// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BiFunction;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Model;
import org.cortigan.model.OnnxExport;
import org.cortigan.model.Predictor;
import org.cortigan.model.Sampling;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares exported models with our predictions, by ONNX Runtime. */
class OnnxExportTest {
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final int SIDE = 16;
    private static final String DIFFUSION = String.join("|", DiffusionTrainingTest.SMALL);
    private static final String UNET = "|" + String.join("|", DiffusionTrainingTest.SMALL_UNET);

    @TempDir
    static Path dir;

    /** A checkpoint of a short training whose parameters are far from their initial values, some of which are zero. */
    static Path trained(Path dir, String options, Map<String, TrainingData> data, int seed) {
        Recipe r = TrainerTest.recipe("train.epochs=1", "train.batch=16", "loss.gan_weight=0", "loss.pixel=mse")
                .with(List.of(options.split("\\|")));
        Path folder = dir.resolve(seed + "-" + Integer.toHexString(options.hashCode()));
        try (Trainer t = new Trainer(r, data, CPU, folder, line -> {})) {
            assertTrue(t.run());
        }
        Path random = folder.resolve("random.safetensors");
        Random noise = new Random(seed);
        try (SafeTensors t = SafeTensors.open(RunFolder.last(folder))) {
            SafeTensors.Writer w = new SafeTensors.Writer(random);
            t.metadata().forEach(w::metadata);
            for (String name : t.names()) {
                float[] x = t.floats(name);
                boolean isTrained = name.matches("(ema/)?generator\\..*(weight|bias|gamma|embed|embedding|token|time)");
                if (isTrained) for (int i = 0; i < x.length; i++) x[i] += (float) (0.1 * noise.nextGaussian());
                w.add(name, x, t.entry(name).shape());
            }
            w.commit();
        }
        return random;
    }

    private static Path trained(String options) {
        return trained(dir, options, Map.of("", TrainerTest.TOY), 1);
    }

    private static byte[] photographs(int n) {
        byte[] rgb = new byte[n * SIDE * SIDE * 3];
        new Random(7).nextBytes(rgb);
        return rgb;
    }

    /** What ONNX Runtime computes for n photographs, one row after another. */
    private static float[] computed(Path file, int n) {
        OrtEnvironment e = OrtEnvironment.getEnvironment();
        long[] shape = {n, SIDE, SIDE, 3};
        try (OrtSession s = e.createSession(file.toString());
                OnnxTensor x = OnnxTensor.createTensor(e, ByteBuffer.wrap(photographs(n)), shape, OnnxJavaType.UINT8);
                OrtSession.Result y = s.run(Map.of(OnnxExport.INPUT, x))) {
            float[][] rows = (float[][]) y.get(0).getValue();
            float[] all = new float[n * rows[0].length];
            for (int i = 0; i < n; i++) System.arraycopy(rows[i], 0, all, i * rows[0].length, rows[0].length);
            return all;
        } catch (OrtException x) {
            throw new IllegalStateException(x);
        }
    }

    private static Predictor predictor(Model m, String subject) {
        return m.predictor(CPU, 3, subject);
    }

    /**
     * Asserts that both compute the same. Either rounds about as often as it adds: a few hundred roundings of 2^-24 in
     * each sum, of which the larger part averages out, and the adding of the mean rounds once.
     */
    private static void agree(float[] want, float[] got, float[] mean) {
        assertEquals(want.length, got.length);
        double scale = 0;
        for (int i = 0; i < want.length; i++) scale = Math.max(scale, Math.abs(want[i] - mean[i % mean.length]));
        assertTrue(scale > 1e-3, "the predictions are the mean responses");
        for (int i = 0; i < want.length; i++)
            assertEquals(want[i], got[i], 1e-5 * scale + Math.ulp(mean[i % mean.length]), "response " + i);
    }

    private static void agree(Model m, String subject, Path file) {
        try (Predictor p = predictor(m, subject)) {
            for (int n : new int[] {1, 3})
                agree(p.predict(photographs(n)), computed(file, n), p.scaling().mean());
        }
    }

    private static Path export(Map<String, Model> models, String subject) {
        Path file = dir.resolve("model.onnx");
        assertEquals(List.of(file), OnnxExport.write(models, subject, "test", file));
        return file;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "model.generator.vit.pool=cls",
                "model.generator.vit.pool=mean|model.generator.features=8|model.generator.vit.layers=[1, 2]",
                "model.generator.vit.pool=tokens|model.generator.rank=5|model.generator.vit.embed=gabor",
                "model.generator.readout=position|model.generator.features=8|model.generator.vit.layers=[1, 2]"
                        + "|model.generator.vit.registers=2|model.generator.vit.pre_norm=true"
                        + "|model.generator.vit.layer_scale=true|model.generator.vit.activation=quick_gelu",
                "model.generator.readout=factorised|model.generator.features=8|model.generator.vit.lora_rank=2",
                "model.generator.readout=queries|model.generator.features=8|model.generator.query_heads=2"
                        + "|model.generator.vit.layers=[1, 2]|model.generator.queries=hemisphere",
                "model.generator.type=cnn|model.generator.cnn.channels=[4, 8]|model.generator.cnn.hidden=12",
                "model.generator.type=cnn|model.generator.cnn.channels=[4]|model.generator.cnn.embed=gabor"
                        + "|model.generator.readout=factorised|model.generator.features=8",
                "model.generator.type=unet|model.generator.unet.channels=[4, 8, 8]|model.generator.unet.hidden=12"
                        + "|model.generator.unet.groups=2",
                "model.generator.type=unet|model.generator.unet.channels=[4, 8, 8]|model.generator.unet.norm=batch"
                        + "|model.generator.readout=position|model.generator.features=8",
                "model.generator.type=gabor|model.generator.gabor.levels=2|model.generator.gabor.grids=[1, 2]"
                        + "|model.generator.gabor.hidden=[6, 0]",
                "model.generator.type=gabor|model.generator.gabor.levels=2|model.generator.gabor.grids=[4]"
                        + "|model.generator.gabor.hidden=[]|model.generator.gabor.sigma=0"
                        + "|model.generator.readout=position|model.generator.features=8"
            })
    void everyGeneratorPredictsTheSameElsewhere(String options) {
        Path checkpoint = trained(options);
        Model m = Model.load(checkpoint);
        agree(m, "", export(Map.of("model", m), ""));
    }

    @ParameterizedTest
    @ValueSource(strings = {"latent=patch|model.generator.sd.layers=[mid, up1]", "vae_channels=[4, 8]"})
    void stableDiffusionPredictsTheSameElsewhere(String options) {
        Model m = Model.load(trained("model.generator.type=sd|model.generator.features=8|model.generator.sd." + options
                + "|model.generator.sd.layers=[mid, up0, up1]|model.generator.readout=position" + UNET));
        agree(m, "", export(Map.of("model", m), ""));
    }

    @ParameterizedTest
    @ValueSource(strings = {"vertex", "conv"})
    void theConditionalMeanOfADiffusionModelIsTheSameAndItsSamplesAreRefused(String form) {
        Model m = Model.load(trained(DIFFUSION + "|model.generator.diffusion.interface=" + form
                + "|model.generator.diffusion.schedule=sd|model.generator.diffusion.terminal_share=0"));
        BiFunction<Sampling.Mode, String, Model> in =
                (mode, where) -> m.predicting(new Sampling.Change(mode, null, List.of()), where);
        agree(
                in.apply(Sampling.Mode.MEAN, "model"),
                "",
                export(Map.of("model", in.apply(Sampling.Mode.MEAN, "model")), ""));
        Model samples = in.apply(Sampling.Mode.SAMPLES, "model");
        String refusal = assertThrows(InputException.class, () -> export(Map.of("some.safetensors", samples), ""))
                .getMessage();
        assertTrue(refusal.contains("some.safetensors") && refusal.contains("--mode mean"), refusal);
    }

    @Test
    void eachSubjectHasItsHeadAndItsUnits() {
        Map<String, TrainingData> data = new LinkedHashMap<>();
        data.put("subj01", TrainerTest.TOY);
        data.put("subj02", TrainerTest.TOY);
        Model m = Model.load(trained(dir, "model.generator.vit.pool=cls", data, 3));
        for (String subject : data.keySet()) agree(m, subject, export(Map.of("model", m), subject));
        assertThrows(InputException.class, () -> export(Map.of("model", m), "subj03"));
    }

    @Test
    void theMeanOfSeveralModelsIsOneFile() {
        Map<String, Model> models = new LinkedHashMap<>();
        String cnn = "model.generator.type=cnn|model.generator.cnn.channels=[4, 8]|model.generator.cnn.hidden=12";
        for (int seed : new int[] {1, 2})
            models.put("model " + seed, Model.load(trained(dir, cnn, Map.of("", TrainerTest.TOY), seed)));
        models.put("vit", Model.load(trained("model.generator.vit.pool=cls")));
        float[] want = new float[3 * 20], mean = new float[20];
        for (Model m : models.values())
            try (Predictor p = predictor(m, "")) {
                float[] own = p.predict(photographs(3));
                for (int i = 0; i < want.length; i++) want[i] += own[i] / 3;
                for (int v = 0; v < 20; v++) mean[v] += p.scaling().mean()[v] / 3;
            }
        agree(want, computed(export(models, ""), 3), mean);
    }

    @Test
    void theFileNamesItsInputAndOutputAndOrigin() throws OrtException {
        Path file = export(Map.of("best", Model.load(trained("model.generator.vit.pool=cls"))), "");
        try (OrtSession s = OrtEnvironment.getEnvironment().createSession(file.toString())) {
            TensorInfo x = (TensorInfo) s.getInputInfo().get("images").getInfo(),
                    y = (TensorInfo) s.getOutputInfo().get("responses").getInfo();
            assertEquals("[-1, 16, 16, 3]", Arrays.toString(x.getShape()));
            assertEquals("[-1, 20]", Arrays.toString(y.getShape()));
            assertEquals(OnnxJavaType.UINT8, x.type);
            assertEquals("CortiGAN", s.getMetadata().getProducerName());
            assertEquals("9", s.getMetadata().getCustomMetadata().get("cortigan.left_vertices"));
            assertEquals("best", s.getMetadata().getCustomMetadata().get("cortigan.models"));
            assertTrue(s.getMetadata().getDescription().contains("11 of the right"));
        }
    }
}
