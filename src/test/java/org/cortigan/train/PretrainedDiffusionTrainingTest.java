// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.graph.Shape;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Init;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs that begin with the small Stable Diffusion of the golden files. */
class PretrainedDiffusionTrainingTest {
    private static final Device CPU = CpuDevice.best(2);
    private static final Path GOLDEN = Path.of("src/test/resources/sd");
    private static final String WEIGHTS = "diffusion_pytorch_model.safetensors";

    @TempDir
    Path dir;

    private Path folder;

    @BeforeEach
    void folderOfDiffusers() throws IOException {
        folder = dir.resolve("sd");
        for (String part : List.of("unet", "vae")) {
            Files.createDirectories(folder.resolve(part));
            SafeTensors.Writer w = new SafeTensors.Writer(folder.resolve(part).resolve(WEIGHTS));
            try (SafeTensors t = golden(part)) {
                for (String name : t.names()) {
                    if (name.startsWith("golden.")) continue;
                    ByteBuffer bytes = ByteBuffer.allocate((int) t.entry(name).bytes());
                    t.read(name, bytes);
                    w.add(name, t.entry(name).dtype(), t.entry(name).shape(), bytes.flip());
                }
            }
            w.commit();
        }
    }

    private static SafeTensors golden(String part) {
        return SafeTensors.open(GOLDEN.resolve("sd_" + part + "_diffusers.safetensors"));
    }

    private static Recipe recipe(String... options) {
        Recipe r = TestModels.recipe(
                "model.generator.image=16",
                "model.generator.features=16",
                "model.generator.sd_unet.channels=[32,64]",
                "model.generator.sd_unet.blocks=1",
                "model.generator.sd_unet.attention_levels=1",
                "model.generator.sd_unet.heads=4",
                "model.generator.sd_unet.context=24",
                "model.generator.sd_unet.groups=32",
                "loss.pixel=mse",
                "loss.correlation_weight=0",
                "loss.gan_weight=0",
                "train.batch=4",
                "train.epochs=1",
                "train.validation=0");
        for (String o : options) r = r.with(o);
        return r;
    }

    private Recipe backbone(String... options) {
        Recipe r = recipe(
                "model.generator.type=sd",
                "model.generator.readout=position",
                "model.generator.sd.vae_channels=[32,64]",
                "model.generator.sd.layers=[mid,up1]",
                "train.init=" + folder);
        for (String o : options) r = r.with(o);
        return r;
    }

    private Recipe readout(String... options) {
        Recipe r = recipe(
                "model.generator.vit.size=custom",
                "model.generator.vit.width=16",
                "model.generator.vit.depth=1",
                "model.generator.vit.heads=2",
                "model.generator.vit.patch=8",
                "model.generator.readout=diffusion",
                "model.generator.diffusion.grid=4",
                "train.init_unet=" + folder);
        for (String o : options) r = r.with(o);
        return r;
    }

    private static Trainer trainer(Recipe r, Path run, List<String> told) {
        return new Trainer(r, Map.of("", new TrainerTest.Toy(8, 3, 4, 16)), CPU, run, told::add);
    }

    private static int check(Trainer t, String part, String prefix) {
        int n = 0;
        try (SafeTensors golden = golden(part)) {
            for (String name : golden.names())
                if (t.variables().contains(prefix + name)) {
                    assertArrayEquals(golden.floats(name), t.variable(prefix + name), name);
                    n++;
                }
        }
        return n;
    }

    /** A run that resumes does not read the files. */
    private void assertRunsAndResumes(Recipe r) throws IOException {
        Path run = dir.resolve("run");
        RunFolder.create(run);
        try (Trainer t = trainer(r, run, new ArrayList<>())) {
            t.addListener(Listeners.onStep((step, loss) -> t.requestStop()));
            t.run();
        }
        for (String part : List.of("unet", "vae"))
            Files.delete(folder.resolve(part).resolve(WEIGHTS));
        try (Trainer t = trainer(r, run, new ArrayList<>())) {
            t.resume(RunFolder.last(run));
            assertEquals(List.of(), t.initialWeights());
            assertTrue(t.run());
        }
        try (Trainer t = trainer(r, null, new ArrayList<>())) {
            assertThrows(InputException.class, t::initialWeights);
        }
    }

    @Test
    void theBackboneBeginsWithTheFile() throws IOException {
        try (Trainer t = trainer(backbone(), null, new ArrayList<>())) {
            String notes = String.join("; ", t.initialWeights());
            assertTrue(notes.contains("the UNet of Stable Diffusion"), notes);
            assertTrue(notes.contains("the VAE of Stable Diffusion"), notes);
            assertTrue(check(t, "unet", "generator.unet.") > 150);
            assertTrue(check(t, "vae", "generator.vae.") > 50);
        }
        String other = assertThrows(InputException.class, () -> {
                    try (Trainer t = trainer(backbone("model.generator.sd_unet.context=32"), null, new ArrayList<>())) {
                        t.initialWeights();
                    }
                })
                .getMessage();
        assertTrue(other.contains("Give -o model.generator.sd_unet.context=24"), other);
        try (Trainer t = trainer(backbone("model.generator.sd.tokens=77"), null, new ArrayList<>())) {
            String notes = String.join("; ", t.initialWeights());
            assertTrue(
                    notes.contains("no text encoder: the 77 tokens that the UNet attends to begin at random"), notes);
            float[] random = Init.VIT.make(Shape.of(77, 24), 0, "generator.token");
            assertArrayEquals(random, t.variable("generator.token"));
        }
        assertRunsAndResumes(backbone());
    }

    @Test
    void theReadoutBeginsWithTheFile() throws IOException {
        try (Trainer t = trainer(readout(), null, new ArrayList<>())) {
            String notes = String.join("; ", t.initialWeights());
            assertTrue(notes.contains("the UNet of Stable Diffusion"), notes);
            assertTrue(check(t, "unet", "generator.denoiser.") > 200);
            try (SafeTensors golden = golden("unet")) {
                float[] position = t.variable("generator.cells.position"), bias = golden.floats("conv_in.bias");
                for (int i = 0; i < position.length; i++) assertEquals(bias[i % 32], position[i]);
                float[] e = t.variable("generator.head.embedding"), w = golden.floats("conv_in.weight");
                float[] random = Init.normal(1).make(Shape.of(7, 32), 0, "generator.head.embedding");
                double scale = e[0] / random[0];
                for (int k = 0; k < 32; k++) {
                    double ratio = Math.abs(e[k] / random[k] / scale), sum = 0, first = 0;
                    for (int i = 0; i < 36; i++) {
                        sum += Math.pow(w[k * 36 + i], 2);
                        first += Math.pow(w[i], 2);
                    }
                    assertEquals(Math.sqrt(sum / first), ratio, 1e-5 * ratio);
                }
            }
        }
        assertRunsAndResumes(readout());
    }

    @Test
    void oneOfTwoFilesGivesTheUnet() {
        Path run = dir.resolve("run");
        RunFolder.create(run);
        try (Trainer t = trainer(readout(), run, new ArrayList<>())) {
            t.run();
        }
        try (Trainer t = trainer(readout("train.init=" + run), null, new ArrayList<>())) {
            String message =
                    assertThrows(InputException.class, t::initialWeights).getMessage();
            assertTrue(message.contains("'train.init_unet'"), message);
            assertTrue(message.contains("Leave one of them out"), message);
        }
    }
}
