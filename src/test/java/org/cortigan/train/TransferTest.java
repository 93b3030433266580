// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.io.AtomicFiles;
import org.cortigan.model.Model;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A run that begins with the weights of another run. */
class TransferTest {
    private static final Device CPU = CpuDevice.best(2);
    private static final QueryRegionsTest.Rois
            FIRST = new QueryRegionsTest.Rois(new TrainerTest.Toy(8, 3, 4, 16), QueryRegionsTest.roi("early", 0, 3)),
            SECOND = new QueryRegionsTest.Rois(new TrainerTest.Toy(8, 2, 3, 16), QueryRegionsTest.roi("late", 1, 2)),
            NEW =
                    new QueryRegionsTest.Rois(
                            new TrainerTest.Toy(9, 2, 2, 16),
                            QueryRegionsTest.roi("early", 1),
                            QueryRegionsTest.roi("word", 2));

    private static Recipe recipe(String... options) {
        Recipe r = QueryRegionsTest.recipe("train.validation=0", "model.generator.vit.depth=1", "optimizer.ema=0.5");
        for (String o : options) r = r.with(o);
        return r;
    }

    private static Path trained(Recipe r, Map<String, QueryRegionsTest.Rois> data, Path folder) {
        RunFolder.create(folder);
        try (Trainer t = new Trainer(r, data, CPU, folder, line -> {})) {
            assertTrue(t.run());
        }
        return folder;
    }

    private static Path ofTwo(Path folder) {
        Map<String, QueryRegionsTest.Rois> data = new LinkedHashMap<>();
        data.put("subj01", FIRST);
        data.put("subj02", SECOND);
        return trained(recipe(), data, folder);
    }

    private static Path ofOne(Recipe r, Path folder) {
        return trained(r, Map.of("", FIRST), folder);
    }

    private static Trainer trainer(Recipe r, Path folder, List<String> told) {
        return new Trainer(r, Map.of("", NEW), CPU, folder, told::add);
    }

    @Test
    void aNewSubjectBeginsWithWhatTheOthersShared(@TempDir Path dir) {
        Path run = ofTwo(dir.resolve("run"));
        Map<String, float[]> old = TestModels.values(Model.load(RunFolder.last(run)));
        Recipe r = recipe("train.init=" + run);
        List<String> told = new ArrayList<>();
        try (Trainer t = trainer(r, null, told);
                Trainer scratch = trainer(recipe(), null, new ArrayList<>())) {
            assertEquals(List.of(), t.initialWeights());
            int shared = 0;
            for (String name : t.variables()) {
                float[] want = old.get(name);
                if (!name.startsWith("generator.") || name.contains("@")) continue;
                if (name.startsWith("generator.head.")) want = scratch.variable(name);
                if (want == null) continue; // an optimizer's moment
                if (name.equals("generator.pos_embed")) {
                    want = want.clone();
                    float[] a = old.get("generator.subject.subj01"), b = old.get("generator.subject.subj02");
                    for (int i = 0; i < want.length; i++)
                        want[i] += (float) (((double) a[i % a.length] + b[i % a.length]) / 2);
                }
                assertArrayEquals(want, t.variable(name), name);
                if (t.variables().contains("ema/" + name)) assertArrayEquals(want, t.variable("ema/" + name), name);
                shared++;
            }
            assertTrue(shared > 30, shared + " parameters");
            assertTrue(told.toString().contains("all that subjects share of " + run), told.toString());
            // "late" has no vertices of the new subject, and "word" no query: it joins the remainder.
            assertTrue(t.run());
            assertTrue(told.contains("no vertex reads these queries: late"), told.toString());
            assertArrayEquals(new float[] {2, 0, 3, 3}, t.variable("generator.head.region"));
        }
    }

