// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.train.States.same;
import static org.cortigan.train.States.state;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import javax.imageio.ImageIO;
import org.cortigan.InputException;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.SimDevice;
import org.cortigan.experiment.PredictionFiles;
import org.cortigan.graph.DType;
import org.cortigan.io.NpyFile;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.model.Queries;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QueryRegionsTest {
    private static final Device CPU = CpuDevice.best(2);

    /** Data with ROIs, which overlap and leave vertices out. */
    record Rois(TrainerTest.Toy all, Region... rois) implements TrainingData {
        @Override
        public int count() {
            return all.count();
        }

        @Override
        public int leftVertices() {
            return all.leftVertices();
        }

        @Override
        public int rightVertices() {
            return all.rightVertices();
        }

        @Override
        public void image(int i, ByteBuffer into) {
            all.image(i, into);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            all.responses(i, into);
        }

        @Override
        public List<Region> regions(
                String grouping, Regions.Order order, Path meshes, int minVertices, Consumer<String> log) {
            return grouping.equals("streams") ? List.of(rois) : all.regions(grouping, order, meshes, minVertices, log);
        }
    }

    static Region roi(String name, int... vertices) {
        return new Region(name, vertices);
    }

    private static final Rois FIRST = new Rois(
            new TrainerTest.Toy(12, 3, 4, 16), roi("early", 0, 3), roi("ventral", 3, 4), roi("remainder", 1, 2, 5, 6));
    private static final Rois SECOND =
            new Rois(new TrainerTest.Toy(10, 2, 3, 16), roi("lateral", 1, 2, 3), roi("early", 0, 4));

    static Recipe recipe(String... options) {
        Recipe r = TrainerTest.recipe(
                "model.generator.readout=queries",
                "model.generator.features=8",
                "model.generator.query_heads=2",
                "train.batch=4",
                "train.epochs=2",
                "loss.gan_weight=0");
        for (String o : options) r = r.with(o);
        return r;
    }

    private static Queries queries(Recipe r) {
        return Generator.of(r.section("model").section("generator")).queries().orElseThrow();
    }

    private static Recipe named(Recipe r, TrainingData... data) {
        return QueryRegions.named(r, List.of(data), line -> {});
    }

    @Test
    void namesAreThoseOfAllSubjectsAndTheRemaindersOfBothHemispheres() {
        Recipe r = named(recipe(), FIRST, SECOND);
        assertEquals(
                List.of("early", "ventral", "lateral", "remainder-lh", "remainder-rh"),
                queries(r).names());
        assertEquals(r.settings().values(), named(r, FIRST, SECOND).settings().values(), "once");
        List<String> told = new ArrayList<>();
        assertArrayEquals(new float[] {0, 3, 3, 0, 1, 4, 4}, QueryRegions.ofVertices(queries(r), FIRST, told::add));
        assertArrayEquals(new float[] {0, 2, 2, 2, 0}, QueryRegions.ofVertices(queries(r), SECOND, told::add));
        assertEquals(
                List.of(
                        "no vertex reads these queries: lateral",
                        "no vertex reads these queries: ventral, remainder-lh, remainder-rh"),
                told);
        Recipe halves = named(recipe("model.generator.queries=hemisphere"), FIRST);
        assertEquals(List.of("lh", "rh"), queries(halves).names());
        Recipe all = named(recipe("model.generator.queries=all"), FIRST);
        assertEquals(List.of("all"), queries(all).names());
    }

    @Test
    void aRecipeMayNameRegionsAndTheirOrder() {
        Recipe r = named(recipe("model.generator.query_regions=[ventral, early]"), FIRST);
        assertEquals(
                List.of("ventral", "early", "remainder-lh", "remainder-rh"),
                queries(r).names());
        assertArrayEquals(new float[] {1, 2, 2, 0, 0, 3, 3}, QueryRegions.ofVertices(queries(r), FIRST, line -> {}));
        Recipe left = named(recipe("model.generator.queries=hemisphere", "model.generator.query_regions=[lh]"), FIRST);
        assertEquals(
                List.of("lh", "remainder-lh", "remainder-rh"), queries(left).names());
        Recipe unknown = recipe("model.generator.query_regions=[early, latteral]");
        InputException e = assertThrows(InputException.class, () -> named(unknown, FIRST, SECOND));
        assertTrue(
                e.getMessage().contains("latteral") && e.getMessage().contains("early, ventral, lateral"),
                e.getMessage());
    }

    /** Two subjects share the queries; a resumed run has the same bits; the simulation of CUDA agrees. */
    @Test
    void aRunOfTwoSubjectsResumesAndAgreesAcrossDevices(@TempDir Path dir) {
        Map<String, Rois> data = new LinkedHashMap<>();
        data.put("subj01", FIRST);
        data.put("subj02", SECOND);
        Recipe r = recipe("model.generator.vit.layers=[1, 2]", "model.generator.dropout=0.2", "train.validation=0");
        RunFolder.create(dir);
        Map<String, float[]> whole;
        try (Trainer t = new Trainer(r, data, CPU, null, line -> {})) {
            assertTrue(t.run());
            whole = state(t);
            assertEquals(5, queries(t.recipe()).names().size());
        }
        try (Trainer t = new Trainer(r, data, CPU, dir, line -> {})) {
            t.addListener(Listeners.onStep((step, loss) -> {
                if (step == 3) t.requestStop();
            }));
            t.run();
        }
        try (Trainer t = new Trainer(r, data, CPU, dir, line -> {})) {
            t.resume(RunFolder.last(dir));
            assertTrue(t.run());
            same(whole, state(t), 0);
        }
        assertEquals(queries(Recipe.ofCheckpoint(RunFolder.last(dir))).names().size(), 5);
        Model m = Model.load(RunFolder.last(dir));
        assertArrayEquals(new float[] {0, 2, 2, 2, 0}, whole.get("generator.head.subj02.region"));
        try (var p = m.predictor(CPU, 2, "subj02");
                var f = m.featureExtractor(CPU, 2)) {
            assertEquals(5, p.columns());
            assertEquals(5 * 8, f.columns());
        }
    }

    @Test
    void attentionIsWrittenBesideThePredictions(@TempDir Path dir) throws IOException {
        Path run = dir.resolve("run"), out = dir.resolve("out");
        RunFolder.create(run);
        Recipe r = recipe("model.generator.vit.layers=[1, 2]", "train.epochs=1", "train.validation=0");
        try (Trainer t = new Trainer(r, FIRST, CPU, run)) {
            t.run();
        }
        List<Path> photographs = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            BufferedImage image = new BufferedImage(20, 20, BufferedImage.TYPE_INT_RGB);
            image.setRGB(5 * i, 3, 0xffffff);
            photographs.add(dir.resolve(i + ".png"));
            ImageIO.write(image, "png", photographs.get(i).toFile());
        }
        List<Path> checkpoint = List.of(RunFolder.last(run));
        try (Ensemble models = Ensemble.load(checkpoint, CPU, 2, "", false);
                Predictor attention = Model.load(checkpoint.get(0)).attention(CPU, 2, "")) {
            PredictionFiles.write(models, attention, null, photographs, true, checkpoint, "", 0, out, line -> {});
        }
        assertEquals(
                List.of("early", "ventral", "remainder-lh", "remainder-rh"),
                Files.readAllLines(out.resolve("regions.txt")));
        try (NpyFile f = NpyFile.open(out.resolve("attention.npy"))) {
            assertArrayEquals(new long[] {3, 4, 2, 2, 2}, f.shape());
            float[] maps = f.toFloatArray();
            for (int q = 0; q < 12; q++) {
                double sum = 0;
                for (int i = 0; i < 8; i++) sum += maps[8 * q + i];
                assertTrue(sum > 0.5 && sum < 1, "two class tokens take their part of ten: " + sum);
            }
        }
        Recipe dense = recipe("model.generator.readout=dense", "train.epochs=1");
        try (Trainer t = new Trainer(dense, FIRST, CPU, run)) {
            t.run();
        }
        InputException e = assertThrows(
                InputException.class, () -> Model.load(RunFolder.last(run)).attention(CPU, 2, ""));
        assertTrue(e.getMessage().contains("readout: queries"), e.getMessage());
    }

    @Test
    void theSimulatedDeviceAgreesAndBf16Trains() {
        Recipe r = recipe("train.epochs=1", "train.validation=0", "model.generator.vit.depth=1", "optimizer.type=adam")
                .with("optimizer.eps", 1e-3); // so that a gradient near 0 does not decide the sign of an update
        Map<String, float[]> cpu = null;
        for (Device d : new Device[] {CPU, new SimDevice(false)})
            try (Trainer t = new Trainer(r, FIRST, d, null)) {
                assertTrue(t.run());
                if (cpu == null) cpu = state(t);
                else same(cpu, state(t), 1e-4);
            }
        if (CPU.supports(DType.BF16))
            try (Trainer t = new Trainer(r.with("train.precision", "bf16"), FIRST, CPU, null)) {
                assertTrue(t.run());
            }
    }

    @Test
    void mapsAreTokensWhereABackboneHasNoTokens() {
        Recipe r = recipe(
                "model.generator.type=cnn",
                "model.generator.cnn.channels=[4, 8]",
                "train.epochs=6",
                "train.validation=0");
        double[] loss = new double[2];
        try (Trainer t = new Trainer(r, FIRST, CPU, null)) {
            t.addListener(Listeners.onEpoch(
                    e -> loss[e.epoch() == 1 ? 0 : 1] = e.means().get("pixel")));
            t.run();
        }
        assertTrue(loss[1] < loss[0], loss[0] + " to " + loss[1]);
    }
}
