// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;
import java.util.Map;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.jni.Memory;
import org.cortigan.plan.Plan;

/**
 * Runs the named outputs of one graph on one device, again and again. The constructor prepares everything; a run
 * allocates nothing. Confined to the thread that made it.
 */
public final class Session implements AutoCloseable {
    /**
     * @param guardBytes free space after every buffer, for tests
     * @param inPlace whether nodes may reuse the storage of inputs that nothing reads any more
     */
    public record Options(int guardBytes, boolean inPlace) {
        public static final Options DEFAULT = new Options(0, true);
    }

    private final Device device;
    private final Thread owner = Thread.currentThread();
    private final Resources resources = new Resources();
    private final PreparedGraph prepared;
    private final Binding binding;
    private final Launcher launcher;
    private boolean open = true;

    /** @param variables where the graph's variables live; of the same device */
    public Session(Graph graph, Device device, Variables variables) {
        this(graph, device, variables, Options.DEFAULT);
    }

    /** @param variables where the graph's variables live; of the same device */
    public Session(Graph graph, Device device, Variables variables, Options options) {
        this(graph, device, variables, options, new Arena(device), true);
    }

    /**
     * @param variables where the graph's variables live; of the same device
     * @param arena memory for values between nodes, shared with sessions that never run at the same time; it stays the
     *     caller's
     */
    public Session(Graph graph, Device device, Variables variables, Arena arena) {
        this(graph, device, variables, Options.DEFAULT, arena, false);
    }

    private Session(Graph graph, Device device, Variables variables, Options options, Arena arena, boolean ownsArena) {
        this.device = device;
        requireDevice(variables.device(), "variables are");
        requireDevice(arena.device(), "arena is");
        if (ownsArena) resources.onClose(arena::close);
        try {
            prepared = new PreparedGraph(graph, device, options, resources);
            SessionMemory memory = new SessionMemory(device, prepared.plan(), resources);
            binding = new Binding(graph, prepared, device, variables, arena, memory);
            launcher = device.runtime().isAsynchronous()
                    ? new StreamLauncher(device, prepared.kernels(), binding.mirror())
                    : new HostLauncher(device, prepared.kernels());
            resources.onClose(launcher::close);
        } catch (RuntimeException | Error e) {
            closeAfter(e);
            throw e;
        }
    }

    private void requireDevice(Device of, String what) {
        if (of != device) throw new IllegalArgumentException("the " + what + " on another device: " + of.name());
    }

    private void closeAfter(Throwable failure) {
        try {
            close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /** The plan of a graph alone. Kernels are prepared and let go again; tensors get no memory. */
    public static Plan plan(Graph graph, Device device) {
        try (Resources resources = new Resources()) {
            return new PreparedGraph(graph, device, Options.DEFAULT, resources).plan();
        }
    }

    /** Bytes of the block in which a session of the plan has inputs and constants. */
    public static long inputBytes(Plan plan, Device device) {
        return Binding.inputBytes(plan, device);
    }

    public Plan plan() {
        return prepared.plan();
    }

    public Device device() {
        return device;
    }

    /**
     * Storage of an input, to be written before a run.
     *
     * @throws IllegalArgumentException if there is no input of that name
     */
    public Storage input(String name) {
        return find(binding.inputs(), name, "input");
    }

    public boolean hasInput(String name) {
        return binding.inputs().containsKey(name);
    }

    /**
     * From now on direct buffers written to this input travel to the device while earlier runs are under way. For
     * contents that are new in every run; takes the input's size once more of the device's memory. Where the host sees
     * the input, nothing changes.
     *
     * @throws IllegalArgumentException if there is no input of that name
     */
    public void prefetch(String input) {
        launcher.prefetch(input(input));
    }

    /**
     * Storage of an output, to be read after a run; the next run overwrites it.
     *
     * @throws IllegalArgumentException if there is no output of that name
     */
    public Storage output(String name) {
        return find(binding.outputs(), name, "output");
    }

    /** First element of an output. */
    public double scalar(String name) {
        return output(name).get(0);
    }

    /**
     * A reader of outputs of at most some hundred floats that are not variables.
     *
     * @throws IllegalArgumentException if there is no such output
     */
    public Scalars scalars(List<String> names) {
        return launcher.scalars(this::check, names.stream().map(this::output).toList());
    }

    private Storage find(Map<String, Storage> all, String name, String what) {
        check();
        Storage s = all.get(name);
        if (s == null) throw new IllegalArgumentException("no " + what + " '" + name + "'; there are " + all.keySet());
        return s;
    }

    private void check() {
        if (!open) throw new IllegalStateException("the session is closed");
        if (Thread.currentThread() != owner)
            throw new IllegalStateException("a session is confined to the thread that made it, " + owner.getName());
    }

    /** Runs every node once. On a device with a stream this only queues the work: reading an output waits for it. */
    public void run() {
        check();
        if (!launcher.isEmpty()) launcher.run();
    }

    /** Waits until the last run is done. */
    public void synchronize() {
        check();
        launcher.synchronize();
    }

    /**
     * Runs every node once and measures it by the device's clock.
     *
     * @param nanos each node's nanoseconds are added to it, in the order of {@link #launched}
     * @param starts takes the nanoseconds from the run's begin to each node's
     */
    public void runTimed(long[] nanos, long[] starts) {
        check();
        launcher.runTimed(nanos, starts);
    }

    /** From now on a profiler of the device (NVTX) sees a range of the node's op and label around its launches. */
    public void nameRanges() {
        launcher.nameRanges();
    }

    /** Nodes that a run launches, in order. */
    public Node[] launched() {
        return launcher.nodes();
    }

    /** What computes a node of {@link #launched}. */
    public Served served(Node n) {
        return prepared.served(n);
    }

    /** The memory of values between nodes; for tests that watch what nobody may write. */
    Memory arena() {
        return binding.arena();
    }

    @Override
    public void close() {
        if (!open) return;
        open = false;
        resources.close();
    }
}