    @Test
    void theTokenOfStableDiffusionTakesTheMeanOfTheVectors(@TempDir Path dir) {
        String[] options = {
            "model.generator.type=sd",
            "model.generator.readout=dense",
            "model.generator.sd.latent=patch",
            "model.generator.sd.layers=[mid]",
            "model.generator.sd_unet.channels=[8, 16]",
            "model.generator.sd_unet.blocks=1",
            "model.generator.sd_unet.attention_levels=1",
            "model.generator.sd_unet.heads=2",
            "model.generator.sd_unet.context=6",
            "model.generator.sd_unet.groups=4"
        };
        Map<String, QueryRegionsTest.Rois> data = new LinkedHashMap<>();
        data.put("subj01", FIRST);
        data.put("subj02", SECOND);
        Path run = trained(recipe(options), data, dir.resolve("run"));
        Map<String, float[]> old = TestModels.values(Model.load(RunFolder.last(run)));
        float[] want = old.get("generator.token").clone();
        float[] a = old.get("generator.subject.subj01"), b = old.get("generator.subject.subj02");
        assertEquals(want.length, a.length);
        for (int i = 0; i < want.length; i++) want[i] += (float) (((double) a[i] + b[i]) / 2);
        assertFalse(Arrays.equals(want, old.get("generator.token")));
        try (Trainer t = trainer(recipe(options).with("train.init", run.toString()), null, new ArrayList<>())) {
            assertArrayEquals(want, t.variable("generator.token"));
            for (String same : List.of("unet.conv_in.weight", "patch.weight"))
                assertArrayEquals(old.get("generator." + same), t.variable("generator." + same), same);
        }
    }

    @Test
    void otherBackbonesOfSeveralSubjectsAreRefused(@TempDir Path dir) {
        String[] cnn = {
            "model.generator.type=cnn", "model.generator.readout=dense", "model.generator.cnn.channels=[4, 8]"
        };
        Map<String, QueryRegionsTest.Rois> data = new LinkedHashMap<>();
        data.put("subj01", FIRST);
        data.put("subj02", SECOND);
        Path run = trained(recipe(cnn), data, dir.resolve("run"));
        try (Trainer t = trainer(recipe(cnn).with("train.init", run.toString()), null, new ArrayList<>())) {
            String message =
                    assertThrows(InputException.class, t::initialWeights).getMessage();
            assertTrue(message.contains("only a vit or sd can begin with their mean"), message);
        }
    }

    /** A model's values stay in its file, which may be deleted or replaced by another. */
    @Test
    void aModelOutlivesTheNameOfItsFile(@TempDir Path dir) throws IOException {
        Path run = ofOne(recipe(), dir.resolve("run"));
        Path file = RunFolder.last(run), copy = Files.copy(file, dir.resolve("copy.safetensors"));
        Model kept = Model.load(copy), other = Model.load(copy);
        AtomicFiles.writeString(copy, "replaced");
        Map<String, float[]> want = TestModels.values(Model.load(file));
        Files.delete(copy);
        for (Model m : List.of(kept, other)) {
            Map<String, float[]> got = TestModels.values(m);
            assertEquals(want.keySet(), got.keySet());
            want.forEach((name, values) -> assertArrayEquals(values, got.get(name), name));
        }
        assertEquals(want.values().stream().mapToLong(v -> v.length).sum(), kept.parameters());
        assertEquals(0, kept.elements("generator.absent"));
    }

    @Test
    void aPretrainedUnetNeedsAReadoutThatDenoises() {
        try (Trainer t = trainer(recipe("train.init_unet=sd"), null, new ArrayList<>())) {
            String message =
                    assertThrows(InputException.class, t::initialWeights).getMessage();
            assertTrue(message.contains("'train.init_unet'"), message);
            assertTrue(message.contains("Set model.generator.readout to diffusion"), message);
        }
    }

    @Test
    void severalNewSubjectsKeepOneBackbone(@TempDir Path dir) {
        Path run = ofOne(recipe(), dir.resolve("run"));
        Map<String, float[]> old = TestModels.values(Model.load(RunFolder.last(run)));
        Map<String, QueryRegionsTest.Rois> data = new LinkedHashMap<>();
        data.put("subj03", SECOND);
        data.put("subj04", NEW);
        try (Trainer t = new Trainer(recipe("train.init=" + RunFolder.last(run)), data, CPU, null, line -> {})) {
            for (String name : List.of("pos_embed", "blocks.0.attn.qkv.weight", "queries.embed"))
                assertArrayEquals(old.get("generator." + name), t.variable("generator." + name));
            assertTrue(t.run());
        }
    }

