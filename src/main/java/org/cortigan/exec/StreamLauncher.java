// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;

/**
 * Queues kernels on a device's stream. The first run launches them one by one, the next two record the launches as one
 * graph each, one for each set of the mirror, and from then on these are replayed in turn. A run waits for the one
 * before the last.
 */
final class StreamLauncher extends Launcher {
    /** Whether the first run waits after every kernel; for debugging. */
    private static final boolean SYNCHRONOUS = Boolean.getBoolean("cortigan.synchronous");

    private final Mirror mirror;
    private final DeviceRuntime.Events done;
    private final DeviceRuntime.Recorded[] recorded = new DeviceRuntime.Recorded[2];
    private final List<Storage> prefetched = new ArrayList<>();
    private long runs;

    StreamLauncher(Device device, List<PreparedKernel> kernels, Mirror mirror) {
        super(device, kernels);
        this.mirror = mirror;
        done = device.runtime().events(2);
    }

    /** The set that a run takes, counted from 0. */
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
            // Libraries load what they need at their first call, which a recording would not survive.
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
        for (int i = 0; i < prefetched.size(); i++) prefetched.get(i).deliver(); // no iterator: nothing allocated
    }

    @Override
    void synchronize() {
        mirror.refresh();
    }

    /** Waits for the last run, or for the one {@code back} runs before it, and gives its set. */
    int await(int back) {
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
