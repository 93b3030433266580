// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import org.cortigan.jni.Memory;

/** A device that only plans graphs ({@link Session#plan}), without memory and without the native library. */
public final class NullDevice implements Device {
    private static final DeviceRuntime RUNTIME = new HostRuntime(1) {
        @Override
        public Memory allocate(long bytes) {
            throw refused();
        }

        @Override
        public Memory allocateHost(long bytes) {
            throw refused();
        }

        @Override
        public void use() {}

        @Override
        public long freeBytes() {
            return Long.MAX_VALUE;
        }
    };

    /** Creates a device that only plans; several may exist. */
    public NullDevice() {}

    private static UnsupportedOperationException refused() {
        return new UnsupportedOperationException("the null device only plans: it has neither memory nor kernels");
    }

    @Override
    public String name() {
        return "null";
    }

    @Override
    public int backend() {
        throw refused();
    }

    @Override
    public boolean computes() {
        return false;
    }

    @Override
    public DeviceRuntime runtime() {
        return RUNTIME;
    }
}
