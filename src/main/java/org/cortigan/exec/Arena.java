// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.jni.Memory;

/**
 * Memory for the values that a graph's nodes compute. Sessions that never run at the same time may share an arena; a
 * run of one session then overwrites the outputs of the others. Close the arena after its sessions.
 */
public final class Arena implements AutoCloseable {
    private final Device device;
    private final List<Memory> blocks = new ArrayList<>();

    /** An arena that takes its memory when the first session asks for it. */
    public Arena(Device device) {
        this.device = device;
    }

    Device device() {
        return device;
    }

    /** A block of at least {@code bytes} bytes: an existing one if it is large enough, otherwise a new one. */
    Memory block(long bytes) {
        for (Memory b : blocks) if (b.bytes() >= bytes) return b;
        Memory b = device.allocate(bytes);
        blocks.add(b);
        return b;
    }

    @Override
    public void close() {
        blocks.forEach(Memory::close);
        blocks.clear();
    }
}
