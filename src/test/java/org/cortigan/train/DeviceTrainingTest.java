// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.NullDevice;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.grad.Recompute;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.jni.Memory;
import org.cortigan.model.ModelConfig;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Trains on a device with its own memory and stream, here the simulation. */
@Tag("slow")
class DeviceTrainingTest {
    /** The results of a run: the losses that a listener received, all variables, and the epochs' means. */
    record Outcome(List<Double> losses, Map<String, float[]> state, List<Map<String, Double>> epochs) {}

    /** A small data set, because the simulation takes some milliseconds for every launch. */
    static final TrainingData TOY = new TrainerTest.Toy(15, 5, 6, 16);

    static Recipe recipe(String... options) {
        Recipe r = TrainerTest.recipe(
                "train.epochs=1",
                "train.batch=4",
                "model.generator.vit.depth=1",
                "model.discriminator.mlp.hidden=[4]",
                "train.validation=0");
        for (String o : options) r = r.with(o);
        return r;
    }

    static Outcome run(Recipe r, TrainingData data, Device d, Path folder, Path from, int stopAt) {
        List<Double> losses = new ArrayList<>();
        List<Map<String, Double>> epochs = new ArrayList<>();
        try (Trainer t = new Trainer(r, data, d, folder)) {
            if (from != null) t.resume(from);
            long before = t.step();
            t.addListener(Listeners.onStep((step, loss) -> {
                assertEquals(before + losses.size() + 1, step);
                losses.add(loss);
                if (step == stopAt) t.requestStop();
            }));
            t.addListener(Listeners.onEpoch(e -> {
                assertEquals(
                        e.step(),
                        before + losses.size(),
                        "the listener received all losses before the end of the epoch");
                epochs.add(e.means());
            }));
            t.run();
            Map<String, float[]> m = new LinkedHashMap<>();
            for (String v : t.variables()) m.put(v, t.variable(v));
            return new Outcome(losses, m, epochs);
        }
    }

    static Outcome run(Recipe r, Device d) {
        return run(r, TOY, d, null, null, -1);
    }

    static void same(Outcome a, Outcome b) {
        assertEquals(a.losses, b.losses);
        assertEquals(a.epochs, b.epochs);
        assertEquals(a.state.keySet(), b.state.keySet());
        a.state.forEach((k, v) -> assertArrayEquals(v, b.state.get(k), k));
    }

    @Test
    void dataOnTheDeviceGivesTheSameBatches() {
        for (String option :
                new String[] {"train.shuffle_pairs=false", "train.shuffle_pairs=true", "train.accumulate=2"}) {
            String batch = "train.batch=" + (option.equals("train.accumulate=2") ? 2 : 4);
            Recipe r = recipe(option, batch, "loss.gan_weight=0", "train.validation=0.2");
            SimDevice d = new SimDevice(false);
            same(run(r.with("train.data_on_device=no"), d), run(r.with("train.data_on_device=yes"), d));
            assertTrue(d.replays() > 0);
        }
    }

    @Test
    void augmentedPhotographsComeFromTheHost() {
        Recipe r = recipe("train.augment.shift=0.2", "model.generator.dropout=0.3", "loss.gan_weight=0");
        SimDevice d = new SimDevice(false);
        same(run(r.with("train.data_on_device=no"), d), run(r, d));
        InputException e = assertThrows(InputException.class, () -> run(r.with("train.data_on_device=yes"), d));
        assertTrue(
                e.getMessage().contains("train.data_on_device")
                        && e.getMessage().contains("train.augment"),
                e.getMessage());
    }

    @Test
    void recomputationChangesNoBit() {
        Recipe r = recipe(
                "model.discriminator.type=conv",
                "model.discriminator.conv.channels=[3, 4]",
                "model.discriminator.spectral_norm=none",
                "model.generator.dropout=0.3");
        for (String p : new String[] {"train.precision=fp32", "train.precision=bf16"})
            for (Device d : new Device[] {CpuDevice.best(2), new SimDevice(false)})
                if (p.endsWith("fp32") || d.supports(DType.BF16))
                    same(run(r.with(p), d), run(r.with(p).with("train.recompute=cheap"), d));
    }

    private static Graph step(Recipe r, int batch) {
        ModelConfig.Subject first = new ModelConfig.Subject("", 19004, 20544);
        return new StepGraph(
                        StepSettings.of(r, List.of(first), Precision.BF16),
                        first,
                        Regions.of("all", Regions.Order.STORED, 19004, 20544),
                        batch,
                        0)
                .graph();
    }

    @Test
    void spectralGradientsStayFactored() {
        for (String mode : new String[] {"step", "torch"}) {
            Graph g = step(Recipe.load("vit-gan").with("model.discriminator.spectral_norm=" + mode), 2);
            List<String> inGraph = g.nodes().stream()
                    .map(n -> n.op().name())
                    .filter("spectral_norm_grad"::equals)
                    .toList();
            List<String> run = Session.plan(g, new NullDevice()).steps().stream()
                    .map(n -> n.op().name())
                    .filter(n -> n.startsWith("spectral_norm_"))
                    .toList();
            assertTrue(!inGraph.isEmpty(), mode);
            assertEquals(List.of("spectral_norm_lambda"), run, mode);
        }
    }

    @Test
    void recomputationSavesAQuarterOfTheArenaOfVitB() {
        Graph g = step(Recipe.load("vit-gan"), 32);
        long kept = Session.plan(g, new NullDevice()).report().arenaBytes();
        long again = Session.plan(Recompute.cheap(g), new NullDevice()).report().arenaBytes();
        assertTrue(again < 0.75 * kept, "arena " + kept + ", recomputed " + again);
    }

