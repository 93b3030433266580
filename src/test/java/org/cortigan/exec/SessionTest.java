// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.cortigan.jni.Memory;
import org.cortigan.op.Activation;
import org.cortigan.op.ArgWriter;
import org.cortigan.op.Binary;
import org.cortigan.op.Cost;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

class SessionTest {
    /** Adds x to a variable in place. */
    private record Increment() implements Op.Update {
        @Override
        public String name() {
            return "increment";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(in.get(0).type());
        }

        @Override
        public int storage(int output) {
            return 0;
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, n.output(0).shape().elements());
        }

        @Override
        public String kernel() {
            return "binary";
        }

        @Override
        public void args(Node n, ArgWriter w) {
            long e = n.output(0).shape().elements();
            w.in("a", 0).in("b", 1).out("y", 0).i64("n", e).i64("m", e);
            w.choice("op", Binary.Kind.ADD)
                    .type("type_b", DType.F32)
                    .f64("alpha", 1)
                    .f64("beta", 1);
        }
    }

    @Test
    void readersOfTheOldContentsRunBeforeTheUpdate() {
        CpuDevice cpu = CpuDevice.best(2);
        Graph g = new Graph();
        Value v = g.variable("v", DType.F32, 3), x = g.input("x", DType.F32, 3);
        Value updated = g.apply(new Increment(), v, x).output(0);
        g.output("new", Ops.scale(updated, 2));
        g.output("old", Ops.scale(v, 2));
        try (Variables vars = new Variables(cpu);
                Session s = new Session(g, cpu, vars)) {
            vars.find("v").write(new float[] {1, 2, 3});
            s.input("x").write(new float[] {10, 10, 10});
            s.run();
            assertArrayEquals(new float[] {2, 4, 6}, s.output("old").toFloats());
            assertArrayEquals(new float[] {22, 24, 26}, s.output("new").toFloats());
            s.run();
            assertArrayEquals(new float[] {22, 24, 26}, s.output("old").toFloats());
            assertArrayEquals(new float[] {21, 22, 23}, vars.find("v").toFloats());
        }
    }

    @Test
    void twoUpdatesOfOneVariableAreRefused() {
        Graph g = new Graph();
        Value v = g.variable("v", DType.F32, 3), x = g.input("x", DType.F32, 3);
        g.output("a", g.apply(new Increment(), v, x).output(0));
        g.output("b", g.apply(new Increment(), v, x).output(0));
        assertTrue(assertThrows(IllegalStateException.class, () -> Session.plan(g, new NullDevice()))
                .getMessage()
                .contains("overwrite"));
    }

    @Test
    void tablesAreFilledOnEveryDeviceAndEqualTablesAreShared() {
        for (Device d : List.of(CpuDevice.best(2), CpuDevice.doubleReference(), new SimDevice(false))) {
            Graph g = new Graph();
            Value t = g.table(new int[] {2, 0, 1, 2}, 4), x = g.input("x", DType.F32, 3, 1);
            assertSame(t, g.table(new int[] {2, 0, 1, 2}, 4));
            assertNotSame(t, g.table(new int[] {2, 0, 1, 1}, 4));
            assertNotSame(t, g.table(new int[] {2, 0, 1, 2}, 2, 2));
            assertTrue(g.toString().contains("4 numbers #"), g.toString());
            g.output("y", g.apply(new GatherRows(), x, t).output(0));
            Value floats = g.table(new float[] {0.5f, -2, 3}, 3, 1);
            assertSame(floats, g.table(new float[] {0.5f, -2, 3}, 3, 1));
            assertNotSame(floats, g.table(new float[] {0.5f, -2, 4}, 3, 1));
            g.output("z", g.apply(new GatherRows(), floats, t).output(0));
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                s.input("x").write(new float[] {10, 20, 30});
                s.run();
                assertArrayEquals(new float[] {30, 10, 20, 30}, s.output("y").toFloats(), d.name());
                assertArrayEquals(new float[] {3, 0.5f, -2, 3}, s.output("z").toFloats(), d.name());
            }
        }
        assertThrows(IllegalArgumentException.class, () -> new Graph().table(new int[3], 4));
    }

    @Test
    void floatingPointTablesAreFilledOnEveryDeviceAndEqualTablesAreShared() {
        float[] rows = {0.5f, -0.0f, 1e-30f, 3};
        for (Device d : List.of(CpuDevice.best(2), CpuDevice.doubleReference(), new SimDevice(false))) {
            Graph g = new Graph();
            Value t = g.table(rows, 2, 2), index = g.input("index", DType.I32, 3);
            assertSame(t, g.table(rows.clone(), 2, 2));
            assertNotSame(t, g.table(new float[] {0.5f, 0, 1e-30f, 3}, 2, 2));
            assertNotSame(t, g.table(rows, 4));
            assertNotSame(t, g.table(new int[] {0x3f000000, 0x80000000, 0x0da24260, 0x40400000}, 2, 2));
            assertTrue(g.toString().contains("4 numbers #"), g.toString());
            Graph copied = new Graph();
            assertEquals(
                    g.nodes().get(0).op(),
                    copied.copy((Leaf) t.node().op()).node().op());
            g.output("y", g.apply(new GatherRows(), t, index).output(0));
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                s.input("index").write(new int[] {1, 0, 1});
                s.run();
                float[] want = {1e-30f, 3, 0.5f, -0.0f, 1e-30f, 3};
                assertArrayEquals(want, s.output("y").toFloats(), d.name());
            }
        }
        assertThrows(IllegalArgumentException.class, () -> new Graph().table(new float[3], 4));
    }

    private static Graph mlp() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 32, 64);
        for (int i = 0; i < 4; i++) {
            Value w = g.variable("w" + i, DType.F32, 64, 64), b = g.variable("b" + i, DType.F32, 64);
            x = Ops.activation(Ops.matmul(x, w, false, true, b, null, DType.F32), Activation.Kind.GELU, 0);
        }
        g.output("y", x);
        return g;
    }

    @Test
    void aRunAllocatesNothing() {
        CpuDevice cpu = CpuDevice.best(2);
        try (Variables vars = new Variables(cpu);
                Session s = new Session(mlp(), cpu, vars)) {
            for (int i = 0; i < 500; i++) s.run();
            var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
            long live = Memory.liveBytes();
            threads.getCurrentThreadAllocatedBytes();
            // Now and then the JVM itself charges a few hundred bytes to a thread; allocations of a run would show in
            // every round.
            long fewestBytes = Long.MAX_VALUE;
            for (int round = 0; round < 5; round++) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < 200; i++) s.run();
                fewestBytes = Math.min(fewestBytes, threads.getCurrentThreadAllocatedBytes() - before);
            }
            assertEquals(0, fewestBytes, "bytes on the heap in 200 runs");
            assertEquals(live, Memory.liveBytes());
        }
    }

    @Test
    void closeFreesAllMemory() {
        long blocks = Memory.live();
        CpuDevice cpu = CpuDevice.best(2);
        for (int i = 0; i < 3; i++)
            try (Variables vars = new Variables(cpu);
                    Session s = new Session(mlp(), cpu, vars)) {
                s.run();
                assertTrue(Memory.live() > blocks);
            }
        assertEquals(blocks, Memory.live());
    }

    @Test
    void theNullDevicePlansTheSameGraphWithoutMemory() {
        long blocks = Memory.live();
        Graph g = mlp();
        var report = Session.plan(g, new NullDevice()).report();
        assertEquals(8, report.steps());
        // a chain with in-place activations: two tensors are alive at once
        assertEquals(2 * 32 * 64 * 4, report.arenaBytes());
        assertTrue(report.fragmentation() <= 1.15);
        assertEquals(blocks, Memory.live());
        assertEquals(mlp().toString(), g.toString());
    }

    @Test
    void theNullDeviceRefusesToRun() {
        Device none = new NullDevice();
        try (Variables vars = new Variables(none)) {
            String m = assertThrows(UnsupportedOperationException.class, () -> new Session(mlp(), none, vars))
                    .getMessage();
            assertTrue(m.contains("only plans"), m);
        }
    }

    /** Names of the ops that a session launches. */
    private static List<String> launched(Session s) {
        return Arrays.stream(s.launched()).map(n -> n.op().name()).toList();
    }

    private static float[] counting(int n) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = i;
        return f;
    }

    @Test
    void partsOfAVariableAreViewsAndTheirGradientsAreComputedInOneTensor() {
        for (Device d : List.of(CpuDevice.best(2), CpuDevice.doubleReference(), new SimDevice(false))) {
            Graph g = new Graph();
            List<Value> parts = Ops.split(g.variable("w", DType.F32, 3, 64), 1, 2);
            Value joined = Ops.concat(0, Ops.scale(parts.get(0), 2), Ops.scale(parts.get(1), 3));
            g.output("y", Ops.scale(joined, 10));
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                vars.find("w").write(counting(192));
                s.run();
                assertEquals(List.of("mul", "mul", "mul"), launched(s), d.name());
                float[] y = s.output("y").toFloats();
                for (int i = 0; i < 192; i++) assertEquals(i * (i < 64 ? 20 : 30), y[i], d.name());
            }
        }
    }

    @Test
    void partsThatCannotLieInOneTensorAreCopied() {
        CpuDevice cpu = CpuDevice.best(2);
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 1, 64), odd = g.input("odd", DType.F32, 1, 3);
        Value twice = Ops.scale(x, 2), thrice = Ops.scale(odd, 3);
        g.output("a leaf", Ops.concat(0, twice, x));
        g.output("one value twice", Ops.concat(0, twice, twice));
        g.output("unaligned", Ops.concat(0, thrice, Ops.scale(odd, 4)));
        Value other = Ops.scale(x, 5), joined = Ops.concat(0, other, Ops.scale(x, 6));
        g.output("in one join", joined);
        g.output("and in another", Ops.concat(0, other, Ops.scale(x, 7)));
        g.output("joined again", Ops.concat(0, joined, Ops.scale(x, 8)));
        try (Variables vars = new Variables(cpu);
                Session s = new Session(g, cpu, vars)) {
            s.input("x").write(counting(64));
            s.input("odd").write(counting(3));
            s.run();
            assertEquals(
                    5, launched(s).stream().filter(n -> n.equals("assemble")).count());
            Map<String, int[]> factors = Map.of(
                    "a leaf", new int[] {2, 1},
                    "one value twice", new int[] {2, 2},
                    "unaligned", new int[] {3, 4},
                    "in one join", new int[] {5, 6},
                    "and in another", new int[] {5, 7},
                    "joined again", new int[] {5, 6, 8});
            factors.forEach((name, f) -> {
                float[] y = s.output(name).toFloats();
                int n = y.length / f.length;
                for (int i = 0; i < y.length; i++) assertEquals(i % n * f[i / n], y[i], name);
            });
        }
    }

    @Test
    void aPartOfAVariableIsRefusedAsAnOutput() {
        CpuDevice cpu = CpuDevice.best(2);
        Graph g = new Graph();
        g.output("y", Ops.split(g.variable("w", DType.F32, 2, 64), 1, 1).get(1));
        try (Variables vars = new Variables(cpu)) {
            String m = assertThrows(IllegalArgumentException.class, () -> new Session(g, cpu, vars))
                    .getMessage();
            assertTrue(m.contains("is a part of 'w': read that instead"), m);
        }
    }

    @Test
    void sessionsShareAnArena() {
        for (Device d : List.of(CpuDevice.best(2), new SimDevice(false))) {
            long blocks = Memory.live();
            try (Arena arena = new Arena(d);
                    Variables vars = new Variables(d);
                    Session large = new Session(doubled(5000), d, vars, arena);
                    Session small = new Session(doubled(300), d, vars, arena)) {
                assertSame(large.arena(), small.arena());
                for (Session s : List.of(large, small)) {
                    s.input("x").fill(21);
                    s.run();
                    assertEquals(42, s.output("y").get(299), d.name());
                }
                try (Session larger = new Session(doubled(9000), d, vars, arena)) {
                    assertNotSame(large.arena(), larger.arena(), "the larger session needs a larger block");
                }
            }
            assertEquals(
                    blocks,
                    Memory.live() - (d instanceof SimDevice ? 1 : 0),
                    "everything but the staging memory is freed");
            d.close();
        }
    }

    @Test
    void variablesAndArenaOfAnotherDeviceAreRefused() {
        CpuDevice a = CpuDevice.best(1), b = CpuDevice.best(1);
        try (Variables ofA = new Variables(a);
                Variables ofB = new Variables(b);
                Arena arena = new Arena(b)) {
            for (Runnable open : List.<Runnable>of(
                    () -> new Session(mlp(), a, ofB).close(), () -> new Session(mlp(), a, ofA, arena).close()))
                assertTrue(assertThrows(IllegalArgumentException.class, open::run)
                        .getMessage()
                        .contains("on another device"));
        }
    }

    private static Graph doubled(int n) {
        Graph g = new Graph();
        g.output("y", Ops.scale(g.input("x", DType.F32, n), 2));
        return g;
    }

    @Test
    void scalarsComeFromTheLastRunAndOnAStreamAlsoFromTheRunBefore() {
        double[] got = new double[5];
        for (Device each : List.of(CpuDevice.best(1), CpuDevice.doubleReference(), new SimDevice(false)))
            try (Device d = each;
                    Variables vars = new Variables(d);
                    Session s = new Session(doubled(5), d, vars)) {
                Scalars y = s.scalars(List.of("y"));
                for (int run = 1; run <= 4; run++) {
                    s.input("x").fill(run);
                    s.run();
                    y.read(0, got);
                    assertEquals(2 * run, got[4], d.name());
                }
                if (d.runtime().isAsynchronous()) {
                    y.read(1, got);
                    assertEquals(6, got[0]);
                } else {
                    assertThrows(IllegalArgumentException.class, () -> y.read(1, got));
                }
            }
    }

    @Test
    void onAStreamLargeOutputsAreRefusedAsScalars() {
        try (Device d = new SimDevice(false);
                Variables vars = new Variables(d);
                Session s = new Session(doubled(257), d, vars)) {
            String m = assertThrows(IllegalArgumentException.class, () -> s.scalars(List.of("y")))
                    .getMessage();
            assertTrue(m.contains("f32[257]"), m);
        }
    }

    @Test
    void useByAnotherThreadIsRefused() throws InterruptedException {
        CpuDevice cpu = CpuDevice.best(1);
        try (Variables vars = new Variables(cpu);
                Session s = new Session(mlp(), cpu, vars)) {
            AtomicReference<Throwable> thrown = new AtomicReference<>();
            Thread t = new Thread(() -> {
                try {
                    s.run();
                } catch (IllegalStateException e) {
                    thrown.set(e);
                }
            });
            t.start();
            t.join();
            assertTrue(thrown.get().getMessage().contains("confined"));
        }
    }

    @Test
    void mismatchedShapesAreNamed() {
        Graph g = new Graph();
        Value a = g.input("a", DType.F32, 3, 4), b = g.input("b", DType.F32, 5, 6);
        String m = assertThrows(
                        IllegalArgumentException.class, () -> Ops.matmul(a, b, false, false, null, null, DType.F32))
                .getMessage();
        assertTrue(m.contains("f32[3, 4]") && m.contains("f32[5, 6]") && m.contains("inner extents"), m);
    }
}
