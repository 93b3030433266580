// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.Op;
import org.cortigan.op.OpCase;

/**
 * Compares a case on a device with the double reference. Shared by {@link OpTest} and tools/gpu-check, which has no
 * JUnit.
 */
public final class OpCheck {
    /** Bytes after every buffer that no kernel may write. */
    public static final int GUARD = 256;

    /** A byte pattern that is NaN in every floating-point type, so that a read of unwritten memory shows. */
    private static final byte PATTERN = (byte) 0xFF;

    private OpCheck() {}

    /**
     * Runs a case and returns the outputs of its graph; with {@code backward}, also the gradients for random upstream
     * gradients of its outputs.
     *
     * @param options in place, the case reads computed copies of the inputs, so that outputs can take their storage
     * @param guard whether to check that no kernel reads memory that was not written or writes past a buffer
     */
    public static Map<String, float[]> run(
            OpCase c, DType compute, Device device, Session.Options options, boolean backward, boolean guard) {
        CaseInputs s = new CaseInputs(compute, options.inPlace());
        build(c, s, backward);
        try (Variables vars = new Variables(device)) {
            for (Node n : s.graph().nodes())
                if (n.op() instanceof Leaf.Variable v)
                    vars.get(v.id(), v.type()).write(content(s, v.id(), c));
            try (Session session = new Session(s.graph(), device, vars, options)) {
                s.data().keySet().forEach(name -> {
                    if (!session.hasInput(name)) return;
                    Storage in = session.input(name);
                    write(in, content(s, name, c));
                });
                if (guard) paintArena(session);
                session.run();
                if (guard) checkGuards(session, c);
                Map<String, float[]> out = new HashMap<>();
                s.graph()
                        .outputs()
                        .keySet()
                        .forEach(k -> out.put(k, session.output(k).toFloats()));
                return out;
            }
        }
    }

    /** Writes the whole tensor at once: on a device every call is a copy. */
    private static void write(Storage in, float[] f) {
        switch (in.type().dtype()) {
            case I32 -> {
                int[] n = new int[f.length];
                for (int i = 0; i < f.length; i++) n[i] = (int) f[i];
                in.write(n);
            }
            case U8 -> {
                ByteBuffer b = ByteBuffer.allocate(f.length);
                for (int i = 0; i < f.length; i++) b.put(i, (byte) (int) f[i]);
                in.write(b);
            }
            default -> in.write(f);
        }
    }

    static float[] content(CaseInputs s, String name, OpCase c) {
        return s.data().get(name).apply(new SplittableRandom(c.name().hashCode() * 31L + name.hashCode()));
    }

    /**
     * Adds the outputs and, with {@code backward}, the gradients of sum(out * random) with respect to every
     * differentiable input.
     */
    public static void build(OpCase c, CaseInputs s, boolean backward) {
        List<Value> outs = c.body().apply(s);
        for (int i = 0; i < outs.size(); i++) s.graph().output("y" + i, outs.get(i));
        if (!backward) return;
        List<Value> wrt = List.copyOf(s.differentiable());
        List<Value> seeds = new ArrayList<>();
        for (Value o : outs) seeds.add(s.copy(seed(s, o)));
        List<Value> grads = Gradients.of(outs, seeds, wrt);
        for (int i = 0; i < grads.size(); i++) s.graph().output("d" + i, grads.get(i));
    }

    static Value seed(CaseInputs s, Value out) {
        int[] dims = out.shape().dims();
        return s.filled(out.dtype(), r -> CaseInputs.gaussian(r, CaseInputs.elements(dims)), dims);
    }

    static void paintArena(Session s) {
        Memory arena = s.arena();
        ByteBuffer all = direct(arena.bytes());
        while (all.hasRemaining()) all.put(PATTERN);
        DeviceRuntime runtime = s.device().runtime();
        runtime.upload(arena.address(), Memory.address(all.flip()), arena.bytes());
        runtime.synchronize();
    }

    private static ByteBuffer readArena(Session s) {
        Memory arena = s.arena();
        ByteBuffer all = direct(arena.bytes());
        DeviceRuntime runtime = s.device().runtime();
        runtime.download(Memory.address(all), arena.address(), arena.bytes());
        runtime.synchronize();
        return all;
    }

    private static ByteBuffer direct(long bytes) {
        return ByteBuffer.allocateDirect(Math.toIntExact(bytes));
    }

