// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.jni.Native;
import org.cortigan.plan.Plan;

/** Launches a session's kernels in order, those that share a time slot of the plan side by side. */
abstract class Launcher implements AutoCloseable {
    private final int backend;
    private final PreparedKernel[] kernels;
    /** Whether kernel i runs beside kernel i + 1. */
    private final boolean[] beside;

    private final DeviceRuntime runtime;
    private boolean ranges;

    /** @param plan says which kernels share a time slot */
    Launcher(Device device, Plan plan, List<PreparedKernel> kernels) {
        this.kernels = kernels.toArray(PreparedKernel[]::new);
        beside = new boolean[this.kernels.length];
        for (int i = 0; i < beside.length; i++)
            beside[i] = plan.besideNext(kernels.get(i).node());
        backend = device.backend();
        runtime = device.runtime();
    }

    /** Runs every kernel once. */
    abstract void run();

    /** Waits until the last run is done. */
    abstract void synchronize();

    /** From now on uploads direct buffers that are written to the input while earlier runs execute. */
    abstract void prefetch(Storage input);

    abstract Scalars scalars(Runnable check, List<Storage> outputs);

    /** Prepares the device for a timed run and uploads pending inputs. */
    abstract void beginTimed();

    @Override
    public abstract void close();

    final DeviceRuntime runtime() {
        return runtime;
    }

    final boolean isEmpty() {
        return kernels.length == 0;
    }

    /** The kernels' nodes, in launch order. */
    final Node[] nodes() {
        Node[] n = new Node[kernels.length];
        for (int i = 0; i < n.length; i++) n[i] = kernels[i].node();
        return n;
    }

    /** From now on wraps each launch in a profiler range that is named after the node's op and label. */
    final void nameRanges() {
        ranges = true;
    }

    /** @param wait whether to wait after every kernel, so that a device error names the node that caused it */
    final void launchAll(boolean wait) {
        boolean afterOwn = false;
        for (int i = 0; i < kernels.length; i++) {
            if (beside[i] && !wait) {
                launchPair(kernels[i], kernels[++i]);
                afterOwn = false;
            } else {
                launch(kernels[i], afterOwn, wait);
                afterOwn = kernels[i].isOwn() && !wait;
            }
        }
    }

    private void launchPair(PreparedKernel k, PreparedKernel aside) {
        runtime.aside(() -> launch(aside, false, false));
        launch(k, false, false);
        runtime.join();
    }

    private void launch(PreparedKernel k, boolean afterOwn, boolean wait) {
        try {
            if (ranges)
                Native.range(
                        backend, k.node().op().name() + " " + k.node().label().replace('/', '.'));
            k.launch(afterOwn);
            if (ranges) Native.range(backend, "");
            if (wait) runtime.synchronize();
        } catch (RuntimeException e) {
            throw new IllegalStateException("running " + k.node() + ": " + e.getMessage(), e);
        }
    }

    /**
     * Runs every kernel once, each alone. Adds its nanoseconds to {@code nanos} and sets {@code starts} to when it
     * began.
     */
    final void runTimed(long[] nanos, long[] starts) {
        beginTimed();
        try (DeviceRuntime.Events events = runtime.events(kernels.length + 1)) {
            events.record(0);
            for (int i = 0; i < kernels.length; i++) {
                launch(kernels[i], false, false);
                events.record(i + 1);
            }
            runtime.synchronize();
            for (int i = 0; i < kernels.length; i++) {
                starts[i] = events.nanos(0, i);
                nanos[i] += events.nanos(i, i + 1);
            }
        }
    }
}
