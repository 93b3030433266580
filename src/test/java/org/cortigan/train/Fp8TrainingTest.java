// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.SimDevice;
import org.cortigan.nn.Weights;
import org.cortigan.train.DeviceTrainingTest.Outcome;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training with products in FP8, on the simulated GPU. */
@Tag("slow")
class Fp8TrainingTest {
    /** 16 photographs of 17 tokens are 272 rows of a linear layer. */
    private static final TrainingData DATA = new TrainerTest.Toy(32, 5, 6, 16);

    private static Recipe recipe(String... options) {
        Recipe r = TrainerTest.recipe(
                "train.precision=fp8",
                "train.fp8_layers=all",
                "loss.correlation_eps=0.1", // or the r of the first predictions, which are flat, magnifies rounding
                "train.epochs=3",
                "train.batch=16",
                "train.validation=0",
                "model.generator.vit.patch=4",
                "model.generator.vit.width=16",
                "model.generator.vit.depth=2",
                "model.discriminator.mlp.hidden=[4]");
        for (String o : options) r = r.with(o);
        return r;
    }

    private static Outcome run(Recipe r) {
        return DeviceTrainingTest.run(r, DATA, new SimDevice(false), null, null, -1);
    }

    private static List<String> states(Outcome o) {
        return o.state().keySet().stream()
                .filter(k -> k.endsWith(Weights.FP8_STATE))
                .toList();
    }

    @Test
    void lossesStayNearThoseOfBf16() {
        for (String gan : new String[] {"0", "0.1"}) {
            // The second run has two micro-batches in a step, and low-rank updates beside the products in FP8.
            Recipe r = recipe("loss.gan_weight=" + gan);
            if (!gan.equals("0")) r = r.with("train.accumulate=2").with("model.generator.vit.lora_rank=4");
            Outcome fp8 = run(r), bf16 = run(r.with("train.precision=bf16"));
            assertEquals(List.of(), states(bf16));
            // two blocks of four layers, the last without all tokens in its queries, projection and MLP
            assertFalse(states(fp8).isEmpty());
            assertEquals(bf16.losses().size(), fp8.losses().size());
            for (int i = 0; i < fp8.losses().size(); i++) {
                double want = bf16.losses().get(i), got = fp8.losses().get(i);
                // Products of numbers with 3 bits of mantissa: an error of 2^-4 each, averaged over a sum's terms.
                assertEquals(want, got, 0x1p-4 * Math.abs(want), "step " + i + ", gan_weight " + gan);
            }
            for (String s : states(fp8)) {
                float[] f = fp8.state().get(s);
                assertEquals(1, f[0] * f[1], s);
                assertTrue(f[f.length - 1] > 0, "the last step left a magnitude: " + s);
            }
        }
    }

    @Test
    void aDiscriminatorsLayersKeepStatesToo() {
        Recipe r = recipe(
                "train.epochs=1",
                "loss.gan_weight=0.1",
                "model.discriminator.type=vit",
                "model.discriminator.per=all",
                "model.discriminator.spectral_norm=step",
                "model.discriminator.vit.patch=1",
                "model.discriminator.vit.width=32",
                "model.discriminator.vit.depth=2",
                "model.discriminator.vit.heads=2",
                "train.batch=32");
        Outcome o = run(r);
        assertTrue(
                states(o).stream().anyMatch(s -> s.startsWith("discriminator")),
                states(o).toString());
        for (double loss : o.losses()) assertTrue(Double.isFinite(loss));
    }

    @Test
    void aResumedRunGivesTheSameBits(@TempDir Path dir) {
        Recipe r = recipe();
        Device d = new SimDevice(false);
        Outcome whole = DeviceTrainingTest.run(r, DATA, d, null, null, -1);
        RunFolder.create(dir);
        Outcome part = DeviceTrainingTest.run(r, DATA, d, dir, null, 3);
        Outcome rest = DeviceTrainingTest.run(r, DATA, d, null, RunFolder.last(dir), -1);
        whole.state().forEach((k, v) -> assertArrayEquals(v, rest.state().get(k), k));
        List<Double> all = new ArrayList<>(part.losses());
        all.addAll(rest.losses());
        assertEquals(whole.losses(), all);
    }

    @Test
    void runsChangeBetweenBf16AndFp8(@TempDir Path dir) {
        Recipe fp8 = recipe(), bf16 = recipe("train.precision=bf16");
        for (Recipe first : List.of(fp8, bf16)) {
            Recipe second = first == fp8 ? bf16 : fp8;
            Path folder = dir.resolve(first == fp8 ? "fp8" : "bf16");
            RunFolder.create(folder);
            Device d = new SimDevice(false);
            DeviceTrainingTest.run(first, DATA, d, folder, null, 2);
            Outcome rest = DeviceTrainingTest.run(second, DATA, d, null, RunFolder.last(folder), -1);
            assertEquals(second == bf16, states(rest).isEmpty());
            for (double loss : rest.losses()) assertTrue(Double.isFinite(loss));
        }
    }

    @Test
    void aModelWithoutALayerThatFitsIsRefused() {
        InputException e = assertThrows(
                InputException.class,
                () -> new Trainer(recipe("train.batch=15"), DATA, new SimDevice(false), null).close());
        assertTrue(e.getMessage().contains("multiples of 16"), e.getMessage());
        assertThrows(
                InputException.class,
                () -> new Trainer(recipe("train.fp8_layers=large"), DATA, new SimDevice(false), null).close());
    }
}
