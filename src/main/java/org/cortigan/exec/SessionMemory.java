// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.jni.Memory;
import org.cortigan.plan.Plan;

/** Allocates a session's memory. If the device has too little, the error says how much the session needs. */
final class SessionMemory {
    private final Device device;
    private final Plan plan;
    private final Resources resources;

    /** @param resources owns the allocated blocks */
    SessionMemory(Device device, Plan plan, Resources resources) {
        this.device = device;
        this.plan = plan;
        this.resources = resources;
    }

    /** {@code bytes} rounded up to the alignment of tensors. */
    static long aligned(long bytes) {
        return (bytes + Plan.ALIGNMENT - 1) / Plan.ALIGNMENT * Plan.ALIGNMENT;
    }

    /** A block of device memory. */
    Memory device(long bytes) {
        return resources.own(within(() -> device.allocate(bytes)));
    }

    /** A block of host memory that the device can copy asynchronously. */
    Memory host(long bytes) {
        return resources.own(within(() -> device.allocateHost(bytes)));
    }

    /** A block of plain host memory. */
    Memory plain(long bytes) {
        return resources.own(Memory.allocate(bytes));
    }

    /** Runs an allocation and explains its failure; the caller owns the result. */
    <T> T within(Supplier<T> allocation) {
        try {
            return allocation.get();
        } catch (OutOfMemoryError e) {
            throw new InputException(
                    device.name(),
                    e.getMessage() + "; the arena of this graph has "
                            + plan.report().arenaBytes() + " bytes, held now: " + Memory.liveBytes() + " bytes",
                    "Lower the batch (train.batch, or --batch): all memory but that of the parameters and their state"
                            + " shrinks with it",
                    e);
        }
    }
}
