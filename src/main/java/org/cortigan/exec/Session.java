// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;
import java.util.Map;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.jni.Memory;
import org.cortigan.plan.Plan;

/**
 * Computes the named outputs of one graph on one device, as often as asked. The constructor prepares everything; a run
 * allocates nothing. A session is confined to the thread that created it.
 */
public final class Session implements AutoCloseable {
    /**
     * @param guardBytes unused bytes after every buffer; tests check that no kernel writes them
     * @param inPlace whether a node may write its outputs over inputs that no later node reads
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

    /** @param variables storage of the graph's variables, on the same device */
    public Session(Graph graph, Device device, Variables variables) {
        this(graph, device, variables, Options.DEFAULT);
    }

    /** @param variables storage of the graph's variables, on the same device */
    public Session(Graph graph, Device device, Variables variables, Options options) {
        this(graph, device, variables, options, new Arena(device), true);
    }

    /**
     * @param variables storage of the graph's variables, on the same device
     * @param arena memory for the values that nodes compute; sessions that never run at the same time may share it. The
     *     caller closes it
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
                    ? new StreamLauncher(device, prepared.plan(), prepared.kernels(), binding.mirror())
                    : new HostLauncher(device, prepared.plan(), prepared.kernels());
            resources.onClose(launcher::close);
        } catch (RuntimeException | Error e) {
            closeAfter(e);
            throw e;
        }
    }

    private void requireDevice(Device of, String what) {
        if (of.runtime() != device.runtime())
            throw new IllegalArgumentException("the " + what + " on another device: " + of.name());
    }

    private void closeAfter(Throwable failure) {
        try {
            close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /**
     * Plans a graph without allocating its tensors. Kernels are prepared, because the plan needs their scratch sizes,
     * and then released.
     */
    public static Plan plan(Graph graph, Device device) {
        try (Resources resources = new Resources()) {
            return new PreparedGraph(graph, device, Options.DEFAULT, resources).plan();
        }
    }

    /** Bytes of the memory block that holds a session's inputs and constants. */
    public static long inputBytes(Plan plan, Device device) {
        return Binding.inputBytes(plan, device);
    }

    /** Order and memory of the nodes. */
    public Plan plan() {
        return prepared.plan();
    }

    /** Where the session runs. */
    public Device device() {
        return device;
    }

    /**
     * Storage of an input. Write it before a run.
     *
     * @throws IllegalArgumentException if the graph has no such input
     */
    public Storage input(String name) {
        return find(binding.inputs(), name, "input");
    }

    /** Whether the graph has an input of this name. */
    public boolean hasInput(String name) {
        return binding.inputs().containsKey(name);
    }

    /**
     * From now on uploads direct buffers that are written to this input while earlier runs still execute. Meant for
     * contents that change in every run. Takes a second buffer of the input's size in device memory. Does nothing for
     * an input that the host accesses directly.
     *
     * @throws IllegalArgumentException if the graph has no such input
     */
    public void prefetch(String input) {
        launcher.prefetch(input(input));
    }

    /**
     * Storage of an output. Read it after a run; the next run overwrites it.
     *
     * @throws IllegalArgumentException if the graph has no such output
     */
    public Storage output(String name) {
        return find(binding.outputs(), name, "output");
    }

    /**
     * Where an input lies. Write it before a run.
     *
     * @throws IllegalArgumentException if the graph has no such input, or a device copies it from the host in every run
     *     because it has at most {@value Mirror#LIMIT_BYTES} bytes
     */
    public TensorMemory inputMemory(String name) {
        Storage s = input(name);
        if (device.runtime().isAsynchronous() && s.sizeBytes() <= Mirror.LIMIT_BYTES)
            throw new IllegalArgumentException("the input '" + name + "' of " + s.sizeBytes()
                    + " bytes is copied from the host in every run: those above " + Mirror.LIMIT_BYTES
                    + " bytes can be written on the device");
        return TensorMemory.of(s, device);
    }

    /**
     * Where an output lies. Read it after {@link #synchronize}; the next run overwrites it.
     *
     * @throws IllegalArgumentException if the graph has no such output
     */
    public TensorMemory outputMemory(String name) {
        return TensorMemory.of(output(name), device);
    }

    /** First element of an output. */
    public double scalar(String name) {
        return output(name).get(0);
    }

    /**
     * A reader of small outputs. On a device with a stream each output must be f32, at most {@value Mirror#LIMIT_BYTES}
     * bytes long, and neither an input nor a variable.
     *
     * @throws IllegalArgumentException if the graph has no such output, or an output exceeds these limits
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

    /** Runs every node once. On a device with a stream this only queues the work; reading an output waits for it. */
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
     * Runs every node once and times each node with the device's clock.
     *
     * @param nanos each node's nanoseconds are added to its element, in the order of {@link #launched}
     * @param starts receives the nanoseconds from the start of the run to the start of each node
     */
    public void runTimed(long[] nanos, long[] starts) {
        check();
        launcher.runTimed(nanos, starts);
    }

    /** From now on wraps each launch in a profiler range (NVTX) that is named after the node's op and label. */
    public void nameRanges() {
        launcher.nameRanges();
    }

    /** The nodes that a run launches, in launch order. */
    public Node[] launched() {
        return launcher.nodes();
    }

    /** Which library or kernel computes a node of {@link #launched}. */
    public Served served(Node n) {
        return prepared.served(n);
    }

    /** Memory of the values that nodes compute; tests check its guard bytes. */
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
