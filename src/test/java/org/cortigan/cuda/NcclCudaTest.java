// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.LocalRanks;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.AllReduce;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Ranks with a simulated card each, which reduce by a simulated NCCL. */
@Tag("cuda")
@ExtendWith(NothingLeftOpen.class)
class NcclCudaTest {
    private static final int LAYERS = 4, WIDTH = 256, RANKS = 2;
    /** A run that is launched, two that are recorded, and a second replay of each recording. */
    private static final int RUNS = 5;

    @BeforeEach
    void begin() {
        SimulatedCuda.devices(RANKS);
    }

    private static float[] numbers(int seed) {
        float[] f = new float[WIDTH];
        for (int i = 0; i < WIDTH; i++) f[i] = (float) Math.sin(seed * 1000 + i);
        return f;
    }

    /** Gradients of a deep network of elementwise layers, one kernel a node; their means over the ranks if asked. */
    private static Graph gradients(boolean reduced) {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, WIDTH);
        List<Value> weights = new ArrayList<>();
        for (int i = 0; i < LAYERS; i++) {
            Value w = g.variable("w" + i, DType.F32, WIDTH);
            weights.add(w);
            x = Ops.activation(Ops.mul(x, w), Activation.Kind.GELU, 0);
        }
        List<Value> d = Gradients.of(List.of(x), List.of(g.input("seed", DType.F32, WIDTH)), weights);
        // Each in a bucket of its own, as large gradients are.
        for (int i = LAYERS - 1; i >= 0; i--)
            g.output("d" + i, reduced ? AllReduce.means(List.of(d.get(i))).get(0) : d.get(i));
        return g;
    }

    /** The gradients of the last of several runs; the nodes that a run launches. */
    private record Ran(List<float[]> gradients, Node[] launched) {}

    private static Ran run(Device d, int rank, boolean reduced, int runs) {
        try (Variables v = new Variables(d);
                Session s = new Session(gradients(reduced), d, v)) {
            for (int i = 0; i < LAYERS; i++) v.find("w" + i).write(numbers(i));
            for (int r = 0; r < runs; r++) {
                s.input("x").write(numbers(100 * (rank + 1) + r));
                s.input("seed").write(numbers(50));
                s.run();
            }
            List<float[]> gradients = new ArrayList<>();
            for (int i = 0; i < LAYERS; i++) gradients.add(s.output("d" + i).toFloats());
            return new Ran(gradients, s.launched());
        }
    }

    private static Ran run(Ranks ranks, int runs) {
        try (Device d = Devices.open("cuda", 0, ranks, s -> {})) {
            d.runtime().meet();
            Ran ran = run(d, ranks.rank(), true, runs);
            ranks.barrier();
            return ran;
        }
    }

    @Test
    void everyRankGetsTheMeanGradients() {
        List<Ran> alone = new ArrayList<>();
        try (Device d = new SimDevice(false)) {
            for (int rank = 0; rank < RANKS; rank++) alone.add(run(d, rank, false, RUNS));
        }
        for (boolean early : new boolean[] {false, true}) {
            SimulatedCuda.early(early);
            for (Ran got : LocalRanks.run(RANKS, r -> run(r, RUNS)))
                for (int i = 0; i < LAYERS; i++) {
                    float[] a = alone.get(0).gradients.get(i),
                            b = alone.get(1).gradients.get(i);
                    float[] want = new float[WIDTH];
                    for (int k = 0; k < WIDTH; k++) want[k] = a[k] / 2 + b[k] / 2;
                    assertArrayEquals(want, got.gradients.get(i), "d" + i + ", early: " + early);
                }
        }
    }

    private static boolean is(Node n, String kernel) {
        return n.op().name().equals(kernel);
    }

    /**
     * Kernels that a card runs before its reductions, added up: as early as they may begin, which is behind the kernel
     * of their gradient, or as late as they may, which is where a node waits for them or for a later one.
     */
    private static long kernelsBefore(Node[] launched, boolean early) {
        long kernels = 0, sum = 0;
        int begun = 0, waiting = 0;
        for (Node n : launched)
            if (is(n, AllReduce.BEGIN)) {
                begun++;
                waiting++;
                if (early) sum += kernels;
            } else if (is(n, AllReduce.END)) {
                int number = number(launched, n), ran = begun - waiting;
                if (!early && number > ran) {
                    sum += (number - ran) * kernels;
                    waiting -= number - ran;
                }
            } else kernels++;
        return sum;
    }

    /** Number of a reduction in the order in which they begin, from 1 on. */
    private static int number(Node[] launched, Node end) {
        int number = 0;
        for (Node n : launched) {
            if (is(n, AllReduce.BEGIN)) number++;
            if (n == end.input(0).node()) return number;
        }
        throw new AssertionError("a reduction ends that does not begin");
    }

    /** A replay runs the reductions as late as they may and as early as they may, in turn. */
    @Test
    void reductionsBeginBeforeTheBackwardPassEnds() {
        System.setProperty("cortigan.cuda.streams", "1");
        try {
            for (boolean early : new boolean[] {false, true}) {
                SimulatedCuda.early(early);
                long kernels = SimulatedCuda.kernels(),
                        reductions = SimulatedCuda.reductions(),
                        before = SimulatedCuda.kernelsBeforeReductions();
                Node[] n = LocalRanks.run(RANKS, r -> run(r, RUNS)).get(0).launched;
                long own = n.length - 2L * LAYERS;
                long selfTests = 2;
                assertEquals(RANKS * (RUNS * own + selfTests), SimulatedCuda.kernels() - kernels, "one kernel a node");
                assertEquals((long) RANKS * RUNS * LAYERS, SimulatedCuda.reductions() - reductions);
                long first = kernelsBefore(n, true), last = kernelsBefore(n, false);
                long ofEarlierRuns = LAYERS * own * (RUNS * (RUNS - 1) / 2);
                long want = (early ? first : last) + 2 * last + 2 * first + ofEarlierRuns;
                assertEquals(RANKS * want, SimulatedCuda.kernelsBeforeReductions() - before, "early: " + early);
                // The first gradient travels while those of all other layers are computed.
                List<Node> order = Arrays.asList(n);
                int begins = order.indexOf(order.stream()
                        .filter(k -> is(k, AllReduce.BEGIN))
                        .findFirst()
                        .orElseThrow());
                long later = order.subList(begins, n.length).stream()
                        .filter(k -> !is(k, AllReduce.BEGIN) && !is(k, AllReduce.END))
                        .count();
                assertTrue(later >= 2 * (LAYERS - 1), order.toString());
                assertTrue(first < last, first + " " + last);
            }
        } finally {
            System.clearProperty("cortigan.cuda.streams");
        }
    }

    /** What each rank says when it fails; "" if it does not. */
    private static List<String> failures(String device, int runs) {
        return LocalRanks.run(RANKS, ranks -> {
            try (Device d = Devices.open(device, 0, ranks, s -> {})) {
                d.runtime().meet();
                run(d, ranks.rank(), true, runs);
                return "";
            } catch (RuntimeException e) {
                return String.valueOf(e.getMessage());
            }
        });
    }

    @Test
    void aFailureOfNcclNamesRankCallAndText() {
        List<String> calls = List.of("ncclCommInitRank", "ncclAllReduce", "ncclAllReduce");
        int[] after = {1, 3, 2 * LAYERS + 3};
        for (int i = 0; i < calls.size(); i++) {
            SimulatedCuda.fail(calls.get(i), after[i], 2);
            List<String> said = failures("cuda", 3);
            assertFalse(SimulatedCuda.pending());
            String call = calls.get(i);
            assertTrue(
                    said.stream()
                            .anyMatch(s -> s.matches(".*rank [01] of 2 on host: " + call
                                    + ": unhandled system error .* \\(simulated detail\\)")),
                    said.toString());
            assertFalse(said.contains(""), "the other rank fails too: " + said);
        }
    }

    @Test
    void anErrorOfTheCommunicatorIsFoundWhereTheRunWaits() {
        SimulatedCuda.fail("ncclCommGetAsyncError", 4, 6);
        List<String> said = failures("cuda", 3);
        assertTrue(
                said.stream()
                        .anyMatch(
                                s -> s.matches(".*rank [01] of 2 on host: the reduction over the ranks: remote process "
                                        + "exited or there was a network error \\(simulated detail\\)")),
                said.toString());
    }

    @Test
    void ranksOfAMachineHaveTheirOwnCards() {
        assertEquals(List.of("cuda:0", "cuda:1"), LocalRanks.run(RANKS, ranks -> {
            List<String> notes = new ArrayList<>();
            try (Device cuda = Devices.open("cuda", 0, ranks, notes::add)) {
                String name = cuda.name().split(" ", 2)[0];
                try (Device auto = Devices.open("auto", 0, ranks, notes::add)) {
                    assertEquals(cuda.name(), auto.name());
                }
                return name;
            }
        }));
        for (String s : failures("cuda:1", 1))
            assertTrue(
                    s.startsWith("the card at 0000:02:00.0 on host: is that of rank 0 and of rank 1, and NCCL needs")
                            && s.contains("--device cuda"),
                    s);
        SimulatedCuda.devices(1);
        for (String s : failures("cuda", 1)) assertTrue(s.startsWith("the card at 0000:01:00.0 on host: is that"), s);
    }

    /** Runs in a separate JVM, with a folder that has all libraries except NCCL. */
    @Test
    void withoutNcclRanksAreToldTheRemedy(@TempDir Path dir) throws Exception {
        Path folder = Files.createDirectory(dir.resolve("some"));
        try (var files = Files.list(Path.of(System.getProperty(CudaLibraries.PATH)))) {
            for (Path f : files.toList())
                if (!f.getFileName().toString().equals(Nccl.LIBRARY)) Files.copy(f, folder.resolve(f.getFileName()));
        }
        File out = dir.resolve("out").toFile();
        Process p = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        "-Dcortigan.cuda.kernels=" + System.getProperty("cortigan.cuda.kernels"),
                        "-Dcortigan.cuda.ownProducts=true",
                        "-D" + CudaLibraries.PATH + "=" + folder,
                        WithoutNccl.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(out)
                .start();
        assertTrue(p.waitFor(60, TimeUnit.SECONDS), "the process ends");
        assertEquals(0, p.exitValue(), Files.readString(out.toPath()));
    }

    static final class WithoutNccl {
        public static void main(String[] args) {
            for (String s : failures("cuda", 1))
                if (!s.startsWith("device cuda: NCCL (libnccl.so.2), by which several ranks train together, does not")
                        || !s.contains("libnccl2")
                        || s.contains("\n")) throw new AssertionError(s);
            try (Device alone = Devices.open("cuda", 0)) {
                run(alone, 0, false, 1);
            }
        }
    }
}
