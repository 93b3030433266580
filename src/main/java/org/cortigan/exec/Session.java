package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.mem.Memory;
import org.cortigan.op.Op;
import org.cortigan.plan.Plan;

/**
 * Runs the named outputs of one graph on one device, again and again. Made once with everything it needs; a run
 * allocates nothing. Confined to the thread that made it.
 */
public final class Session implements AutoCloseable {
    /** @param guardBytes free space after every buffer, for tests; @param inPlace reuse of dying inputs */
    public record Options(int guardBytes, boolean inPlace) {
        public static final Options DEFAULT = new Options(0, true);
    }

    private record Prepared(long state, String kernel, int structWords, ByteBuffer buf, long address) {}

    private final Graph graph;
    private final Device device;
    private final Thread owner = Thread.currentThread();
    private final Plan plan;
    private final Map<Node, Prepared> prepared = new HashMap<>();
    private final List<Memory> owned = new ArrayList<>();
    private final Map<String, Storage> inputs = new LinkedHashMap<>();
    private final Map<String, Storage> outputs = new LinkedHashMap<>();
    private final Memory arena;
    private final Node[] nodes;
    private final long[] functions;
    private final long[] args;
    private boolean open = true;

    public Session(Graph graph, Device device, Variables variables) {
        this(graph, device, variables, Options.DEFAULT);
    }

    /** @param variables where the graph's variables live; of the same device */
    public Session(Graph graph, Device device, Variables variables, Options options) {
        this.graph = graph;
        this.device = device;
        boolean runs = device.backend() >= 0;
        if (runs && variables.device() != device)
            throw new IllegalArgumentException("the variables are on another device: " + variables.device().name());
        try {
            if (runs) Native.set_threads(device.threads());
            plan = makePlan(graph, device, options, runs ? this::prepare : n -> 0);
            if (!runs) {
                arena = null;
                nodes = new Node[0];
                functions = args = new long[0];
                return;
            }
            Map<Leaf, Long> leafAddress = placeLeaves(variables);
            arena = own(Memory.allocate(plan.report().arenaBytes()));
            int n = 0;
            for (Node s : plan.steps()) if (Op.of(s).kernel() != null) n++;
            nodes = new Node[n];
            functions = new long[n];
            args = new long[n];
            int i = 0;
            for (Node s : plan.steps()) {
                Op op = Op.of(s);
                if (op.kernel() == null) continue;
                Prepared p = prepared.get(s);
                long scratch = plan.scratchOffset(s) < 0 ? 0 : arena.address() + plan.scratchOffset(s);
                ArgBlock.Addresses at = new ArgBlock.Addresses() {
                    @Override
                    public long in(int k) {
                        return address(s.input(k), leafAddress);
                    }

                    @Override
                    public long out(int k) {
                        return address(s.output(k), leafAddress);
                    }
                };
                op.args(s, new ArgBlock(p.buf, p.address, at, scratch, p.state, p.structWords));
                nodes[i] = s;
                args[i] = p.address;
                functions[i] = function(s, op);
                i++;
            }
            for (Map.Entry<String, Value> e : graph.outputs().entrySet()) {
                Value v = e.getValue();
                Leaf leaf = plan.leafOf(v);
                Storage s;
                if (leaf == null) s = new Storage(v.type(), device, arena, plan.offset(v));
                else if (leaf instanceof Leaf.Variable x) s = variables.get(x.id(), x.type());
                else s = inputs.get(leaf.id());
                outputs.put(e.getKey(), s);
            }
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    /** The plan alone, without memory for tensors; kernels are prepared and let go again. */
    public static Plan plan(Graph graph, Device device) {
        if (device.backend() < 0) return makePlan(graph, device, Options.DEFAULT, n -> 0);
        try (Dry dry = new Dry(graph, device)) {
            return dry.plan;
        }
    }

    /** A session that ends before tensors get memory. */
    private static final class Dry implements AutoCloseable {
        final Plan plan;
        final List<Prepared> all = new ArrayList<>();
        final List<Memory> memory = new ArrayList<>();

        Dry(Graph graph, Device device) {
            Native.set_threads(device.threads());
            plan = makePlan(graph, device, Options.DEFAULT, n -> {
                if (Op.of(n).kernel() == null) return 0;
                Prepared p = Session.prepare(n, device, memory);
                all.add(p);
                return Native.kernel_scratch(device.backend(), Kernels.id(p.kernel), p.address);
            });
            for (Prepared p : all) Native.kernel_release(device.backend(), Kernels.id(p.kernel), p.state);
        }

        @Override
        public void close() {
            memory.forEach(Memory::close);
        }
    }

    private static Plan makePlan(
            Graph graph, Device device, Options options, java.util.function.ToLongFunction<Node> scratch) {
        return Plan.of(
                graph,
                graph.outputs().values(),
                new Plan.Options(device::elementBytes, scratch, options.guardBytes, options.inPlace));
    }

    private long prepare(Node n) {
        if (Op.of(n).kernel() == null) return 0;
        Prepared p = prepare(n, device, owned);
        prepared.put(n, p);
        return Native.kernel_scratch(device.backend(), Kernels.id(p.kernel), p.address);
    }

    private static Prepared prepare(Node n, Device device, List<Memory> owned) {
        Op op = Op.of(n);
        ArgBlock count = new ArgBlock();
        op.args(n, count);
        Kernels.checkArgs(op.kernel(), 8L * count.structWords());
        Memory m = Memory.allocate(8L * count.allWords());
        owned.add(m);
        ByteBuffer buf = m.view(0, m.bytes());
        ArgBlock.Addresses bound = new ArgBlock.Addresses() {
            @Override
            public long in(int i) {
                return 1;
            }

            @Override
            public long out(int i) {
                return 1;
            }
        };
        op.args(n, new ArgBlock(buf, m.address(), bound, 0, 0, count.structWords()));
        try {
            long state = Native.kernel_prepare(device.backend(), Kernels.id(op.kernel()), m.address());
            if (state != 0) buf.putLong(0, state);
            return new Prepared(state, op.kernel(), count.structWords(), buf, m.address());
        } catch (RuntimeException e) {
            throw new IllegalStateException("preparing " + n + ": " + e.getMessage(), e);
        }
    }

    private long function(Node n, Op op) {
        int variant = device.reference() ? 0 : op.variant(n).variant();
        long f = Native.kernel_function(device.backend(), Kernels.id(op.kernel()), variant);
        if (f == 0) throw new IllegalStateException("no kernel " + op.kernel() + " for " + n + " on " + device.name());
        return f;
    }

    private Map<Leaf, Long> placeLeaves(Variables variables) {
        Map<Leaf, Long> at = new HashMap<>();
        long bytes = 0;
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet())
            if (!(e.getKey() instanceof Leaf.Variable)) bytes += slot(e.getValue());
        // Inputs that no output depends on are fed all the same: they get storage that nothing reads.
        for (Node n : graph.nodes())
            if (n.op() instanceof Leaf.Input in && !plan.leaves().containsKey(in)) bytes += slot(n.output(0));
        Memory io = own(Memory.allocate(bytes));
        long offset = 0;
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet()) {
            Value v = e.getValue();
            if (e.getKey() instanceof Leaf.Variable x) {
                at.put(x, variables.get(x.id(), x.type()).address());
                continue;
            }
            Storage s = new Storage(v.type(), device, io, offset);
            if (e.getKey() instanceof Leaf.Constant c) s.fill(c.value());
            else inputs.put(e.getKey().id(), s);
            at.put(e.getKey(), s.address());
            offset += slot(v);
        }
        for (Node n : graph.nodes())
            if (n.op() instanceof Leaf.Input in && !plan.leaves().containsKey(in)) {
                inputs.put(in.id(), new Storage(in.type(), device, io, offset));
                offset += slot(n.output(0));
            }
        return at;
    }

