// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;
import org.cortigan.jni.ArgBuffer;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;
import org.cortigan.op.Activation;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Products on two streams of a simulated CUDA runtime, which runs a stream as late or as early as it may. */
@Tag("cuda")
@ExtendWith(NothingLeftOpen.class)
class BranchCudaTest {
    private static final String STREAMS = "cortigan.cuda.streams",
            OWN = "cortigan.cuda.ownProducts",
            EARLY = "cortigan.cuda.earlyLaunch";
    private static final int RUNS = 5, ROWS = 32, WIDTH = 48, LAYERS = 3, PAIRS = LAYERS + 1;

    /** Runs work while system properties have the given values. */
    private static <T> T with(String streams, String own, Supplier<T> work) {
        String before = System.setProperty(OWN, own);
        System.setProperty(STREAMS, streams);
        try {
            return work.get();
        } finally {
            System.clearProperty(STREAMS);
            System.setProperty(OWN, before);
        }
    }

    /** Gradients of a convolution over vertices and linear layers after it. */
    private static Graph gradients() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, ROWS, 1, 2 * WIDTH, 8);
        List<Value> parameters = new ArrayList<>();
        Value k0 = g.variable("k0", DType.F32, 8, 8, 1, 3), k1 = g.variable("k1", DType.F32, 4, 8, 1, 3);
        parameters.addAll(List.of(k0, k1));
        x = Ops.conv2d(x, k0, null, null, 1, 1, 0, 1);
        x = Ops.conv2d(x, k1, null, null, 1, 8, 0, 1);
        x = Ops.reshape(x, ROWS, WIDTH);
        for (int i = 0; i < LAYERS; i++) {
            Value w = g.variable("w" + i, DType.F32, WIDTH, WIDTH), b = g.variable("b" + i, DType.F32, WIDTH);
            parameters.addAll(List.of(w, b));
            x = Ops.activation(Ops.matmul(x, w, false, true, b, null, DType.F32), Activation.Kind.GELU, 0);
        }
        Value loss = Ops.sumLeading(Ops.reshape(Ops.mul(x, x), ROWS * WIDTH, 1), Shape.of(1));
        List<Value> d = Gradients.of(loss, parameters);
        for (int i = 0; i < d.size(); i++) g.output("d" + i, d.get(i));
        return g;
    }

    private static float[] numbers(long n, int seed) {
        float[] f = new float[Math.toIntExact(n)];
        for (int i = 0; i < f.length; i++) f[i] = (float) Math.sin(seed * 1000 + i) / 8;
        return f;
    }

    /** All gradients of {@link #RUNS} runs. */
    private static float[] run(Device d) {
        Graph g = gradients();
        List<float[]> all = new ArrayList<>();
        try (Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            int pairs = 0;
            for (Node n : s.launched()) if (s.plan().besideNext(n)) pairs++;
            assertEquals(d.runtime().hasBranch() ? PAIRS : 0, pairs);
            for (Node n : g.nodes())
                if (n.op() instanceof org.cortigan.graph.Leaf.Variable leaf)
                    v.find(leaf.id())
                            .write(numbers(
                                    leaf.type().shape().elements(), leaf.id().hashCode() % 100));
            for (int r = 0; r < RUNS; r++) {
                s.input("x").write(numbers(ROWS * 2 * WIDTH * 8, r));
                s.run();
                for (String name : g.outputs().keySet()) all.add(s.output(name).toFloats());
            }
        }
        int n = all.stream().mapToInt(f -> f.length).sum(), at = 0;
        float[] out = new float[n];
        for (float[] f : all) {
            System.arraycopy(f, 0, out, at, f.length);
            at += f.length;
        }
        return out;
    }

    private static float[] runOnCard() {
        try (Device d = Devices.open("cuda", 0)) {
            return run(d);
        }
    }

    @Test
    void twoStreamsGiveTheBitsOfOne() {
        for (String own : List.of("true", "false")) {
            float[] want = with("1", own, BranchCudaTest::runOnCard);
            for (boolean early : new boolean[] {false, true}) {
                SimulatedCuda.early(early);
                assertArrayEquals(want, with("2", own, BranchCudaTest::runOnCard), "own products: " + own);
            }
        }
        try (Device d = new SimDevice(false)) {
            assertArrayEquals(run(d), with("2", "true", BranchCudaTest::runOnCard));
        }
    }

    /**
     * Leaves out one call at a time, in the first run and in a recording. Each fork shows, and so does the last join of
     * a run; an earlier one shows only if memory changes hands before the next join.
     */
    @Test
    void aMissingForkOrJoinIsNoticed() {
        float[] want = with("1", "true", BranchCudaTest::runOnCard);
        for (String call : List.of("cudaStreamWaitEvent", "cudaEventRecord")) {
            int calls = 2 * PAIRS, others = call.equals("cudaEventRecord") ? 1 : 0; // the event at the end of a run
            for (int run = 0; run < 2; run++)
                for (int i = 0; i < calls; i++) {
                    boolean fork = i % 2 == 0;
                    if (fork || i == calls - 1)
                        assertTrue(noticed(call, run * (calls + others) + i, want), call + " " + run + " " + i);
                }
        }
    }

    /** Whether a run without one call fails or gives other bits, with streams that run late or early. */
    private static boolean noticed(String call, int before, float[] want) {
        boolean noticed = false;
        for (boolean early : new boolean[] {false, true}) {
            SimulatedCuda.early(early);
            try (Device d = Devices.open("cuda", 0)) {
                SimulatedCuda.fail(call, before, SimulatedCuda.SKIP);
                noticed |= !Arrays.equals(want, run(d));
            } catch (IllegalStateException e) {
                noticed = true;
            }
            assertFalse(SimulatedCuda.pending(), call + " was not called so often");
        }
        return noticed;
    }

    @Test
    void aRecordingWithoutItsJoinIsRefused() {
        try (Device d = Devices.open("cuda", 0);
                Memory device = d.allocate(4);
                Memory host = d.allocateHost(8)) {
            DeviceRuntime r = d.runtime();
            Runnable copy = () -> r.aside(() -> r.upload(device.address(), host.address(), 4));
            RuntimeException e = assertThrows(RuntimeException.class, () -> r.record(copy));
            assertTrue(e.getMessage().contains("cudaErrorStreamCaptureUnjoined"), e.getMessage());
            r.record(() -> {
                        copy.run();
                        r.join();
                    })
                    .close();
        }
    }

    /** Replays run the branches in both orders, so that memory which they share shows. */
    @Test
    void memoryThatBranchesShareIsNoticed() {
        try (Device d = Devices.open("cuda", 0);
                Memory device = d.allocate(4);
                Memory host = d.allocateHost(12)) {
            DeviceRuntime r = d.runtime();
            host.view(0, 12).putInt(0, 1).putInt(4, 2);
            try (DeviceRuntime.Recorded both = r.record(() -> {
                r.aside(() -> r.upload(device.address(), host.address(), 4));
                r.upload(device.address(), host.address() + 4, 4);
                r.join();
                r.download(host.address() + 8, device.address(), 4);
            })) {
                int[] got = new int[2];
                for (int i = 0; i < 2; i++) {
                    both.launch();
                    r.synchronize();
                    got[i] = host.view(8, 4).getInt(0);
                }
                assertEquals(3, got[0] + got[1], Arrays.toString(got));
            }
        }
    }

    @Test
    void aTimedRunAndAnErrorLeaveTheStreamsInOrder() {
        float[] want = with("1", "true", BranchCudaTest::runOnCard);
        try (Device d = Devices.open("cuda", 0)) {
            try (Variables v = new Variables(d);
                    Session s = new Session(gradients(), d, v)) {
                s.run();
                s.runTimed(new long[s.launched().length], new long[s.launched().length]);
                s.run();
            }
            for (int launch = 8; launch < 60; launch += 3) {
                SimulatedCuda.fail("launch", launch, 209);
                RuntimeException e = assertThrows(RuntimeException.class, () -> run(d));
                assertTrue(e.getMessage().contains("no kernel image"), e.getMessage());
            }
            assertArrayEquals(want, run(d), "the device works as before");
        }
    }

    /**
     * The simulation refuses an early launch behind anything but a kernel. In this graph kernels follow each other only
     * where CortiGAN computes the products, and between the activation's gradient and the sums of the loss.
     */
    @Test
    void aKernelBeginsEarlyOnlyBehindAnotherKernel() {
        for (String own : List.of("true", "false")) {
            System.setProperty(EARLY, "false");
            long before = SimulatedCuda.earlyLaunches();
            float[] want = with("2", own, BranchCudaTest::runOnCard);
            assertEquals(before, SimulatedCuda.earlyLaunches());
            System.clearProperty(EARLY);
            assertArrayEquals(want, with("2", own, BranchCudaTest::runOnCard));
            long early = SimulatedCuda.earlyLaunches() - before;
            assertTrue(early > 0, "own products: " + own + ", early launches: " + early);
        }
    }

    @Test
    void anEarlyLaunchBehindOtherWorkIsNoticed() {
        try (Device d = Devices.open("cuda", 0);
                Memory device = d.allocate(512);
                Memory host = d.allocateHost(16);
                Memory args = Memory.allocate(256)) {
            DeviceRuntime r = d.runtime();
            ArgBuffer w = new ArgBuffer("cast", args.view(0, 256), args.address());
            w.input("x", device.address())
                    .output("y", device.address() + 256)
                    .i64("n", 4)
                    .choice("type_y", "BF16");
            w.finish();
            long cast = Kernels.function(
                            Backend.CUDA.number(), "cast", DType.F32.variant(), args.address(), Optional.empty())
                    .address();
            Runnable first = () -> Native.launch(cast, args.address(), r.stream());
            Runnable early = () -> Native.launch(cast, args.address(), r.streamAfterKernel());
            List<Runnable> others =
                    List.of(() -> r.upload(device.address(), host.address(), 16), () -> r.aside(first), r::join);
            first.run();
            early.run();
            for (Runnable other : others) {
                first.run();
                other.run();
                RuntimeException e = assertThrows(RuntimeException.class, early::run);
                assertTrue(e.getMessage().contains("follows other work"), e.getMessage());
            }
            first.run();
            assertThrows(RuntimeException.class, () -> r.record(early), "a recording begins anew");
            r.synchronize();
        }
    }

    @Test
    void theNumberOfStreamsIsChecked() {
        InputException e = assertThrows(InputException.class, () -> with("3", "true", () -> Devices.open("cuda", 0)));
        assertTrue(
                e.getMessage().contains("-Dcortigan.cuda.streams")
                        && e.getMessage().contains("2 or 1"),
                e.toString());
    }
}
