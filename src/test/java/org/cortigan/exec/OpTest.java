// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.jni.Kernels;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.Cost;
import org.cortigan.op.Op;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Derives all tests of the ops from {@link OpCases}: one description of an op serves every test. */
class OpTest {
    /** The simulated CUDA kernels; the second run of a case reverses the order of a block's threads. */
    private static final SimDevice SIM = new SimDevice(false);

    private static List<Device> devices() {
        List<Device> d = new ArrayList<>();
        CpuDevice best = CpuDevice.best(2);
        for (CpuDevice.Isa isa : CpuDevice.Isa.values())
            if (isa != CpuDevice.Isa.REFERENCE && isa.ordinal() <= best.isa().ordinal()) d.add(CpuDevice.of(isa, 2));
        d.add(SIM);
        return d;
    }

    /** All cases, or those whose name contains the system property {@code cortigan.cases}, for work on one kernel. */
    private static List<OpCase> cases() {
        String part = System.getProperty("cortigan.cases", "");
        return OpCases.all().stream().filter(c -> c.name().contains(part)).toList();
    }

    private static boolean small(OpCase c) {
        return !c.bench();
    }

    /** Maximum number of input elements of the cases that ./mvnw test runs. */
    private static final int DEFAULT_TIER_ELEMENTS = 30_000;

    /** Runs in ./mvnw test: small cases on the default instruction set of this CPU. */
    @TestFactory
    Stream<DynamicTest> defaultKernelsAgreeWithTheDoubleReference() {
        return agreement(c -> OpCheck.elements(c) <= DEFAULT_TIER_ELEMENTS, List.of(CpuDevice.best(2)));
    }

    @Tag("slow")
    @TestFactory
    Stream<DynamicTest> allFastKernelsAgreeWithTheDoubleReference() {
        return agreement(c -> true, devices());
    }

    /** The tolerances must leave room for the errors of exponentials and reciprocals on a GPU, up to 2 ulps. */
    @Tag("slow")
    @TestFactory
    Stream<DynamicTest> cudaKernelsAgreeWhereApproximateFunctionsErr() {
        return agreement(c -> OpCheck.elements(c) <= DEFAULT_TIER_ELEMENTS, List.of(SIM))
                .map(t -> dynamicTest(t.getDisplayName(), () -> {
                    try (SimDevice.Errors errors = SIM.erring(2)) {
                        t.getExecutable().execute();
                    }
                }));
    }

