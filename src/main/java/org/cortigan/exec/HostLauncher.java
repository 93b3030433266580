// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;
import org.cortigan.plan.Plan;

/** Runs kernels in the calling thread: a run is done when its call returns. */
final class HostLauncher extends Launcher {
    HostLauncher(Device device, Plan plan, List<PreparedKernel> kernels) {
        super(device, plan, kernels);
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