    @Test
    void checkpointsMoveBetweenDevices(@TempDir Path dir) {
        Recipe r = recipe("train.epochs=2");
        Device cpu = CpuDevice.best(2), sim = new SimDevice(false);
        for (Device[] devices : new Device[][] {{cpu, sim}, {sim, cpu}}) {
            Path folder = dir.resolve(devices[0].name().substring(0, 3));
            RunFolder.create(folder);
            Outcome whole = run(r, devices[0]);
            run(r, TOY, devices[0], folder, null, 1);
            Outcome rest = run(r, TOY, devices[1], null, RunFolder.last(folder), -1);
            double last = whole.losses.get(whole.losses.size() - 1), got = rest.losses.get(rest.losses.size() - 1);
            assertEquals(whole.losses.size(), rest.losses.size() + (devices[0] == sim ? 2 : 1));
            // the kernels sum in different orders, so results differ slightly after a handful of updates
            assertEquals(last, got, 0.01 * Math.abs(last));
        }
    }

    @Test
    void skippedUpdatesAreCountedAndAResumedRunGivesTheSameBits(@TempDir Path dir) {
        Recipe r = recipe("train.epochs=2", "model.discriminator.spectral_norm=none");
        TrainingData data = Changed.withNan(TOY, 7, 0);
        Outcome whole = run(r, data, new SimDevice(false), null, null, -1);
        int bad = -1;
        for (int i = 0; i < whole.losses.size() && bad < 0; i++) if (Double.isNaN(whole.losses.get(i))) bad = i + 1;
        assertTrue(bad > 0, "a batch had the NaN");
        for (float f : whole.state.get("generator.head.weight")) assertTrue(Float.isFinite(f));
        // when the stop is requested, the step in flight is the one whose update is skipped, or the one after it
        for (int stop : new int[] {bad - 1, bad}) {
            if (stop < 1) continue;
            Path folder = dir.resolve("stop" + stop);
            RunFolder.create(folder);
            Outcome part = run(r, data, new SimDevice(false), folder, null, stop);
            Outcome rest = run(r, data, new SimDevice(false), null, RunFolder.last(folder), -1);
            whole.state.forEach((k, v) -> assertArrayEquals(v, rest.state.get(k), k));
            List<Double> all = new ArrayList<>(part.losses);
            all.addAll(rest.losses);
            assertEquals(whole.losses, all);
        }
    }

    @Test
    void tooLittleMemoryNamesTheShortageAndWhatFits() {
        SimDevice d = new SimDevice(false);
        Recipe r = recipe("train.batch=8", "train.data_on_device=no");
        String none = tooLittle(r, d, 1);
        assertTrue(
                none.contains("train.batch") && none.contains("1 are free") && none.contains("No smaller batch fits"),
                none);
        long need = needed(none);
        String one = tooLittle(r, d, need - 1);
        assertTrue(one.contains(": 1 short") && one.contains("train.recompute=cheap"), one);
        int fits = Integer.parseInt(one.replaceAll(".*train.batch=(\\d+) is.*", "$1"));
        assertTrue(fits >= 4 && fits < 8, one);
        new Trainer(r.with("train.batch", fits), TOY, d, null).close();
        assertTrue(one.contains("train.batch=4 train.accumulate=2 fits, with as many photographs in a step"), one);
        new Trainer(r.with("train.batch=4").with("train.accumulate=2"), TOY, d, null).close();
        d.freeBytes(need);
        new Trainer(r, TOY, d, null).close();
        // the data do not fit next to the step: auto leaves them on the host, yes is refused
        Recipe two = r.with("train.batch", 2);
        long small = needed(tooLittle(two, d, 1));
        d.freeBytes(small);
        new Trainer(two.with("train.data_on_device=auto"), TOY, d, null).close();
        String yes = tooLittle(two.with("train.data_on_device=yes"), d, small);
        assertTrue(yes.contains("train.data_on_device=no leaves"), yes);
    }

    private static String tooLittle(Recipe r, SimDevice d, long free) {
        d.freeBytes(free);
        return assertThrows(InputException.class, () -> new Trainer(r, TOY, d, null).close())
                .getMessage();
    }

    private static long needed(String message) {
        return Long.parseLong(message.replaceAll(".*needs (\\d+) bytes.*", "$1"));
    }

    @Test
    void aStepAllocatesNothingAndNothingLeaks() {
        for (String where : new String[] {"yes", "no"}) {
            long live = Memory.live();
            Recipe r = recipe("train.epochs=3", "train.batch=2", "loss.gan_weight=0", "train.data_on_device=" + where);
            try (Device sim = new SimDevice(false);
                    Trainer t = new Trainer(r, TOY, sim, null)) {
                var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
                long me = Thread.currentThread().getId(), per = t.stepsPerEpoch();
                long[] at = new long[2];
                t.addListener(Listeners.onStep((step, loss) -> {
                    if (step == 2 * per + 1) at[0] = threads.getThreadAllocatedBytes(me);
                    if (step == 2 * per + per - 2) at[1] = threads.getThreadAllocatedBytes(me);
                }));
                t.run();
                assertTrue(
                        at[1] - at[0] <= 512 * (per - 3),
                        "bytes allocated in " + (per - 3) + " steps: " + (at[1] - at[0]));
            }
            assertEquals(live, Memory.live());
        }
    }
}
