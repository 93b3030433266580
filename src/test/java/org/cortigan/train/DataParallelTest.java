// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.LocalRanks;
import org.cortigan.exec.Ranks;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** N ranks make the run that one rank makes. */
class DataParallelTest {
    private static final TrainingData TOY = TrainerTest.TOY;

    /** Options by what they try. An epoch has 6 steps, 3 with accumulation. */
    private static final Map<String, List<String>> FAMILIES = families();

    private static Map<String, List<String>> families() {
        Map<String, List<String>> f = new LinkedHashMap<>();
        f.put("vit", List.of("model.discriminator.per=hemisphere"));
        f.put("dropout and accumulation", List.of("model.generator.dropout=0.3", "train.accumulate=2"));
        f.put(
                "unet with batch norm",
                List.of(
                        "model.generator.type=unet",
                        "model.generator.unet.channels=[4, 8, 8]",
                        "model.generator.unet.decoder=2",
                        "model.generator.unet.norm=batch",
                        "model.discriminator.spectral_norm=torch"));
        f.put(
                "patch discriminators",
                List.of(
                        "model.generator.type=cnn",
                        "model.generator.cnn.channels=[4, 8]",
                        "model.generator.cnn.hidden=12",
                        "model.discriminator.type=patch",
                        "model.discriminator.conv.channels=[3, 4]",
                        "optimizer.ema=0.9"));
        f.put(
                "gabor, fitted",
                List.of(
                        "model.generator.type=gabor",
                        "model.generator.gabor.levels=2",
                        "model.generator.gabor.grids=[1, 2]",
                        "model.generator.gabor.orientations=3",
                        "model.generator.gabor.hidden=[]",
                        "model.generator.rank=6",
                        "train.initial_readout=fitted"));
        f.put(
                "position readout, r over vertices",
                List.of(
                        "model.generator.readout=position",
                        "model.generator.features=6",
                        "loss.correlation_axis=vertices"));
        f.put("diffusion", DiffusionTrainingTest.SMALL);
        f.put("frozen backbone", List.of("train.freeze=backbone", "loss.gan_weight=0"));
        f.put(
                "frozen backbone, computed",
                List.of("train.freeze=backbone", "loss.gan_weight=0", "train.cache_features=no"));
        return f;
    }

    static Stream<String> names() {
        return FAMILIES.keySet().stream();
    }

    private static Recipe recipe(String family, String... more) {
        Recipe r = TrainerTest.recipe("train.epochs=4", "optimizer.warmup_epochs=0")
                .with(FAMILIES.get(family));
        for (String o : more) r = r.with(o);
        return r;
    }

    /** Variables at the end, and the losses of each epoch. */
    private record Outcome(Map<String, float[]> variables, List<Map<String, Double>> losses) {}

    private static Outcome train(Recipe r, Device device) {
        List<Map<String, Double>> losses = new ArrayList<>();
        try (Trainer t = new Trainer(r, TOY, device, null)) {
            t.addListener(Listeners.onEpoch(e -> losses.add(e.means())));
            assertTrue(t.run());
            return new Outcome(States.state(t), losses);
        }
    }

    private static List<Outcome> ranks(int n, Recipe r, boolean reference) {
        return LocalRanks.run(n, ranks -> {
            try (Device device = (reference ? CpuDevice.doubleReference() : CpuDevice.best(1)).in(ranks)) {
                return train(r, device);
            }
        });
    }

    /**
     * In double only the order of the terms of a sum differs. Adam divides by the root of a squared gradient, so that a
     * gradient that is 0 but for rounding moves its weight by a full step; eps of 1e-3 bounds that.
     */
    @ParameterizedTest
    @MethodSource("names")
    @Tag("slow")
    void ranksEqualOneRankInDouble(String family) {
        Recipe r = recipe(family, "optimizer.eps=0.001", "train.epochs=2");
        Outcome want = ranks(1, r, true).get(0);
        for (int n : new int[] {2, 4})
            for (Outcome got : ranks(n, r, true)) near(family + ", " + n + " ranks", want, got, 1e-6);
    }

    /**
     * After 24 steps (12 with accumulation) in f32, the losses within 1e-5 of their scale. With Adam's own eps, of
     * 1e-8, a run on a frozen backbone of random weights is chaotic: its features hardly vary, and one rank that
     * computes them in each step differs from one that computes them once by 4e-5. An eps of 1e-3 bounds what rounding
     * moves.
     */
    @ParameterizedTest
    @MethodSource("names")
    @Tag("slow")
    void ranksEqualOneRankInF32(String family) {
        Recipe r = family.startsWith("frozen") ? recipe(family, "optimizer.eps=0.001") : recipe(family);
        Outcome want = ranks(1, r, false).get(0);
        List<Outcome> two = ranks(2, r, false);
        for (Outcome got : two) losses(family, want, got, 1e-5);
        // Both ranks, and another run, have the same bits.
        same(two.get(0), two.get(1));
        same(two.get(0), ranks(2, r, false).get(0));
    }

    private static void same(Outcome a, Outcome b) {
        a.variables.forEach((name, v) -> assertArrayEquals(v, b.variables.get(name), name));
        assertEquals(a.losses, b.losses);
    }

    private static void near(String what, Outcome want, Outcome got, double tolerance) {
        losses(what, want, got, tolerance);
        variables(what, want.variables, got.variables, tolerance);
    }

    private static void variables(String what, Map<String, float[]> want, Map<String, float[]> got, double tolerance) {
        want.forEach((name, v) -> {
            double scale = 1e-3;
            for (float x : v) scale = Math.max(scale, Math.abs(x));
            assertArrayEquals(v, got.get(name), (float) (tolerance * scale), what + ", " + name);
        });
    }

