// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;

/** Runs kernels in the calling thread: a run is done when its call returns. */
final class HostLauncher extends Launcher {
    HostLauncher(Device device, PreparedGraph graph) {
        super(device, graph);
    }

    @Override
    void run() {
        runtime().use();
        launchAll(false);
    }

    @Override
    void synchronize() {}

    /** Does nothing, because writes to an input take effect at once. */
    @Override
    void prefetch(Storage input) {}

    @Override
    Scalars scalars(Runnable check, List<Storage> outputs) {
        return new Scalars.Current(check, outputs);
    }

    @Override
    void beginTimed() {
        runtime().use();
    }

    @Override
    public void close() {}
}
