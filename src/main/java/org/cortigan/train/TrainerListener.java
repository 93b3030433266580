// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;

/** Receives the events of a run, on the training thread. An exception ends the run. */
public interface TrainerListener {
    /** The run begins or continues. If it resumed from another checkpoint, that is now the last one of its folder. */
    default void begin() {}

    /**
     * A step has ended. On a device with a stream, the next step may already be running.
     *
     * @param step steps done, of {@code steps}
     * @param loss the generator's total loss
     */
    default void step(long step, long steps, double loss) {}

    /** An epoch has ended and been validated. */
    default void epoch(EpochResult result) {}

    /** A checkpoint has been written. */
    default void checkpoint(Path file) {}
}
