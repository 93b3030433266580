// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.cortigan.InputException;
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
    /**
     * @param guardBytes free space after every buffer, for tests
     * @param inPlace reuse of dying inputs
     * @param arena a session whose arena this one uses too where it is large enough, or null: a run of one then ends
     *     what the other's outputs hold; it must be closed after this one
     */
    public record Options(int guardBytes, boolean inPlace, Session arena) {
        public static final Options DEFAULT = new Options(0, true);

        public Options(int guardBytes, boolean inPlace) {
            this(guardBytes, inPlace, null);
        }

        public Options sharing(Session other) {
            return new Options(guardBytes, inPlace, other);
        }
    }

    /** Inputs and outputs of at most so many bytes have a copy on the host that travels with every run. */
    private static final long SMALL = 1024;

    /** Waits after every node, so that an error of the device names the node that made it; for debugging. */
    private static final boolean SYNCHRONOUS = Boolean.getBoolean("cortigan.synchronous");

    private record Prepared(
            long state,
            String kernel,
            ByteBuffer buf,
            long address,
            DeviceRuntime.LibraryKernel library,
            Served served) {}

    /** A small output and where it lies in the block of them on the host. */
    private record Result(long offset, long device, long bytes) {}

    private final Graph graph;
    private final Device device;
    private final DeviceRuntime runtime;
    private final Thread owner = Thread.currentThread();
    private final Plan plan;
    private final Map<Node, Prepared> prepared = new HashMap<>();
    private final List<Memory> owned = new ArrayList<>();
    private final Map<String, Storage> inputs = new LinkedHashMap<>();
    private final Map<String, Storage> outputs = new LinkedHashMap<>();
    private final List<Storage> ahead = new ArrayList<>();
    private final List<DeviceRuntime.Lane> lanes = new ArrayList<>();
    private final Memory arena;
    private final Node[] nodes;
    private final long[] functions;
    private final long[] args;
    private final Prepared[] calls;
    // Small inputs and outputs on a device: what the host sees, and two sets in memory that the device copies by
    // itself, so that a run can be asked for while the one before is under way. Each set has its own recording.
    private final List<Result> results = new ArrayList<>();
    private Memory smallInputs;
    private long smallInputsDevice;
    private Memory smallOutputs;
    private final Memory[] sent = new Memory[2];
    private final Memory[] received = new Memory[2];
    private final DeviceRuntime.Recorded[] recorded = new DeviceRuntime.Recorded[2];
    private DeviceRuntime.Marks done;
    private long runs;
    private boolean inFlight;
    private boolean ranges;
    private boolean open = true;

    public Session(Graph graph, Device device, Variables variables) {
        this(graph, device, variables, Options.DEFAULT);
    }

    /** @param variables where the graph's variables live; of the same device */
    public Session(Graph graph, Device device, Variables variables, Options options) {
        this.graph = graph;
        this.device = device;
        this.runtime = device.runtime();
        boolean runs = device.backend() >= 0;
        if (runs && variables.device() != device)
            throw new IllegalArgumentException(
                    "the variables are on another device: " + variables.device().name());
        try {
            if (runs) Native.set_threads(device.threads());
            if (runtime != null) runtime.use();
            plan = makePlan(graph, device, options, runs ? this::prepare : n -> 0);
            if (!runs) {
                arena = null;
                nodes = new Node[0];
                functions = args = new long[0];
                calls = new Prepared[0];
                return;
            }
            Map<Leaf, Long> leafAddress = placeLeaves(variables);
            long bytes = plan.report().arenaBytes();
            arena = options.arena != null && options.arena.arena.bytes() >= bytes
                    ? options.arena.arena
                    : own(allocate(bytes));
            int n = 0;
            for (Node s : plan.steps()) if (!(s.op() instanceof Op.View)) n++;
            nodes = new Node[n];
            functions = new long[n];
            args = new long[n];
            calls = new Prepared[n];
            int i = 0;
            for (Node s : plan.steps()) {
                Op op = Op.of(s);
                if (op instanceof Op.View) continue;
                Prepared p = prepared.get(s);
                long scratch = plan.scratchOffset(s) < 0 ? 0 : arena.address() + plan.scratchOffset(s);
                ArgBlock.Addresses at = new ArgBlock.Addresses() {
                    @Override
                    public long in(int k, long element) {
                        return address(s.input(k), element, leafAddress);
                    }

                    @Override
                    public long out(int k, long element) {
                        return address(s.output(k), element, leafAddress);
                    }

                    @Override
                    public long scratch() {
                        return scratch;
                    }

                    @Override
                    public long state() {
                        return p.state;
                    }
                };
                ArgBlock.write(s, p.buf, p.address, at);
                nodes[i] = s;
                args[i] = p.address;
                calls[i] = p;
                functions[i] = p.library == null ? function(s, op) : 0;
                i++;
            }
            if (runtime != null) placeResults();
            for (Map.Entry<String, Value> e : graph.outputs().entrySet()) {
                Value v = e.getValue();
                Leaf leaf = plan.leafOf(v);
                Storage s;
                if (leaf == null) s = output(v);
                else if (leaf instanceof Leaf.Variable x) s = variables.get(x.id(), x.type());
                else s = inputs.get(leaf.id());
                outputs.put(e.getKey(), s);
            }
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    /** Room on the host for small outputs, and for what travels in both directions. */
    private void placeResults() {
        long bytes = 0;
        for (Value v : graph.outputs().values()) if (plan.leafOf(v) == null && bytes(v) <= SMALL) bytes += slot(v);
        smallOutputs = own(Memory.allocate(bytes));
        for (int i = 0; i < 2; i++) {
            received[i] = own(host(bytes));
            sent[i] = own(host(smallInputs == null ? 0 : smallInputs.bytes()));
        }
        done = runtime.marks(2);
    }

    private Storage output(Value v) {
        long n = bytes(v), at = arena.address() + plan.offset(v);
        if (runtime == null || n > SMALL) return new Storage(v.type(), device, arena, plan.offset(v));
        long offset = 0;
        for (Result r : results) offset = Math.max(offset, r.offset + slot(r.bytes));
        results.add(new Result(offset, at, n));
        return new Storage(v.type(), device, at, smallOutputs, offset, this::settle);
    }

    private long bytes(Value v) {
        return bytes(v, device);
    }

    private static long bytes(Value v, Device device) {
        return v.shape().elements() * device.elementBytes(v.dtype());
    }

    private Memory host(long bytes) {
        return enough(() -> runtime.allocateHost(bytes));
    }

    private Memory allocate(long bytes) {
        return enough(() -> device.allocate(bytes));
    }

    /** Memory for tensors; says what is short if the device has too little. */
    private <T> T enough(Supplier<T> make) {
        try {
            return make.get();
        } catch (OutOfMemoryError e) {
            throw new InputException(
                    device.name(),
                    e.getMessage() + "; " + (plan == null ? "" : plan.report() + ", ") + "held now: "
                            + Memory.liveBytes() + " bytes",
                    "Set train.batch lower: all but the parameters and their state shrinks with it");
        }
    }

    /** The plan alone, without memory for tensors; kernels are prepared and let go again. */
    public static Plan plan(Graph graph, Device device) {
        if (device.backend() < 0) return makePlan(graph, device, Options.DEFAULT, n -> 0);
        try (Dry dry = new Dry(graph, device)) {
            return dry.plan;
        }
    }

    /** Bytes of the block in which a session of the plan has inputs and constants. */
    public static long inputBytes(Plan plan, Device device) {
        long n = 0;
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet())
            if (!(e.getKey() instanceof Leaf.Variable)) n += slot(bytes(e.getValue(), device));
        return n;
    }

    /** A session that ends before tensors get memory. */
    private static final class Dry implements AutoCloseable {
        final Plan plan;
        final List<Prepared> all = new ArrayList<>();
        final List<Memory> memory = new ArrayList<>();

        Dry(Graph graph, Device device) {
            Native.set_threads(device.threads());
            plan = makePlan(graph, device, Options.DEFAULT, n -> {
                if (n.op() instanceof Op.View) return 0;
                Prepared p = Session.prepare(n, device, memory);
                all.add(p);
                return scratch(p, device);
            });
            for (Prepared p : all) release(p, device);
        }

        @Override
        public void close() {
            memory.forEach(Memory::close);
        }
    }

    private static Plan makePlan(
            Graph graph, Device device, Options options, java.util.function.ToLongFunction<Node> scratch) {
        try {
            return Plan.of(
                    graph,
                    graph.outputs().values(),
                    new Plan.Options(device::elementBytes, scratch, options.guardBytes, options.inPlace));
        } finally {
            if (device.runtime() != null) device.runtime().prepared();
        }
    }

    private long prepare(Node n) {
        if (n.op() instanceof Op.View) return 0;
        Prepared p = prepare(n, device, owned);
        prepared.put(n, p);
        return scratch(p, device);
    }

    private static long scratch(Prepared p, Device device) {
        return p.library != null
                ? p.library.scratchBytes()
                : Native.kernel_scratch(device.backend(), Kernels.id(p.kernel), p.address);
    }

    private static void release(Prepared p, Device device) {
        if (p.library != null) p.library.close();
        else if (p.state != 0) Native.kernel_release(device.backend(), Kernels.id(p.kernel), p.state);
    }

    private static Prepared prepare(Node n, Device device, List<Memory> owned) {
        Op op = Op.of(n);
        Memory m = Memory.allocate(ArgBlock.bytes(n));
        owned.add(m);
        ByteBuffer buf = m.view(0, m.bytes());
        ArgBlock.write(n, buf, m.address(), ArgBlock.Addresses.BOUND_LATER);
        try {
            DeviceRuntime.Service who = device.runtime() == null
                    ? DeviceRuntime.Service.own(Served.kernel())
                    : device.runtime().service(op.kernel(), buf);
            if (who.call() != null) return new Prepared(0, op.kernel(), buf, m.address(), who.call(), who.served());
            long state = Native.kernel_prepare(device.backend(), Kernels.id(op.kernel()), m.address());
            if (state != 0) buf.putLong(Kernels.args(op.kernel()).offset("state"), state);
            return new Prepared(state, op.kernel(), buf, m.address(), null, who.served());
        } catch (InputException e) {
            throw e;
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
        List<Map.Entry<Leaf, Value>> here = new ArrayList<>();
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet()) {
            if (e.getKey() instanceof Leaf.Variable x)
                at.put(x, enough(() -> variables.get(x.id(), x.type())).address());
            else here.add(e);
        }
        // Inputs that no output depends on are fed all the same: they get storage that nothing reads.
        for (Node n : graph.nodes())
            if (n.op() instanceof Leaf.Input in && !plan.leaves().containsKey(in)) here.add(Map.entry(in, n.output(0)));
        // Small inputs lie side by side, so that one copy takes them to the device.
        here.sort((a, b) -> Boolean.compare(small(b), small(a)));
        long bytes = 0, smallBytes = 0;
        for (Map.Entry<Leaf, Value> e : here) {
            bytes += slot(e.getValue());
            if (small(e)) smallBytes = bytes;
        }
        Memory io = own(allocate(bytes));
        if (smallBytes > 0) {
            smallInputs = own(Memory.allocate(smallBytes));
            smallInputsDevice = io.address();
        }
        long offset = 0;
        for (Map.Entry<Leaf, Value> e : here) {
            Value v = e.getValue();
            Storage s = small(e)
                    ? new Storage(v.type(), device, io.address() + offset, smallInputs, offset, null)
                    : new Storage(v.type(), device, io, offset);
            if (e.getKey() instanceof Leaf.Constant c) s.fill(c.value());
            else if (e.getKey() instanceof Leaf.Table t) s.write(t.toArray());
            else inputs.put(e.getKey().id(), s);
            at.put(e.getKey(), s.address());
            offset += slot(v);
        }
        return at;
    }

    private boolean small(Map.Entry<Leaf, Value> e) {
        return runtime != null && e.getKey() instanceof Leaf.Input && slot(e.getValue()) <= SMALL;
    }

    private long slot(Value v) {
        return slot(bytes(v));
    }

    private static long slot(long bytes) {
        return (bytes + Plan.ALIGNMENT - 1) / Plan.ALIGNMENT * Plan.ALIGNMENT;
    }

    private long address(Value v, long element, Map<Leaf, Long> leaves) {
        Leaf leaf = plan.leafOf(v);
        long at = leaf != null ? leaves.get(leaf) : arena.address() + plan.offset(v);
        return at + element * device.elementBytes(v.dtype());
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

    /**
     * From now on direct buffers written to this input travel to the device while earlier runs are under way. For
     * contents that are new in every run; takes the input's size again of the device's memory. Without a device's own
     * memory, nothing changes.
     */
    public void sendAhead(String input) {
        Storage s = input(input);
        if (runtime == null || s.visible()) return;
        lanes.add(runtime.lane(s.address(), s.size()));
        s.lane(lanes.get(lanes.size() - 1));
        ahead.add(s);
    }

    private void deliver() {
        for (int i = 0; i < ahead.size(); i++) ahead.get(i).deliver();
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

    /**
     * Runs every step once. On a device with a stream of its own this only asks for it: reading an output waits. There
     * the first run launches node by node, the next two record the launches as one graph each, and from then on these
     * are replayed in turn; a run waits for the one before the last.
     */
    public void run() {
        check();
        if (nodes.length == 0) return;
        if (runtime == null) {
            Native.set_threads(device.threads());
            launchAll(0);
            return;
        }
        int set = (int) (runs & 1);
        if (runs >= 2) done.await(set);
        runtime.use();
        deliver();
        if (smallInputs != null) Native.copy(sent[set].address(), smallInputs.address(), smallInputs.bytes());
        if (runs == 0) {
            // Libraries load what they need at their first call, which a recording would not survive.
            launchAll(set);
        } else {
            if (recorded[set] == null) recorded[set] = runtime.record(() -> launchAll(set));
            recorded[set].launch();
        }
        done.mark(set);
        runs++;
        inFlight = true;
    }

    private void launchAll(int set) {
        if (smallInputs != null) runtime.upload(smallInputsDevice, sent[set].address(), smallInputs.bytes());
        int i = 0;
        try {
            for (; i < functions.length; i++) {
                launch(i);
                if (SYNCHRONOUS && runtime != null && runs == 0) runtime.synchronize();
            }
        } catch (RuntimeException e) {
            throw new IllegalStateException("running " + nodes[i] + ": " + e.getMessage(), e);
        }
        for (int k = 0; k < results.size(); k++) {
            Result r = results.get(k);
            runtime.download(received[set].address() + r.offset, r.device, r.bytes);
        }
    }

    /** From now on a profiler of the device's (NVTX) sees a range of the node's op and label around its launches. */
    public void nameRanges() {
        ranges = true;
    }

    private void launch(int i) {
        if (ranges)
            Native.range(
                    device.backend(),
                    nodes[i].op().name() + " " + nodes[i].label().replace('/', '.'));
        start(i);
        if (ranges) Native.range(device.backend(), "");
    }

    private void start(int i) {
        if (functions[i] != 0) Native.launch(functions[i], args[i], runtime == null ? 0 : runtime.stream());
        else calls[i].library.launch(calls[i].buf);
    }

    /** Waits for the run under way and takes its small outputs. */
    private void settle() {
        if (!inFlight) return;
        inFlight = false;
        runtime.synchronize();
        take((int) (runs - 1 & 1));
    }

    private void take(int set) {
        if (smallOutputs.bytes() > 0)
            Native.copy(smallOutputs.address(), received[set].address(), smallOutputs.bytes());
    }

    /** Waits until the run asked for is done. */
    public void synchronize() {
        check();
        settle();
    }

    /** All elements of small outputs, of the last run or the one before it. Reading allocates nothing. */
    public final class Scalars {
        private final Storage[] of;
        private final int[] elements;
        private final FloatBuffer[][] at;

        private Scalars(List<String> names) {
            of = names.stream().map(Session.this::output).toArray(Storage[]::new);
            elements = names.stream()
                    .mapToInt(n -> (int) output(n).type().shape().elements())
                    .toArray();
            at = new FloatBuffer[runtime == null ? 0 : 2][of.length];
            for (int set = 0; set < at.length; set++)
                for (int i = 0; i < of.length; i++)
                    for (Result r : results)
                        if (r.device == of[i].address())
                            at[set][i] = received[set].view(r.offset, r.bytes).asFloatBuffer();
        }

        /**
         * Waits for that run alone.
         *
         * @param back 0 for the last run; 1 for the one before it, on a device with a stream
         * @param into takes the outputs one after the other in the order of their names
         */
        public void read(int back, double[] into) {
            check();
            if (runtime == null) {
                if (back != 0) throw new IllegalArgumentException("a processor keeps the last run alone");
                for (int i = 0, n = 0; i < of.length; i++)
                    for (int k = 0; k < elements[i]; k++) into[n++] = of[i].get(k);
                return;
            }
            int set = (int) (runs - 1 - back & 1);
            done.await(set);
            for (int i = 0, n = 0; i < of.length; i++)
                for (int k = 0; k < elements[i]; k++) into[n++] = at[set][i].get(k);
        }
    }

    /** A reader of outputs of at most some hundred floats that are not variables. */
    public Scalars scalars(List<String> names) {
        return new Scalars(names);
    }

    /** Nodes that a run launches, in order. */
    public Node[] launched() {
        return nodes.clone();
    }

    /** Who computes a node of {@link #launched}. */
    public Served served(Node n) {
        return prepared.get(n).served;
    }

    /** Runs every step once and adds each node's time, in nanoseconds, to {@code nanos}; {@code starts} may be null. */
    public void runTimed(long[] nanos, long[] starts) {
        check();
        Native.set_threads(device.threads());
        if (runtime != null) {
            runTimedOnDevice(nanos, starts);
            return;
        }
        long t = System.nanoTime();
        for (int i = 0; i < functions.length; i++) {
            if (starts != null) starts[i] = t;
            launch(i);
            long u = System.nanoTime();
            nanos[i] += u - t;
            t = u;
        }
    }

    private void runTimedOnDevice(long[] nanos, long[] starts) {
        settle();
        runtime.use();
        deliver();
        if (smallInputs != null) {
            Native.copy(sent[0].address(), smallInputs.address(), smallInputs.bytes());
            runtime.upload(smallInputsDevice, sent[0].address(), smallInputs.bytes());
        }
        try (DeviceRuntime.Marks marks = runtime.marks(functions.length + 1)) {
            marks.mark(0);
            for (int i = 0; i < functions.length; i++) {
                launch(i);
                marks.mark(i + 1);
            }
            runtime.synchronize();
            for (int i = 0; i < functions.length; i++) {
                if (starts != null) starts[i] = marks.nanos(0, i);
                nanos[i] += marks.nanos(i, i + 1);
            }
        }
    }

    /** The whole arena; for tests that watch guard words. */
    Memory arena() {
        return arena;
    }

    /** A copy of the arena; for tests that watch guard words. */
    ByteBuffer readArena() {
        if (runtime == null) return arena.view(0, arena.bytes());
        ByteBuffer b = ByteBuffer.allocateDirect((int) arena.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        runtime.download(Memory.address(b), arena.address(), arena.bytes());
        runtime.synchronize();
        return b;
    }

    void writeArena(ByteBuffer all) {
        ByteBuffer b = ByteBuffer.allocateDirect(all.capacity())
                .put(all.duplicate().clear())
                .flip();
        if (runtime == null) {
            arena.view(0, arena.bytes()).put(b);
            return;
        }
        runtime.upload(arena.address(), Memory.address(b), arena.bytes());
        runtime.synchronize();
    }

    /** Bytes of this session's own memory: arena, inputs, constants and arguments, without the variables. */
    public long ownedBytes() {
        return owned.stream().mapToLong(Memory::bytes).sum();
    }

    @Override
    public void close() {
        if (!open) return;
        open = false;
        RuntimeException failed = null;
        try {
            if (inFlight) runtime.synchronize();
        } catch (RuntimeException e) {
            failed = e;
        }
        lanes.forEach(DeviceRuntime.Lane::close);
        for (DeviceRuntime.Recorded r : recorded) if (r != null) r.close();
        if (done != null) done.close();
        for (Prepared p : prepared.values()) release(p, device);
        owned.forEach(Memory::close);
        if (failed != null) throw failed;
    }
}
