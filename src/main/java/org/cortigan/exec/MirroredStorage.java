// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.FloatBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;

/** A small output on a device. Every access waits for the run under way and sees its result on the host. */
final class MirroredStorage extends HostStorage {
    private final Mirror mirror;
    private final long offset;

    /** @param offset where the mirror's blocks of outputs have the tensor */
    MirroredStorage(Type type, DType stored, long address, Mirror mirror, long offset) {
        super(type, stored, address, mirror.outputs(), offset);
        this.mirror = mirror;
        this.offset = offset;
    }

    @Override
    void refresh() {
        mirror.refresh();
    }

    /** What the last run of that set gave, once it is done; a live view. */
    FloatBuffer received(int set) {
        return mirror.received(set).view(offset, sizeBytes()).asFloatBuffer();
    }
}
