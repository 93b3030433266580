// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.file.Path;
import java.util.Optional;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Native;
import org.cortigan.jni.NativeLoader;

/** A device with its own memory and stream that has the CUDA kernels, compiled for the CPU (native/sim). */
abstract class TestDevice implements Device {
    /** A host runtime that sessions treat as a device with its own memory and stream. */
    abstract static class StreamRuntime extends HostRuntime {
        StreamRuntime() {
            super(2);
        }

        @Override
        public final boolean hasOwnMemory() {
            return true;
        }

        @Override
        public final boolean isAsynchronous() {
            return true;
        }

        @Override
        public long freeBytes() {
            return Long.MAX_VALUE;
        }
    }

    private final String name;
    private final StreamRuntime runtime;
    private final Optional<String> preferred;

    TestDevice(String name, StreamRuntime runtime, Optional<String> preferred) {
        this.name = name;
        this.runtime = runtime;
        this.preferred = preferred;
        NativeLoader.load();
        String library = System.getProperty("cortigan.sim", "target/native/libcortigan_sim.so");
        Native.load_backend(
                Backend.SIM.number(), Path.of(library).toAbsolutePath().toString());
    }

    @Override
    public final String name() {
        return name + preferred.map(p -> ", " + p).orElse("");
    }

    @Override
    public final boolean supports(Precision p) {
        return p == Precision.FP8 || Device.super.supports(p);
    }

    @Override
    public final Optional<String> preferred() {
        return preferred;
    }

    @Override
    public final int backend() {
        return Backend.SIM.number();
    }

    @Override
    public final DeviceRuntime runtime() {
        return runtime;
    }

    @Override
    public final void close() {
        if (preferred.isEmpty()) runtime.close();
    }
}
