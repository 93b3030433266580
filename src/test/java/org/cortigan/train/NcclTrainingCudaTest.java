// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.cortigan.InputException;
import org.cortigan.cuda.SimulatedCuda;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.LocalRanks;
import org.cortigan.jni.Memory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Two ranks with a simulated card each make the run of one. */
@Tag("cuda")
class NcclTrainingCudaTest {
    private static final int RANKS = 2;

    @BeforeEach
    void reset() {
        SimulatedCuda.reset();
        SimulatedCuda.devices(RANKS);
    }

    private static List<DeviceTrainingTest.Outcome> ranks(Recipe r) {
        return LocalRanks.run(RANKS, ranks -> {
            try (Device d = Devices.open("cuda", 0, ranks, s -> {})) {
                return DeviceTrainingTest.run(r, d);
            }
        });
    }

    /** Adam's eps bounds by how much a rounding error of a gradient near 0 moves a weight. */
    @Test
    void ranksMakeTheStepsOfOneRankAndHaveTheSameBits() {
        long memory = Memory.live();
        for (String precision : List.of("fp32", "tf32")) {
            Recipe r =
                    DeviceTrainingTest.recipe("train.epochs=3", "optimizer.eps=0.001", "train.precision=" + precision);
            DeviceTrainingTest.Outcome want;
            try (Device d = Devices.open("cuda:0", 0)) {
                want = DeviceTrainingTest.run(r, d);
            }
            long launches = SimulatedCuda.graphLaunches();
            List<DeviceTrainingTest.Outcome> got = ranks(r);
            int steps = want.losses().size();
            assertTrue(steps >= 9, "steps: " + steps);
            // The first step of each rank is not replayed; the test of each card is.
            assertTrue(SimulatedCuda.graphLaunches() - launches >= (long) RANKS * steps, "steps are replayed");
            DeviceTrainingTest.same(got.get(0), got.get(1));
            // tf32 rounds products of other batches otherwise.
            double tolerance = precision.equals("fp32") ? 1e-5 : 1e-3;
            for (int i = 0; i < steps; i++) {
                double loss = want.losses().get(i);
                assertEquals(loss, got.get(0).losses().get(i), tolerance * Math.max(1, Math.abs(loss)), "step " + i);
            }
            want.state().forEach((name, v) -> {
                float scale = 1;
                for (float x : v) scale = Math.max(scale, Math.abs(x));
                assertArrayEquals(v, got.get(0).state().get(name), (float) tolerance * scale, precision + " " + name);
            });
        }
        assertEquals(0, SimulatedCuda.live());
        assertEquals(memory, Memory.live());
    }

    /** In the first step, which is launched, streams run as early as they may or as late as they may. */
    @Test
    void gradientsTravelWhileOthersAreComputed() {
        Recipe r = DeviceTrainingTest.recipe();
        long[] before = new long[2];
        DeviceTrainingTest.Outcome[] got = new DeviceTrainingTest.Outcome[2];
        for (int early = 0; early < 2; early++) {
            SimulatedCuda.early(early == 1);
            long start = SimulatedCuda.kernelsBeforeReductions();
            got[early] = ranks(r).get(0);
            before[early] = SimulatedCuda.kernelsBeforeReductions() - start;
        }
        DeviceTrainingTest.same(got[0], got[1]);
        assertTrue(before[1] < before[0], "kernels before reductions, early and late: " + before[1] + ", " + before[0]);
    }

    @Test
    void ranksOnDifferentKindsOfDeviceAreRefused() {
        List<String> said = LocalRanks.run(RANKS, ranks -> {
            try (Device d = Devices.open(ranks.isFirst() ? "cuda" : "cpu", 1, ranks, s -> {});
                    Trainer t = new Trainer(DeviceTrainingTest.recipe(), DeviceTrainingTest.TOY, d, null)) {
                return assertThrows(InputException.class, t::run).getMessage();
            }
        });
        for (String s : said)
            assertTrue(
                    s.matches("rank 1 on host: the device is \"cpu \\(.*, 1 threads\\)\", rank 0 has \"cuda\"\\."
                            + " Give all the same --device and --threads, .*"),
                    s);
        assertEquals(0, SimulatedCuda.live());
    }
}