    static void checkGuards(Session s, OpCase c) {
        ByteBuffer view = readArena(s);
        for (long[] b : s.plan().intervals()) {
            long offset = b[0], bytes = b[1], end = offset + bytes;
            for (long at = end; at < end + GUARD; at++) {
                boolean inside = false; // another buffer may use these bytes at another time
                for (long[] o : s.plan().intervals()) inside |= o != b && at >= o[0] && at < o[0] + o[1];
                if (!inside && view.get((int) at) != PATTERN)
                    throw new AssertionError(c.name() + ": written past the end of the buffer at " + offset + "+"
                            + bytes + ", byte " + at);
            }
        }
    }

    /**
     * Fails if an output differs from the reference by more than the case allows.
     *
     * @return the largest error as a fraction of the tolerance, 0 to 1
     */
    public static double compare(OpCase c, DType t, Map<String, float[]> want, Map<String, float[]> got, String what) {
        double worst = 0;
        for (String k : want.keySet()) {
            float[] w = want.get(k), g = got.get(k);
            double scale = c.scale();
            for (float x : w) scale = Math.max(scale, Math.abs(x));
            // Sums of products whose factors reach a few standard deviations: tolerance terms * eps * scale. Gradients
            // also sum over the outputs.
            double n = k.startsWith("d") ? c.terms() + (double) w.length + maxOther(want) : c.terms() + 4;
            double tol = n * 0x1p-24 * scale + (t == DType.BF16 ? c.bf16Roundings() * 0x1p-8 * scale : 0);
            for (int i = 0; i < w.length; i++) {
                double fraction = w[i] == g[i] ? 0 : Math.abs(w[i] - g[i]) / tol;
                if (!(fraction <= 1))
                    throw new AssertionError(String.format(
                            Locale.ROOT,
                            "%s %s %s[%d]: reference %g, %s %g, tolerance %g, error / tolerance %.3g",
                            c.name(),
                            t,
                            k,
                            i,
                            w[i],
                            what,
                            g[i],
                            tol,
                            fraction));
                worst = Math.max(worst, fraction);
            }
        }
        return worst;
    }

    static int maxOther(Map<String, float[]> m) {
        int n = 0;
        for (Map.Entry<String, float[]> e : m.entrySet())
            if (e.getKey().startsWith("y")) n = Math.max(n, e.getValue().length);
        return n;
    }

    /**
     * The device, followed by views of it that prefer another implementation by name, as far as that changes what
     * computes the case's nodes.
     */
    public static List<Device> implementations(OpCase c, DType compute, Device device, boolean backward) {
        CaseInputs s = new CaseInputs(compute);
        build(c, s, backward);
        Set<String> names = alternatives(s.graph(), device);
        List<Device> devices = new ArrayList<>(List.of(device));
        if (names.isEmpty()) return devices;
        Set<List<String>> seen = new HashSet<>(Set.of(chosen(s, device)));
        for (String name : names) {
            Device d = device.preferring(name);
            if (seen.add(chosen(s, d))) devices.add(d);
        }
        return devices;
    }

    /** Names of the implementations of the graph's kernels that have several. */
    static Set<String> alternatives(Graph g, Device device) {
        Set<String> names = new LinkedHashSet<>();
        for (Node n : g.nodes())
            if (n.op() instanceof Op op && !(op instanceof Op.View)) {
                int variant = device.reference() ? 0 : op.variant(n).variant();
                List<String> all = Kernels.implementations(device.backend(), op.kernel(), variant);
                if (all.size() > 1) names.addAll(all);
            }
        return names;
    }

    /** The kernel and the implementation that compute each node of the case. */
    static List<String> chosen(CaseInputs s, Device device) {
        try (Variables vars = new Variables(device);
                Session session = new Session(s.graph(), device, vars)) {
            return session.plan().steps().stream()
                    .filter(n -> !(n.op() instanceof Op.View))
                    .map(n -> Op.of(n).kernel() + " " + session.served(n).form())
                    .toList();
        }
    }

    /** Total number of elements of a case's inputs, variables and constants. */
    public static long elements(OpCase c) {
        CaseInputs s = new CaseInputs(DType.F32);
        build(c, s, false);
        return s.graph().nodes().stream()
                .filter(n -> n.op() instanceof Leaf)
                .mapToLong(n -> n.output(0).shape().elements())
                .sum();
    }

    /** Whether a case has gradients with respect to any input. */
    public static boolean hasGradient(OpCase c) {
        CaseInputs s = new CaseInputs(DType.F32);
        try {
            build(c, s, true);
            return !s.differentiable().isEmpty();
        } catch (UnsupportedOperationException | IllegalArgumentException e) {
            return false;
        }
    }
}
