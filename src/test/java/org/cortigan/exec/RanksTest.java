// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.function.Function;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.jni.Memory;
import org.cortigan.op.AllReduce;
import org.cortigan.op.Ops;
import org.cortigan.ranks.SocketTransport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RanksTest {
    /** Numbers of one rank, of very different sizes, so that the order of a sum shows. */
    private static float[] numbers(int rank, int n) {
        SplittableRandom r = new SplittableRandom(rank);
        float[] x = new float[n];
        for (int i = 0; i < n; i++) x[i] = (float) (r.nextGaussian() * Math.pow(10, r.nextInt(-6, 6)));
        return x;
    }

    private static float[] reduced(Ranks ranks, int n, boolean mean) {
        try (Memory m = Memory.allocate(4L * n)) {
            m.view(0, 4L * n).asFloatBuffer().put(numbers(ranks.rank(), n));
            Ranks.Reduction r = ranks.reduction(n, false, mean);
            r.begin(m.address());
            r.end();
            float[] x = new float[n];
            m.view(0, 4L * n).asFloatBuffer().get(x);
            return x;
        }
    }

    private static float[] expected(int ranks, int n, boolean mean) {
        double[] sum = new double[n];
        for (int r = 0; r < ranks; r++) {
            float[] x = numbers(r, n);
            for (int i = 0; i < n; i++) sum[i] += x[i];
        }
        float[] y = new float[n];
        for (int i = 0; i < n; i++) y[i] = (float) (sum[i] * (mean ? 1.0 / ranks : 1));
        return y;
    }

    /** Sizes on both sides of one exchange, and those that do not divide by the number of ranks. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7, 5461, 5462, 100_003})
    void everyRankGetsTheSumInTheOrderOfTheRanksRoundedOnce(int n) {
        for (int size : new int[] {2, 3})
            for (boolean mean : new boolean[] {false, true})
                for (float[] x : LocalRanks.run(size, r -> reduced(r, n, mean)))
                    assertArrayEquals(expected(size, n, mean), x, size + " ranks");
    }

    @Test
    void socketsMoveTheSameBytes() {
        int size = 3, n = 1_000_003;
        List<float[]> all = overSockets(size, r -> reduced(r, n, true));
        for (float[] x : all) assertArrayEquals(expected(size, n, true), x);
    }

    private static <T> List<T> overSockets(int size, Function<Ranks, T> work) {
        String[] addresses = new String[size];
        CountDownLatch known = new CountDownLatch(size);
        return LocalRanks.run(
                size,
                rank -> SocketTransport.join("127.0.0.1", 7, rank, own -> {
                    addresses[rank] = own;
                    known.countDown();
                    try {
                        known.await();
                    } catch (InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                    return Arrays.asList(addresses);
                }),
                work);
    }

    @Test
    void aLostRankIsNamed() {
        IllegalStateException e = assertThrows(
                IllegalStateException.class,
                () -> overSockets(2, r -> {
                    if (r.rank() == 1) throw new IllegalStateException("its own reason");
                    return reduced(r, 1000, false);
                }));
        assertTrue(e.getMessage().contains("rank 0 of 2 on host lost the others: rank 1 is lost"), e.getMessage());
    }

    @Test
    void ranksAgreeAndTellEachOther() {
        List<List<Object>> all = LocalRanks.run(3, r -> {
            List<Object> told = new ArrayList<>();
            told.add(r.largest(10 * r.rank()));
            for (byte[] b : r.gather(new byte[r.rank()])) told.add(b.length);
            told.add(r.fromFirst(new byte[] {(byte) (5 + r.rank())})[0]);
            told.add(r.localSize());
            r.barrier();
            return told;
        });
        for (List<Object> told : all) assertEquals(List.of(20, 0, 1, 2, (byte) 5, 3), told);
        assertEquals(List.of(0, 1, 2), LocalRanks.run(3, Ranks::localRank));
    }

    /**
     * A graph: gradients of several sizes, of which some lie in one bucket and some are copied, and a reader of one.
     */
    private static float[] means(Ranks ranks) {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 64);
        Value a = Ops.scale(x, 1 + ranks.rank()), b = Ops.scale(a, 2), c = Ops.slice(a, 0, 3, 8);
        List<Value> means = AllReduce.means(List.of(c, b, a));
        g.output("a", means.get(2));
        g.output("b", means.get(1));
        g.output("c", means.get(0));
        try (Device device = CpuDevice.best(1).in(ranks);
                Variables vars = new Variables(device);
                Session s = new Session(g, device, vars)) {
            s.input("x").write(numbers(7, 64), 0);
            float[] all = new float[64 + 64 + 5];
            for (int run = 0; run < 2; run++) s.run();
            s.output("a").read(all, 0);
            s.output("b").read(all, 64);
            s.output("c").read(all, 128);
            return all;
        }
    }

    @Test
    void aGraphReducesWhatItsNodesCompute() {
        float[] want = new float[133], x = numbers(7, 64);
        for (int i = 0; i < 64; i++) {
            want[i] = 1.5f * x[i];
            want[64 + i] = 3 * x[i];
        }
        System.arraycopy(want, 3, want, 128, 5);
        for (float[] got : LocalRanks.run(2, RanksTest::means)) assertArrayEquals(want, got, 1e-6f);
    }

    @Test
    void aReductionBeginsAsSoonAsItCanAndEndsWhenItsSumIsRead() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 64), first = Ops.scale(x, 2), later = x;
        for (int i = 0; i < 4; i++) later = Ops.scale(later, 3);
        Value mean = AllReduce.means(List.of(first)).get(0);
        g.output("y", Ops.add(mean, later));
        List<String> order = Session.plan(g, new NullDevice()).steps().stream()
                .filter(n -> !n.inputs().isEmpty())
                .map(Node::op)
                .map(op -> op.name())
                .toList();
        assertEquals(
                List.of("mul", "assemble", "all_reduce", "mul", "mul", "mul", "mul", "all_reduce_end", "split", "add"),
                order);
    }

    @Test
    void aDeviceWithoutRanksRefusesTheGraph() {
        Graph g = new Graph();
        g.output("y", AllReduce.sum(Ops.scale(g.input("x", DType.F32, 4), 2)));
        try (Device device = CpuDevice.best(1);
                Variables vars = new Variables(device);
                Session s = new Session(g, device, vars)) {
            RuntimeException e = assertThrows(RuntimeException.class, s::run);
            assertTrue(e.getMessage().contains("without the ranks of a run"), e.getMessage());
        }
    }
}
