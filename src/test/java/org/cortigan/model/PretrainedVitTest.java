// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.exec.CpuDevice;
import org.cortigan.graph.DType;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares the features of pretrained ViTs with PyTorch's (tools/golden_models.py). */
class PretrainedVitTest {
    private static final Path GOLDEN = Path.of("src/test/resources/models");

    private static Generator generator(Vit.Pool pool) {
        return generator(24, pool);
    }

    private static Generator generator(int width, Vit.Pool pool) {
        return TestModels.generator(
                "image=32",
                "vit.patch=8",
                "vit.width=" + width,
                "vit.depth=2",
                "vit.heads=4",
                "vit.pool=" + pool.name().toLowerCase(java.util.Locale.ROOT));
    }

    private static ModelConfig model(Generator g) {
        return TestModels.model(g, TestModels.discriminator(), 2, 3);
    }

    private static void check(String file, Generator g, String expected, List<String> unexpected) {
        PretrainedVit p = PretrainedVit.load(GOLDEN.resolve(file), model(g));
        assertEquals(List.of("head.weight", "head.bias"), p.missing());
        assertEquals(unexpected, p.unexpected().stream().sorted().toList());
        Map<String, float[]> w = new HashMap<>(p.values());
        for (Weights.Spec s : model(g).generatorWeights(DType.F32).specs())
            w.putIfAbsent(s.name(), new float[(int) s.shape().elements()]);
        Model m = Model.of(model(g), w);
        try (SafeTensors t = SafeTensors.open(GOLDEN.resolve(file));
                Predictor f = m.featureExtractor(CpuDevice.best(2), 3)) {
            ByteBuffer rgb = ByteBuffer.allocate(3 * 32 * 32 * 3);
            t.read("golden.images", rgb);
            float[] want = t.floats(expected), got = f.predict(rgb.array());
            // two blocks of float sums of up to 192 terms, after norms that keep values near 1: 2 * 192 * 2^-24, times
            // a few
            assertArrayEquals(want, got, 2 * 192 * 0x1p-24f * 4);
            double size = 0;
            for (float x : want) size += x * x;
            assertTrue(size > 1, "the golden features are not zero");
        }
    }

    @Test
    void featuresOfTimmFilesMatchPyTorch() {
        check(
                "vit_timm.safetensors",
                generator(Vit.Pool.CLS),
                "golden.cls",
                List.of("golden.cls", "golden.images", "golden.mean"));
        check(
                "vit_timm.safetensors",
                generator(Vit.Pool.MEAN),
                "golden.mean",
                List.of("golden.cls", "golden.images", "golden.mean"));
    }

    @Test
    void theMeanOfAllTokensMatchesPyTorch() {
        Path file = GOLDEN.resolve("vit_timm.safetensors");
        ModelConfig config = model(generator(Vit.Pool.TOKENS));
        Map<String, float[]> w = new HashMap<>(PretrainedVit.load(file, config).values());
        for (Weights.Spec s : config.generatorWeights(DType.F32).specs())
            w.putIfAbsent(s.name(), new float[(int) s.shape().elements()]);
        try (SafeTensors t = SafeTensors.open(file);
                Predictor f = Model.of(config, w).featureExtractor(CpuDevice.best(2), 3)) {
            ByteBuffer rgb = ByteBuffer.allocate(3 * 32 * 32 * 3);
            t.read("golden.images", rgb);
            float[] want = t.floats("golden.mean"), tokens = f.predict(rgb.array());
            assertEquals(16 * want.length, tokens.length);
            float[] got = new float[want.length];
            for (int i = 0; i < 3; i++)
                for (int k = 0; k < 16 * 24; k++) got[i * 24 + k % 24] += tokens[i * 16 * 24 + k] / 16;
            // the tolerance of the features, and 16 more terms
            assertArrayEquals(want, got, 2 * (192 + 16) * 0x1p-24f * 4);
        }
    }

    @Test
    void featuresOfHuggingFaceFilesMatchPyTorch() {
        check("vit_hf.safetensors", generator(Vit.Pool.CLS), "golden.cls", List.of("golden.cls", "golden.images"));
    }

    @Test
    void positionsOfAnotherGridAreInterpolatedAsInPyTorch() {
        check("vit_timm_48.safetensors", generator(Vit.Pool.CLS), "golden.cls", List.of("golden.cls", "golden.images"));
    }

    @Test
    void aVitThatReadsEnergiesIsRefused() {
        ModelConfig energies = model(TestModels.generator("image=32", "vit.patch=8", "vit.embed=gabor"));
        InputException e = assertThrows(
                InputException.class, () -> PretrainedVit.load(GOLDEN.resolve("vit_timm.safetensors"), energies));
        assertTrue(e.getMessage().contains("Set model.generator.vit.embed to pixels"), e.getMessage());
    }

    @Test
    void aMismatchedFileIsRefusedByName(@TempDir Path dir) {
        ModelConfig wide = model(generator(48, Vit.Pool.CLS));
        InputException e = assertThrows(
                InputException.class, () -> PretrainedVit.load(GOLDEN.resolve("vit_timm.safetensors"), wide));
        assertTrue(
                e.getMessage().contains("does not fit generator.")
                        && e.getMessage().contains("width"),
                e.getMessage());
        Path other = dir.resolve("other.safetensors");
        new SafeTensors.Writer(other).add("conv1.weight", new float[4], 2, 2).commit();
        e = assertThrows(InputException.class, () -> PretrainedVit.load(other, model(generator(Vit.Pool.CLS))));
        assertTrue(e.getMessage().contains("conv1.weight"), e.getMessage());
    }
}
