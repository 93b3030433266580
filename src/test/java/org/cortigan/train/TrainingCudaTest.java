// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cuda.SimulatedCuda;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.jni.Memory;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.model.Sampling;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Trains with the CUDA device's own code on a simulated CUDA runtime. */
@Tag("cuda")
class TrainingCudaTest {
    @BeforeEach
    void reset() {
        SimulatedCuda.reset();
    }

    @Test
    void stepsMatchTheSimulationBitForBitAndNothingLeaks() {
        long memory = Memory.live();
        for (String where : new String[] {"yes", "no"}) {
            Recipe r = DeviceTrainingTest.recipe("train.epochs=2", "train.data_on_device=" + where);
            DeviceTrainingTest.Outcome want;
            try (Device sim = new SimDevice(false)) {
                want = DeviceTrainingTest.run(r, sim);
            }
            long launches = SimulatedCuda.graphLaunches();
            try (Device d = Devices.open("cuda:0", 0)) {
                DeviceTrainingTest.same(want, DeviceTrainingTest.run(r, d));
            }
            assertTrue(SimulatedCuda.graphLaunches() - launches >= 5, "the step was replayed");
            assertEquals(0, SimulatedCuda.live());
            assertEquals(0, SimulatedCuda.usedBytes());
        }
        assertEquals(memory, Memory.live());
    }

    @Test
    void anErrorDuringARunEndsItAndFreesEverything() {
        long memory = Memory.live();
        for (String call :
                new String[] {"cudaGraphLaunch", "cudaEventSynchronize", "cudaMemcpyAsync", "cudaStreamWaitEvent"}) {
            RuntimeException e = assertThrows(RuntimeException.class, () -> {
                try (Device d = Devices.open("cuda:0", 0);
                        Trainer t = new Trainer(
                                DeviceTrainingTest.recipe("train.epochs=3", "train.data_on_device=no"),
                                DeviceTrainingTest.TOY,
                                d,
                                null)) {
                    t.addListener(Listeners.onStep((step, loss) -> {
                        if (step == 4) SimulatedCuda.fail(call, 0, 719);
                    }));
                    t.run();
                }
            });
            assertTrue(
                    e.getMessage().contains(call) && e.getMessage().contains("cudaErrorLaunchFailure"),
                    call + ": " + e);
            assertEquals(0, SimulatedCuda.live(), call);
            assertEquals(memory, Memory.live(), call);
        }
    }

    @Test
    void samplesMatchTheSimulationBitForBitAndNothingLeaks(@TempDir Path dir) {
        Sampling.Change few = new Sampling.Change(null, 2, List.of(2));
        Model m =
                Model.load(DiffusionSamplingTest.trained(dir, "train.epochs=1")).predicting(few, "");
        byte[] rgb = DiffusionSamplingTest.photographs(4);
        long memory = Memory.live();
        float[] want;
        try (Device sim = new SimDevice(false)) {
            want = DiffusionSamplingTest.predict(m, sim, 2, rgb);
        }
        long launches = SimulatedCuda.graphLaunches();
        try (Device d = Devices.open("cuda:0", 0)) {
            assertArrayEquals(want, DiffusionSamplingTest.predict(m, d, 2, rgb));
        }
        // Two batches of two samples of two steps; the first run of each session is not replayed.
        assertTrue(SimulatedCuda.graphLaunches() - launches >= 2 + 4 + 8 + 4 - 4, "steps are replayed");
        assertEquals(0, SimulatedCuda.live());
        assertEquals(0, SimulatedCuda.usedBytes());
        assertEquals(memory, Memory.live());
    }

    @Test
    void freeMemoryIsCheckedBeforeTheFirstStep() {
        SimulatedCuda.memory(100_000);
        try (Device d = Devices.open("cuda:0", 0)) {
            InputException e = assertThrows(
                    InputException.class,
                    () -> new Trainer(DeviceTrainingTest.recipe(), DeviceTrainingTest.TOY, d, null).close());
            assertTrue(e.getMessage().contains("short") && e.getMessage().contains("train.batch"), e.getMessage());
        }
        assertEquals(0, SimulatedCuda.live());
    }

    @Test
    void evaluationOnTheCardMatchesTheCpus(@TempDir Path dir) {
        int[] all = IntStream.range(0, EvaluationTest.WIDE.count()).toArray();
        try (Device d = Devices.open("cuda:0", 0)) {
            Model m = EvaluationTest.trained(dir, d);
            EvaluationTest.agrees(m, d);
            try (Predictor card = m.evaluator(d, 4, "");
                    Predictor cpu = m.evaluator(CpuDevice.best(2), 4, "")) {
                // f32 predictions that sum in another order
                double[] want = Ensemble.evaluate(cpu, EvaluationTest.WIDE, all).r();
                assertArrayEquals(
                        want, Ensemble.evaluate(card, EvaluationTest.WIDE, all).r(), 1e-3);
            }
        }
        assertEquals(0, SimulatedCuda.live());
    }

    @Test
    void aValidatingRunNeedsNoMoreMemoryThanAnnounced() {
        Recipe r = DeviceTrainingTest.recipe("train.validation=0.4", "train.data_on_device=no");
        try (Device d = Devices.open("cuda:0", 0)) {
            SimulatedCuda.memory(1);
            String none = assertThrows(InputException.class, () -> new Trainer(r, EvaluationTest.WIDE, d, null).close())
                    .getMessage();
            SimulatedCuda.memory(Long.parseLong(none.replaceAll(".*needs (\\d+) bytes.*", "$1")));
            try (Trainer t = new Trainer(r, EvaluationTest.WIDE, d, null)) {
                assertTrue(t.run());
            }
        }
    }

    @Test
    void aStepLaunchesItsGraphAndNothingElse() {
        try (Device d = Devices.open("cuda:0", 0);
                Trainer t = new Trainer(DeviceTrainingTest.recipe(), DeviceTrainingTest.TOY, d, null)) {
            long host = SimulatedCuda.hostAllocations();
            t.fillInputs();
            assertTrue(
                    SimulatedCuda.hostAllocations() - host < 10,
                    "pinned allocations: " + (SimulatedCuda.hostAllocations() - host));
            Session s = t.session();
            for (int i = 0; i < 4; i++) s.run();
            s.synchronize();
            long launches = SimulatedCuda.graphLaunches();
            long[] before = runtimeCalls();
            for (int i = 0; i < 10; i++) s.run();
            assertEquals(10, SimulatedCuda.graphLaunches() - launches);
            assertArrayEquals(before, runtimeCalls(), "allocations, copies and waits outside the graph");
            s.synchronize();
        }
        assertEquals(0, SimulatedCuda.live());
    }

    private static long[] runtimeCalls() {
        return new long[] {
            SimulatedCuda.deviceAllocations(),
            SimulatedCuda.hostAllocations(),
            SimulatedCuda.copies(),
            SimulatedCuda.waits()
        };
    }
}
