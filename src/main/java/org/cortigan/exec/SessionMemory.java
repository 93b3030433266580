// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.jni.Memory;
import org.cortigan.plan.Plan;

/** Allocates a session's memory, and says what the session needs where the device has too little. */
final class SessionMemory {
    private final Device device;
    private final Plan plan;
    private final Resources resources;

    /** @param resources takes what is allocated */
    SessionMemory(Device device, Plan plan, Resources resources) {
        this.device = device;
        this.plan = plan;
        this.resources = resources;
    }

    /** Bytes up to the next place for a tensor. */
    static long aligned(long bytes) {
        return (bytes + Plan.ALIGNMENT - 1) / Plan.ALIGNMENT * Plan.ALIGNMENT;
    }

    /** The device's memory. */
    Memory device(long bytes) {
        return resources.own(within(() -> device.allocate(bytes)));
    }

    /** Memory of the host from which the device copies by itself. */
    Memory host(long bytes) {
        return resources.own(within(() -> device.allocateHost(bytes)));
    }

    /** Memory of the host alone. */
    Memory plain(long bytes) {
        return resources.own(Memory.allocate(bytes));
    }

    /** Allocates; the result stays the caller's. */
    <T> T within(Supplier<T> allocation) {
        try {
            return allocation.get();
        } catch (OutOfMemoryError e) {
            throw new InputException(
                    device.name(),
                    e.getMessage() + "; " + plan.report() + ", held now: " + Memory.liveBytes() + " bytes",
                    "Set train.batch lower: all but the parameters and their state shrinks with it");
        }
    }
}
