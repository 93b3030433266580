// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceProvider;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Scalars;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.jni.Memory;
import org.cortigan.op.Activation;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Runs the CUDA device's own code, with the real bindings, on a simulated CUDA runtime. */
@Tag("cuda")
@ExtendWith(NothingLeftOpen.class)
class DeviceCudaTest {
    private static Graph mlp() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 32, 64);
        for (int i = 0; i < 3; i++) {
            Value w = g.variable("w" + i, DType.F32, 64, 64), b = g.variable("b" + i, DType.F32, 64);
            x = Ops.activation(Ops.matmul(x, w, false, true, b, null, DType.F32), Activation.Kind.GELU, 0);
        }
        g.output("y", x);
        g.output("mean", Ops.scale(Ops.sumLeading(x, org.cortigan.graph.Shape.of(1)), 1.0 / (32 * 64)));
        return g;
    }

    private static Graph sum() {
        Graph g = new Graph();
        g.output("y", Ops.add(g.input("a", DType.F32, 8), g.input("b", DType.F32, 8)));
        return g;
    }

    private static float[] numbers(int n, int seed) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) Math.sin(seed * 1000 + i);
        return f;
    }

    private static float[] simulated(int runs) {
        try (Device d = new SimDevice(false)) {
            return run(d, runs);
        }
    }

    private static float[] run(Device d, int runs) {
        try (Variables v = new Variables(d);
                Session s = new Session(mlp(), d, v)) {
            for (int i = 0; i < 3; i++) {
                v.find("w" + i).write(numbers(64 * 64, i));
                v.find("b" + i).write(numbers(64, 7 + i));
            }
            float[] all = new float[runs * 32 * 64 + runs];
            for (int r = 0; r < runs; r++) {
                s.input("x").write(numbers(32 * 64, 20 + r));
                s.run();
                s.output("y").read(all, r * 32 * 64);
                all[runs * 32 * 64 + r] = (float) s.scalar("mean");
            }
            return all;
        }
    }

    @Test
    void launchedRecordedAndReplayedRunsMatchTheSimulationBitForBit() {
        long launches = SimulatedCuda.graphLaunches();
        try (Device d = Devices.open("cuda:0", 0)) {
            assertEquals("cuda:0 (Simulated card, sm_90)", d.name());
            long launchesOfOpening = SimulatedCuda.graphLaunches() - launches;
            assertEquals(1, launchesOfOpening);
            assertArrayEquals(simulated(4), run(d, 4));
            assertEquals(3, SimulatedCuda.graphLaunches() - launches - launchesOfOpening);
        }
    }

    @Test
    void aReplayAllocatesNothingAndDoesNotWait() {
        try (Device d = Devices.open("cuda", 0);
                Variables v = new Variables(d);
                Session s = new Session(sum(), d, v)) {
            for (int i = 0; i < 2000; i++) s.run();
            s.synchronize();
            var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
            threads.getCurrentThreadAllocatedBytes();
            long fewestBytes = Long.MAX_VALUE;
            for (int round = 0; round < 5; round++) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < 200; i++) s.run();
                fewestBytes = Math.min(fewestBytes, threads.getCurrentThreadAllocatedBytes() - before);
            }
            assertEquals(0, fewestBytes, "bytes on the heap in 200 runs");
        }
    }

    @Test
    void prefetchedInputsArriveInOrderWithoutWaiting() {
        int n = 1000, runs = 7;
        Graph g = new Graph();
        g.output("sum", Ops.sumLeading(g.input("x", DType.F32, n, 1), org.cortigan.graph.Shape.of(1)));
        try (Device d = Devices.open("cuda", 0);
                Variables v = new Variables(d);
                Session s = new Session(g, d, v);
                Memory host = d.allocateHost(4L * n * runs)) {
            s.prefetch("x");
            Scalars sums = s.scalars(List.of("sum"));
            double[] got = new double[1];
            s.run(); // without input sent
            long waits = SimulatedCuda.waits();
            for (int i = 1; i <= runs; i++) {
                ByteBuffer x = host.view(4L * n * (i - 1), 4L * n);
                for (int k = 0; k < n; k++) x.putFloat(4 * k, i);
                s.input("x").write(x);
                s.run();
                sums.read(1, got);
                assertEquals((i - 1) * n, got[0], "the run before run " + i);
            }
            sums.read(0, got);
            assertEquals(runs * n, got[0]);
            assertEquals(waits, SimulatedCuda.waits());
            // heap buffers and parts are copied the ordinary way
            s.input("x").write(new float[n]);
            s.run();
            assertEquals(0, s.scalar("sum"));
        }
    }

    @Test
    void timesComeFromEvents() {
        try (Device d = Devices.open("cuda", 0);
                Variables v = new Variables(d);
                Session s = new Session(mlp(), d, v)) {
            long[] nanos = new long[s.launched().length], starts = new long[nanos.length];
            s.runTimed(nanos, starts);
            for (int i = 0; i < nanos.length; i++)
                assertTrue(nanos[i] > 0 && (i == 0 || starts[i] > starts[i - 1]), "node " + i);
        }
    }

    @Test
    void everyFailingCallIsNamedAndNothingLeaks() {
        // The call that fails, and the number of successful calls before it, counted from the opening of the device.
        Object[][] faults = {
            {"cudaMalloc", 0},
            {"cudaMalloc", 3},
            {"cudaMemsetAsync", 1},
            {"cudaHostAlloc", 0},
            {"cudaMemcpyAsync", 0},
            {"cudaMemcpyAsync", 5},
            {"cudaStreamBeginCapture", 0},
            {"cudaStreamEndCapture", 0},
            {"cudaGraphInstantiate", 0},
            {"cudaGraphLaunch", 0},
            {"cudaGraphLaunch", 1},
            {"cudaStreamSynchronize", 0},
            {"cudaStreamSynchronize", 4},
            {"cudaSetDevice", 2},
            {"cudaGraphDestroy", 0}
        };
        for (Object[] f : faults)
            try (Device d = Devices.open("cuda", 0)) {
                SimulatedCuda.fail((String) f[0], (int) f[1], 719);
                RuntimeException e = assertThrows(RuntimeException.class, () -> run(d, 4), () -> f[0] + " " + f[1]);
                assertFalse(SimulatedCuda.pending(), f[0] + " was not called so often");
                assertTrue(e.getMessage().contains((String) f[0]), f[0] + ": " + e.getMessage());
                assertTrue(
                        e.getMessage().contains("cudaErrorLaunchFailure: unspecified launch failure"), e.getMessage());
            }
    }

    @Test
    void aLaunchThatFailsDuringARecordingEndsTheRecording() {
        try (Device d = Devices.open("cuda", 0)) {
            int kernels = 8; // launches of the first, unrecorded run
            SimulatedCuda.fail("launch", kernels + 2, 209);
            RuntimeException e = assertThrows(RuntimeException.class, () -> run(d, 4));
            assertTrue(e.getMessage().contains("no kernel image"), e.getMessage());
            assertArrayEquals(simulated(3), run(d, 3), "the device works as before");
        }
    }

    @Test
    void callsThatARecordingForbidsEndTheRecording() {
        try (Device d = Devices.open("cuda", 0)) {
            DeviceRuntime r = d.runtime();
            Map<String, Runnable> calls = Map.of(
                    "cudaMalloc",
                    () -> r.allocate(64),
                    "cudaHostAlloc",
                    () -> r.allocateHost(64),
                    "cudaStreamSynchronize",
                    r::synchronize,
                    "cudaMemGetInfo",
                    r::freeBytes);
            calls.forEach((name, call) -> {
                RuntimeException e = assertThrows(RuntimeException.class, () -> r.record(call), name);
                assertTrue(
                        e.getMessage().contains(name) && e.getMessage().contains("cudaErrorStreamCaptureUnsupported"),
                        e.getMessage());
            });
            assertArrayEquals(simulated(3), run(d, 3), "the device works as before");
        }
    }

    @Test
    void aKernelFaultPersistsInTheProcess() {
        SimulatedCuda.sticky(true);
        Device d = Devices.open("cuda", 0);
        SimulatedCuda.fail("kernel", 3, 700);
        String fault = "cudaErrorIllegalAddress: an illegal memory access was encountered";
        RuntimeException e = assertThrows(RuntimeException.class, () -> run(d, 2));
        assertTrue(e.getMessage().contains(fault), e.getMessage());
        for (int i = 0; i < 2; i++) {
            e = assertThrows(RuntimeException.class, () -> run(d, 1));
            assertTrue(e.getMessage().contains(fault), e.getMessage());
        }
        refused("cuda", fault);
        e = assertThrows(RuntimeException.class, d::close);
        assertTrue(e.getMessage().contains(fault), e.getMessage());
        SimulatedCuda.reset();
        try (Device next = Devices.open("cuda", 0)) {
            assertArrayEquals(simulated(2), run(next, 2), "another process could use the card");
        }
    }

    @Test
    void transfersUseOneBlockOfPinnedMemory() {
        int n = 3_000_000;
        Graph g = new Graph();
        g.output("y", Ops.scale(g.input("x", DType.F32, n), 2));
        try (Device d = Devices.open("cuda", 0);
                Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            long host = SimulatedCuda.hostAllocations(), copies = SimulatedCuda.copies();
            s.input("x").write(numbers(n, 1));
            for (int i = 0; i < 5; i++) s.input("x").set(i, i);
            s.run();
            float[] y = s.output("y").toFloats();
            assertEquals(8, y[4]);
            assertEquals(2 * numbers(n, 1)[n - 1], y[n - 1]);
            assertEquals(2 * numbers(6, 1)[5], s.output("y").get(5));
            assertEquals(host, SimulatedCuda.hostAllocations());
            // two transfers of 12 MB in pieces of 4 MiB; five elements written and one read
            assertEquals(2 * 3 + 6, SimulatedCuda.copies() - copies);
        }
    }

    @Test
    void errorsOfClosingAreThrownByTheNextCall() {
        IllegalStateException e = assertThrows(IllegalStateException.class, () -> {
            try (Device d = Devices.open("cuda", 0)) {
                SimulatedCuda.fail("cudaGraphExecDestroy", 0, 719);
                run(d, 2);
            }
        });
        assertTrue(e.getMessage().contains("cudaGraphExecDestroy"), e.getMessage());
    }

    @Test
    void tooLittleMemoryNamesTheFreeBytes() {
        SimulatedCuda.memory(40_000);
        try (Device d = Devices.open("cuda", 0)) {
            InputException e = assertThrows(InputException.class, () -> run(d, 1));
            assertTrue(
                    e.getMessage().contains("cudaMalloc of ")
                            && e.getMessage().contains("out of memory")
                            && e.getMessage().contains("bytes are free")
                            && e.getMessage().contains("train.batch"),
                    e.getMessage());
        }
    }

    @Test
    void missingDevicesDriversAndKernelsAreNamed() {
        SimulatedCuda.devices(0);
        refused(
                "cuda:0",
                "the driver sees no card",
                "cudaErrorNoDevice",
                "driver for CUDA 13.0, runtime 13.0",
                "CUDA_VISIBLE_DEVICES");
        SimulatedCuda.devices(2);
        refused("cuda:2", "does not exist; cards here: 2", "cuda:0 to cuda:1");
        SimulatedCuda.reset();
        SimulatedCuda.fail("cudaGetDeviceCount", 0, 35);
        refused("cuda", "driver is missing or older", "cudaErrorInsufficientDriver", "580");
        SimulatedCuda.architecture(7);
        refused("cuda", "Simulated card has architecture 7.0, the kernels need 8.0");
        SimulatedCuda.reset();
        SimulatedCuda.fail("launch", 0, 209);
        refused("cuda", "does not run the kernels", "no kernel image", "-Dcuda.architectures=90");
        refused("cuda:x", "names no device", "cuda:0");
        refused("gpu", "is unknown", "auto, cpu, cuda");
    }

    @Test
    void attentionOnWgmmaIsChosenByNameAndOnlyOnHopper() {
        String property = "cortigan.cuda.attention";
        try {
            float[] first = attention();
            System.setProperty(property, "mma");
            float[] mma = attention(), again = attention();
            assertArrayEquals(mma, again);
            System.setProperty(property, "wgmma");
            float[] wgmma = attention();
            assertArrayEquals(mma, first);
            assertFalse(java.util.Arrays.equals(mma, wgmma), "sums in another order give other bits");
            for (int i = 0; i < mma.length; i++) assertEquals(mma[i], wgmma[i], 0x1p-6, "element " + i);
            SimulatedCuda.architecture(8);
            refused(
                    "cuda",
                    "Simulated card has architecture 8.0, wgmma is for 9.0",
                    "Leave out -Dcortigan.cuda.attention");
            System.setProperty(property, "tcgen05");
            refused("cuda", "-Dcortigan.cuda.attention", "'tcgen05' is unknown", "mma or wgmma");
            System.clearProperty(property);
            Devices.open("cuda", 0).close();
        } finally {
            System.clearProperty(property);
            SimulatedCuda.reset();
            Devices.open("cuda", 0).close();
        }
    }

    private static float[] attention() {
        Graph g = new Graph();
        g.output("y", Ops.attention(g.input("x", DType.BF16, 1, 70, 3 * 64), 1));
        try (Device d = Devices.open("cuda", 0);
                Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            s.input("x").write(numbers(70 * 3 * 64, 5));
            s.run();
            return s.output("y").toFloats();
        }
    }

    private static void refused(String name, String... says) {
        String m =
                assertThrows(InputException.class, () -> Devices.open(name, 0)).getMessage();
        for (String s : says) assertTrue(m.contains(s), m);
        assertFalse(m.contains("\n"), m);
    }

    @Test
    void deviceAutoReportsItsChoiceAndTheReason() {
        List<String> said = new ArrayList<>();
        try (Device d = Devices.open("auto", 0, said::add)) {
            assertTrue(d.name().startsWith("cuda:0"));
            assertTrue(said.get(0).startsWith("device: cuda:0") && said.get(0).contains("because"), said.get(0));
        }
        said.clear();
        SimulatedCuda.devices(0);
        try (Device d = Devices.open("auto", 1, said::add)) {
            assertTrue(d.name().startsWith("cpu"));
            assertTrue(said.get(0).startsWith("device: cpu") && said.get(0).contains("sees no card"), said.get(0));
        }
    }

    @Test
    void processesShareOutAllCards() {
        SimulatedCuda.devices(2);
        List<String> said = new ArrayList<>();
        assertEquals(List.of("cuda:0", "cuda:1"), Devices.all("cuda", said::add));
        assertEquals(List.of("cuda:1"), Devices.all("cuda:1", said::add));
        assertEquals(List.of("cpu"), Devices.all("cpu", said::add));
        assertEquals(List.of(), said);
        assertEquals(List.of("cuda:0", "cuda:1"), Devices.all("auto", said::add));
        assertTrue(said.get(0).startsWith("devices: cuda:0, cuda:1, chosen because"), said.get(0));
        SimulatedCuda.devices(0);
        assertEquals(List.of("cpu"), Devices.all("auto", said::add));
        assertTrue(said.get(1).startsWith("device: cpu") && said.get(1).contains("sees no card"), said.get(1));
        assertThrows(InputException.class, () -> Devices.all("cuda", said::add));
        assertThrows(InputException.class, () -> Devices.all("gpu", said::add));
    }

    @Test
    void theReportHasVersionsAndCards() {
        SimulatedCuda.devices(2);
        DeviceProvider p = Devices.providers().get(0);
        List<String> l = p.report();
        assertTrue(
                l.get(0).contains("driver for CUDA 13.0, runtime 13.0")
                        && l.get(0).contains("cuBLAS"),
                l.get(0));
        assertTrue(l.get(2).contains("cuda:1: Simulated card, architecture 9.0, 1.0 GiB: available"), l.get(2));
        SimulatedCuda.devices(0);
        assertTrue(p.report().get(1).contains("unavailable: device cuda: the driver sees no card"));
    }
}
