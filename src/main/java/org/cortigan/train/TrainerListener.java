// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;

/** Told about a run, on the thread that runs it; what it throws ends the run. */
public interface TrainerListener {
    /**
     * On a device with a stream told while the next step runs already.
     *
     * @param step number of steps done, of {@code steps}
     * @param loss the generator's whole loss
     */
    default void step(long step, long steps, double loss) {}

    /** An epoch has ended and been validated. */
    default void epoch(EpochResult result) {}

    /** A file has been written. */
    default void checkpoint(Path file) {}
}