    @Test
    void aResumedRunNeedsNoInitialWeights(@TempDir Path dir) throws IOException {
        Path run = ofTwo(dir.resolve("run"));
        Recipe r = recipe("train.init=" + run);
        Path folder = dir.resolve("new");
        RunFolder.create(folder);
        Map<String, float[]> whole = new LinkedHashMap<>();
        try (Trainer t = trainer(r, null, new ArrayList<>())) {
            t.run();
            for (String v : t.variables()) whole.put(v, t.variable(v));
        }
        try (Trainer t = trainer(r, folder, new ArrayList<>())) {
            t.addListener(Listeners.onStep((step, loss) -> t.requestStop()));
            t.run();
        }
        for (String file : List.of("last", "best")) Files.deleteIfExists(run.resolve(file + ".safetensors"));
        assertThrows(
                InputException.class, () -> trainer(r, null, new ArrayList<>()).close());
        Recipe named = QueryRegions.namedLike(RunFolder.last(folder), r);
        try (Trainer t = trainer(named, folder, new ArrayList<>())) {
            t.resume(RunFolder.last(folder));
            assertTrue(t.run());
            assertEquals(whole.keySet(), Map.copyOf(whole).keySet());
            whole.forEach((name, values) -> assertArrayEquals(values, t.variable(name), name));
        }
    }

    @Test
    void anotherBackboneIsRefusedWithEveryKeyThatDiffers(@TempDir Path dir) {
        Path run = ofOne(recipe(), dir.resolve("run"));
        Recipe other = recipe(
                "train.init=" + run,
                "model.generator.vit.width=24",
                "model.generator.mean=[0, 0, 0]",
                "model.generator.dropout=0.3");
        try (Trainer t = trainer(other, null, new ArrayList<>())) {
            String message =
                    assertThrows(InputException.class, t::initialWeights).getMessage();
            for (String part : new String[] {
                "model.generator.vit.width is 24, the checkpoint has 16",
                "-o model.generator.vit.width=16",
                "-o model.generator.mean=[0.5,0.5,0.5]"
            }) assertTrue(message.contains(part), message);
            assertFalse(message.contains("dropout"), message);
        }
        Recipe cnn = recipe("train.init=" + run, "model.generator.type=cnn");
        try (Trainer t = trainer(cnn, null, new ArrayList<>())) {
            String message =
                    assertThrows(InputException.class, t::initialWeights).getMessage();
            assertTrue(message.contains("-o model.generator.type=\"vit\""), message);
        }
    }

    @Test
    void anotherReadoutBeginsAnew(@TempDir Path dir) {
        Path run = ofOne(recipe(), dir.resolve("run"));
        Map<String, float[]> old = TestModels.values(Model.load(RunFolder.last(run)));
        List<String> told = new ArrayList<>();
        try (Trainer t = trainer(recipe("train.init=" + run, "model.generator.readout=position"), null, told)) {
            assertArrayEquals(old.get("generator.norm.weight"), t.variable("generator.norm.weight"));
            assertFalse(Arrays.equals(old.get("generator.readout.1.weight"), t.variable("generator.readout.1.weight")));
            assertTrue(
                    told.toString().contains("readout begins anew: ")
                            && told.toString().contains("model.generator.readout is \"position\""),
                    told.toString());
        }
    }

    @Test
    void standardisationIsThatOfTheOtherRun(@TempDir Path dir) {
        String[] gabor = {
            "model.generator.type=gabor",
            "model.generator.readout=dense",
            "model.generator.gabor.levels=2",
            "model.generator.gabor.grids=[1, 2]",
            "model.generator.gabor.hidden=[6, 7]"
        };
        Path run = ofOne(recipe(gabor), dir.resolve("run"));
        float[] scale = Model.load(RunFolder.last(run)).values("generator.norm.scale");
        try (Trainer t = trainer(recipe(gabor).with("train.init", run.toString()), null, new ArrayList<>())) {
            assertTrue(t.run());
            assertArrayEquals(scale, t.variable("generator.norm.scale"));
        }
    }
}
