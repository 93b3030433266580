// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.cortigan.jni.Memory;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Every test begins with the simulated runtime as it starts, and leaves neither its resources nor host memory open. */
final class NothingLeftOpen implements BeforeEachCallback, AfterEachCallback {
    private long memoryBefore;

    @Override
    public void beforeEach(ExtensionContext test) {
        SimulatedCuda.reset();
        memoryBefore = Memory.live();
    }

    @Override
    public void afterEach(ExtensionContext test) {
        SimulatedCuda.reset();
        assertEquals(0, SimulatedCuda.live(), "resources open in the runtime");
        assertEquals(0, SimulatedCuda.usedBytes());
        assertEquals(memoryBefore, Memory.live());
    }
}
