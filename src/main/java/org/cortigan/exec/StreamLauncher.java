// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.plan.Plan;

/**
 * Queues kernels on a device's stream. The first run launches the kernels one by one. Each of the next two runs records
 * its launches as a graph, one for each set of the mirror; later runs replay the two graphs alternately. Run n waits
 * for run n - 2, which used the same set.
 */
final class StreamLauncher extends Launcher {
    /** Whether the first run waits after every kernel; for debugging. */
    private static final boolean SYNCHRONOUS = Boolean.getBoolean("cortigan.synchronous");

    private final Mirror mirror;
    private final DeviceRuntime.Events done;
    private final DeviceRuntime.Recorded[] recorded = new DeviceRuntime.Recorded[2];
    private final List<Storage> prefetched = new ArrayList<>();
    private long runs;

    StreamLauncher(Device device, Plan plan, List<PreparedKernel> kernels, Mirror mirror) {
        super(device, plan, kernels);
        this.mirror = mirror;
        done = device.runtime().events(2);
    }

    /** The mirror's set that a run uses; runs count from 0. */
    private static int set(long run) {
        return (int) (run & 1);
    }

    @Override
    void run() {
        int set = set(runs);
        if (runs >= 2) done.await(set);
        runtime().use();
        deliver();
        mirror.stage(set);
        if (runs == 0) {
            // Libraries load code at their first call, which would make a recording fail.
            launch(set, SYNCHRONOUS);
        } else {
            if (recorded[set] == null) recorded[set] = runtime().record(() -> launch(set, false));
            recorded[set].launch();
        }
        done.record(set);
        runs++;
        mirror.launched(set);
    }

    private void launch(int set, boolean wait) {
        mirror.upload(set);
        launchAll(wait);
        mirror.download(set);
    }

    private void deliver() {
        for (int i = 0; i < prefetched.size(); i++) prefetched.get(i).deliver(); // no iterator, so no allocation
    }

    @Override
    void synchronize() {
        mirror.refresh();
    }

    /** Waits for the last run, or the run {@code back} runs before it, and returns the mirror's set that it used. */
    int await(int back) {
        if (back < 0 || back > 1 || back >= runs) throw new IllegalArgumentException("no run " + back + " runs ago");
        int set = set(runs - 1 - back);
        done.await(set);
        return set;
    }

    @Override
    void prefetch(Storage input) {
        input.prefetch();
        prefetched.add(input);
    }

    @Override
    Scalars scalars(Runnable check, List<Storage> outputs) {
        return new Scalars.Mirrored(check, this, outputs);
    }

    @Override
    void beginTimed() {
        synchronize();
        runtime().use();
        deliver();
        mirror.stage(0);
        mirror.upload(0);
    }

    @Override
    public void close() {
        try {
            if (mirror.isStale()) runtime().synchronize();
        } finally {
            prefetched.forEach(Storage::endPrefetch);
            for (DeviceRuntime.Recorded r : recorded) if (r != null) r.close();
            done.close();
        }
    }
}
