// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.FloatBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;

/** A small output on a device. Every access waits for the queued runs and reads the result on the host. */
final class MirroredStorage extends HostStorage {
    private final Mirror mirror;
    private final long offset;

    /** @param offset offset of the tensor in the mirror's blocks of outputs */
    MirroredStorage(Type type, DType stored, long address, Mirror mirror, long offset) {
        super(type, stored, address, mirror.outputs(), offset);
        this.mirror = mirror;
        this.offset = offset;
    }

    @Override
    void refresh() {
        mirror.refresh();
    }

    /** A live view of the output of the set's last run, valid once that run is done. */
    FloatBuffer received(int set) {
        return mirror.received(set).view(offset, sizeBytes()).asFloatBuffer();
    }
}