    private long slot(Value v) {
        long n = v.shape().elements() * device.elementBytes(v.dtype());
        return (n + Plan.ALIGNMENT - 1) / Plan.ALIGNMENT * Plan.ALIGNMENT;
    }

    private long address(Value v, Map<Leaf, Long> leaves) {
        Leaf leaf = plan.leafOf(v);
        return leaf != null ? leaves.get(leaf) : arena.address() + plan.offset(v);
    }

    private Memory own(Memory m) {
        owned.add(m);
        return m;
    }

    public Plan plan() {
        return plan;
    }

    public Device device() {
        return device;
    }

    /** Storage of an input, to be written before a run. */
    public Storage input(String name) {
        return found(inputs, name, "input");
    }

    public boolean hasInput(String name) {
        return inputs.containsKey(name);
    }

    /** Storage of an output, to be read after a run; the next run overwrites it. */
    public Storage output(String name) {
        return found(outputs, name, "output");
    }

    /** First element of an output. */
    public double scalar(String name) {
        return output(name).get(0);
    }

    private Storage found(Map<String, Storage> m, String name, String what) {
        check();
        Storage s = m.get(name);
        if (s == null) throw new IllegalArgumentException("no " + what + " '" + name + "'; there are " + m.keySet());
        return s;
    }

    private void check() {
        if (!open) throw new IllegalStateException("the session is closed");
        if (Thread.currentThread() != owner)
            throw new IllegalStateException("a session is confined to the thread that made it, " + owner.getName());
    }

    /** Runs every step once. */
    public void run() {
        check();
        if (nodes.length == 0) return;
        Native.set_threads(device.threads());
        int i = 0;
        try {
            for (; i < functions.length; i++) Native.launch(functions[i], args[i], 0);
        } catch (RuntimeException e) {
            throw new IllegalStateException("running " + nodes[i] + ": " + e.getMessage(), e);
        }
    }

    /** Nodes that a run launches, in order. */
    public Node[] launched() {
        return nodes.clone();
    }

    /** Runs every step once and adds each node's time, in nanoseconds, to {@code nanos}; {@code starts} may be null. */
    public void runTimed(long[] nanos, long[] starts) {
        check();
        Native.set_threads(device.threads());
        long t = System.nanoTime();
        for (int i = 0; i < functions.length; i++) {
            if (starts != null) starts[i] = t;
            Native.launch(functions[i], args[i], 0);
            long u = System.nanoTime();
            nanos[i] += u - t;
            t = u;
        }
    }

    /** The whole arena; for tests that watch guard words. */
    Memory arena() {
        return arena;
    }

    /** Bytes of this session's own memory: arena, inputs, constants and arguments, without the variables. */
    public long ownedBytes() {
        return owned.stream().mapToLong(Memory::bytes).sum();
    }

    @Override
    public void close() {
        if (!open) return;
        open = false;
        for (Prepared p : prepared.values())
            if (p.state != 0) Native.kernel_release(device.backend(), Kernels.id(p.kernel), p.state);
        owned.forEach(Memory::close);
    }
}
