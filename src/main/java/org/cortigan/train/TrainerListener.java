// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.Map;

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

    /**
     * After {@link #epoch}, if there are validation photographs: Pearson's r of every vertex over them. The map and its
     * arrays are not changed later, so that a listener may keep them, but must not change them either.
     *
     * @param r by subject name, "" for a single subject, without subjects that have no validation photographs: [V],
     *     left hemisphere before right, without the vertices that are missing in all images
     */
    default void validated(EpochResult result, Map<String, double[]> r) {}

    /** A checkpoint has been written. */
    default void checkpoint(Path file) {}
}
