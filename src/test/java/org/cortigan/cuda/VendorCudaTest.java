// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import org.cortigan.jni.Memory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;

/**
 * Sets up a simulated card with simulated NVIDIA libraries and a separate algorithm cache, and checks that each test
 * leaves nothing open.
 */
@Tag("cuda")
abstract class VendorCudaTest {
    @TempDir
    Path cache;

    private String own;
    private String folder;
    private long memory;

    @BeforeEach
    void withLibraries() {
        SimulatedCuda.reset();
        memory = Memory.live();
        own = System.setProperty("cortigan.cuda.ownProducts", "false");
        folder = System.setProperty("cortigan.cuda.cache", cache.toString());
    }

    @AfterEach
    void restore() {
        System.setProperty("cortigan.cuda.ownProducts", own);
        System.setProperty("cortigan.cuda.cache", folder);
        assertEquals(0, SimulatedCuda.live());
        assertEquals(memory, Memory.live());
    }
}