    private static void losses(String what, Outcome want, Outcome got, double tolerance) {
        assertEquals(want.losses.size(), got.losses.size());
        for (int e = 0; e < want.losses.size(); e++) {
            Map<String, Double> a = want.losses.get(e), b = got.losses.get(e);
            assertEquals(a.keySet(), b.keySet());
            int epoch = e;
            a.forEach((k, v) -> {
                assertEquals(v, b.get(k), tolerance * Math.max(0.1, Math.abs(v)), what + ", epoch " + epoch + ", " + k);
            });
        }
    }

    @Test
    void aRunResumesWithAnotherNumberOfRanks(@TempDir Path dir) {
        Recipe r = recipe("dropout and accumulation", "optimizer.eps=0.001", "train.epochs=2");
        Outcome want = ranks(1, r, false).get(0);
        Path folder = dir.resolve("run");
        RunFolder.create(folder);
        for (int[] part : new int[][] {{2, 2}, {1, 4}, {4, 6}})
            LocalRanks.run(part[0], ranks -> {
                try (Device device = CpuDevice.best(1).in(ranks);
                        Trainer t = new Trainer(r, TOY, device, folder)) {
                    if (part[1] > 2) t.resume(RunFolder.last(folder));
                    t.addListener(Listeners.stopAt(t, part[1]));
                    t.run();
                    if (part[1] == 6) variables("resumed", want.variables, States.state(t), 1e-5);
                    return t.step();
                }
            });
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void anyRankStopsAll(int stopper, @TempDir Path dir) {
        Recipe r = recipe("vit");
        Path folder = dir.resolve("run");
        RunFolder.create(folder);
        List<Long> steps = LocalRanks.run(2, ranks -> {
            try (Device device = CpuDevice.best(1).in(ranks);
                    Trainer t = new Trainer(r, TOY, device, folder)) {
                if (ranks.rank() == stopper) t.addListener(Listeners.stopAt(t, 3));
                assertEquals(false, t.run());
                return t.step();
            }
        });
        assertEquals(List.of(3L, 3L), steps);
        assertEquals(3, Checkpoint.state(RunFolder.last(folder)).orElseThrow().step());
    }

    @Test
    void eachRankReadsOnlyItsPhotographs() {
        // In an epoch: half of the 6 batches of 8, and half of the 12 photographs that are held out.
        int epoch = 6 * 4 + 6;
        List<Integer> read = LocalRanks.run(2, ranks -> {
            Counted counted = new Counted();
            try (Device device = CpuDevice.best(1).in(ranks);
                    Trainer t = new Trainer(recipe("vit"), counted, device, null)) {
                t.run();
            }
            return counted.images.get();
        });
        assertEquals(List.of(4 * epoch, 4 * epoch), read);
    }

    /** Counts the photographs that are read. */
    private static final class Counted implements TrainingData {
        private final AtomicInteger images = new AtomicInteger();

        @Override
        public int count() {
            return TOY.count();
        }

        @Override
        public int leftVertices() {
            return TOY.leftVertices();
        }

        @Override
        public int rightVertices() {
            return TOY.rightVertices();
        }

        @Override
        public void image(int i, ByteBuffer into) {
            images.incrementAndGet();
            TOY.image(i, into);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            TOY.responses(i, into);
        }
    }

    @Test
    void ranksOfDifferentRunsAreRefused() {
        for (boolean data : new boolean[] {false, true}) {
            List<String> said = LocalRanks.run(3, ranks -> {
                boolean other = ranks.rank() == 2;
                Recipe r = recipe("vit", "train.batch=6");
                if (other && !data) r = r.with("optimizer.learning_rate=0.25");
                TrainingData d = other && data ? new TrainerTest.Toy(61, 20, 30, 16) : TOY;
                try (Device device = CpuDevice.best(1);
                        Trainer t = new Trainer(r, d, device.in(ranks), null)) {
                    return assertThrows(InputException.class, t::run).getMessage();
                }
            });
            String want = data
                    ? "rank 2 on host: number of photographs is 61, rank 0 has " + TOY.count()
                    : "rank 2 on host: optimizer.learning_rate is 0.25, rank 0 has ";
            for (String s : said) assertTrue(s.startsWith(want) && s.endsWith("the same command, recipe and data"), s);
        }
    }

    /** Their norms would differ by rounding, and with them the updates. */
    @Test
    void ranksWithUnequalThreadsAreRefused() {
        List<String> said = LocalRanks.run(2, ranks -> {
            try (Device device = CpuDevice.best(1 + ranks.rank()).in(ranks);
                    Trainer t = new Trainer(recipe("vit"), TOY, device, null)) {
                return assertThrows(InputException.class, t::run).getMessage();
            }
        });
        for (String s : said)
            assertTrue(
                    s.startsWith("rank 1 on host: the device is ")
                            && s.contains("2 threads")
                            && s.contains("Give all the same --device and --threads"),
                    s);
    }

    @Test
    void aBatchThatCannotBeDividedIsRefused() {
        Ranks[] seen = new Ranks[3];
        InputException e = assertThrows(InputException.class, () -> {
            try {
                LocalRanks.run(3, ranks -> {
                    seen[ranks.rank()] = ranks;
                    return new Trainer(recipe("vit"), TOY, CpuDevice.best(1).in(ranks), null);
                });
            } catch (IllegalStateException wrapped) {
                throw wrapped.getCause();
            }
        });
        assertTrue(
                e.getMessage().contains("the 8 photographs of a batch cannot be divided equally among 3 ranks"),
                e.getMessage());
        assertTrue(e.getMessage().contains("Set it to 6, or start another number of ranks"), e.getMessage());
    }
}