    /** Compares each device with the reference, which runs once for all devices, and with itself out of place. */
    private static Stream<DynamicTest> agreement(Predicate<OpCase> which, List<Device> devices) {
        CpuDevice ref = CpuDevice.doubleReference();
        List<DynamicTest> tests = new ArrayList<>();
        for (OpCase c : cases()) {
            if (!small(c) || !which.test(c)) continue;
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                // Not every CPU has bf16; the CUDA kernels are checked in any case.
                List<Device> able = devices.stream().filter(d -> d.supports(t)).toList();
                if (able.isEmpty()) continue;
                tests.add(dynamicTest(c.name() + " " + t, () -> {
                    boolean backward = OpCheck.hasGradient(c);
                    Map<String, float[]> want = OpCheck.run(c, t, ref, Session.Options.DEFAULT, backward, false);
                    for (Device d : able)
                        for (Device i : OpCheck.implementations(c, t, d, backward)) check(c, t, i, backward, want);
                }));
            }
        }
        return tests.stream();
    }

    private static void check(OpCase c, DType t, Device d, boolean backward, Map<String, float[]> want) {
        Map<String, float[]> got = OpCheck.run(c, t, d, new Session.Options(OpCheck.GUARD, true), backward, true);
        OpCheck.compare(c, t, want, got, d.name());
        Device other = d instanceof SimDevice sim ? sim.backwards() : d;
        Map<String, float[]> again = OpCheck.run(c, t, other, new Session.Options(0, false), backward, false);
        for (String k : got.keySet())
            assertArrayEquals(
                    got.get(k),
                    again.get(k),
                    c.name() + " " + k + " on " + d.name() + ": the second, out-of-place run differs");
        if (!backward) return;
        // Without the backward pass, which may read an op's inputs, the op may overwrite them.
        Map<String, float[]> forward = OpCheck.run(c, t, d, new Session.Options(OpCheck.GUARD, true), false, true);
        for (String k : forward.keySet())
            assertArrayEquals(
                    again.get(k), forward.get(k), c.name() + " " + k + " on " + d.name() + ": the forward run differs");
    }

    /** The other tests run the implementations that take a case, so they would skip one that takes none. */
    @TestFactory
    @Tag("slow")
    Stream<DynamicTest> everyImplementationComputesACase() {
        DryDevice card = new DryDevice(DryDevice.HOPPER);
        Map<String, Set<String>> listed = new TreeMap<>(), chosen = new TreeMap<>();
        for (OpCase c : OpCases.all())
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                CaseInputs s = new CaseInputs(t);
                OpCheck.build(c, s, OpCheck.hasGradient(c));
                Set<String> names = OpCheck.alternatives(s.graph(), card);
                if (names.isEmpty()) continue;
                for (Node n : s.graph().nodes())
                    if (n.op() instanceof Op op && !(op instanceof Op.View)) {
                        List<String> all = Kernels.implementations(
                                card.backend(), op.kernel(), op.variant(n).variant());
                        if (all.size() > 1)
                            listed.computeIfAbsent(t + " " + op.kernel(), k -> new TreeSet<>())
                                    .addAll(all);
                    }
                for (String name : names)
                    for (String what : OpCheck.chosen(s, card.preferring(name)))
                        chosen.computeIfAbsent(t + " " + what.split(" ")[0], k -> new TreeSet<>())
                                .add(what.substring(what.indexOf(' ') + 1));
            }
        assertTrue(listed.size() > 5, listed.toString());
        return listed.entrySet().stream()
                .map(e -> dynamicTest(e.getKey(), () -> assertEquals(e.getValue(), chosen.get(e.getKey()))));
    }

    @TestFactory
    Stream<DynamicTest> symbolicGradientsAgreeWithCentralDifferences() {
        return cases().stream().filter(OpCase::gradient).map(c -> dynamicTest(c.name(), () -> gradientCheck(c)));
    }

    private static void gradientCheck(OpCase c) {
        CpuDevice ref = CpuDevice.doubleReference();
        CaseInputs s = new CaseInputs(DType.F32);
        List<Value> outs = c.body().apply(s);
        List<Value> wrt = List.copyOf(s.differentiable());
        assertTrue(!wrt.isEmpty(), "the case has no differentiable input");
        Value loss = null;
        for (Value o : outs) {
            Value part = Ops.sumLeading(Ops.mul(o, OpCheck.seed(s, o)), org.cortigan.graph.Shape.of(1));
            loss = loss == null ? part : Ops.add(loss, part);
        }
        List<Value> grads = Gradients.of(loss, wrt);
        s.graph().output("loss", loss);
        for (int i = 0; i < grads.size(); i++) s.graph().output("d" + i, grads.get(i));
        try (Variables vars = new Variables(ref);
                Session session = new Session(s.graph(), ref, vars)) {
            s.data().keySet().forEach(name -> {
                float[] f = OpCheck.content(s, name, c);
                Storage x = session.hasInput(name) ? session.input(name) : vars.find(name);
                for (int i = 0; i < f.length; i++) x.set(i, f[i]);
            });
            // State in variables (power iterations) converges first, so that the outputs are a function of the inputs
            // alone.
            for (int i = 0; i < (vars.types().isEmpty() ? 1 : 3000); i++) session.run();
            double h = 1e-5;
            SplittableRandom pick = new SplittableRandom(7);
            for (int i = 0; i < wrt.size(); i++) {
                Storage x = session.input(((Leaf.Input) wrt.get(i).node().op()).id());
                int n = (int) wrt.get(i).shape().elements();
                double[] d = new double[n];
                session.run();
                for (int k = 0; k < n; k++) d[k] = session.output("d" + i).get(k);
                for (int trial = 0; trial < Math.min(n, 24); trial++) {
                    int k = n <= 24 ? trial : pick.nextInt(n);
                    double at = x.get(k);
                    x.set(k, at + h);
                    session.run();
                    double up = session.scalar("loss");
                    x.set(k, at - h);
                    session.run();
                    double down = session.scalar("loss");
                    x.set(k, at);
                    double numeric = (up - down) / (2 * h);
                    // truncation h^2 f''' plus cancellation |loss| 2^-52 / h
                    double tol = 1e-6 * Math.max(1, Math.abs(numeric)) + Math.abs(up) * 0x1p-50 / h;
                    assertEquals(numeric, d[k], tol, c.name() + ": input " + i + ", element " + k);
                }
            }
        }
    }

    @TestFactory
    Stream<DynamicTest> costsArePositiveAndCoverTheTensors() {
        return cases().stream()
                .map(c -> dynamicTest(c.name(), () -> {
                    CaseInputs s = new CaseInputs(DType.F32);
                    OpCheck.build(c, s, OpCheck.hasGradient(c));
                    for (Node n : s.graph().nodes()) {
                        if (n.op() instanceof Leaf) continue;
                        if (n.op() instanceof Op.View) continue;
                        Cost cost = Op.of(n).cost(n);
                        assertTrue(cost.bytesWritten() > 0, n + " writes nothing");
                        assertTrue(cost.flops() >= 0 && cost.bytesRead() >= 0, n.toString());
                    }
                }));
    }

    @Test
    void everyCaseHasAUniqueName() {
        Set<String> names = new HashSet<>();
        for (OpCase c : OpCases.all()) assertTrue(names.add(c.name()), c.name());
    }

    /** Their gradient takes rounding for the identity, which no difference shows: Fp8Test checks it. */
    private static final Set<String> STRAIGHT_THROUGH = Set.of("Quantize", "ScaledMatmul");

    /** They, or their gradient, need other ranks: RanksTest and DataParallelTest run them. */
    private static final Set<String> OF_RANKS = Set.of("AllReduce", "End", "SyncBatchNorm");

    @Test
    void everyOpHasACaseAndEveryDifferentiableOpAGradientCheck() {
        Set<Class<?>> seen = new HashSet<>(), checked = new HashSet<>();
        for (OpCase c : OpCases.all()) {
            CaseInputs s = new CaseInputs(DType.F32);
            OpCheck.build(c, s, OpCheck.hasGradient(c));
            for (Node n : s.graph().nodes()) {
                if (n.op() instanceof Leaf) continue;
                seen.add(n.op().getClass());
                if (c.gradient()) checked.add(n.op().getClass());
            }
        }
        for (Class<?> k : OpCases.ops()) {
            boolean ofRanks = OF_RANKS.contains(k.getSimpleName());
            assertTrue(ofRanks || seen.contains(k), k + " is in no case");
            if (!ofRanks && !Op.NoGradient.class.isAssignableFrom(k) && !STRAIGHT_THROUGH.contains(k.getSimpleName()))
                assertTrue(checked.contains(k), k + " has no gradient check");
        }
    }
}
