// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.Optional;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;

/**
 * Runs the simulated kernels without a GPU. To sessions it is a device with its own memory. A recording replays its
 * launches.
 */
public final class SimDevice extends TestDevice {
    private final SimRuntime runtime;

    /** @param backwards whether the threads of a block run in reverse order, which exposes missing barriers */
    public SimDevice(boolean backwards) {
        this(new SimRuntime(backwards), Optional.empty());
    }

    private SimDevice(SimRuntime runtime, Optional<String> preferred) {
        super("cuda simulation" + (runtime.backwards ? ", backwards" : ""), runtime, preferred);
        this.runtime = runtime;
    }

    @Override
    public Device preferring(String implementation) {
        Kernels.requireImplementation(backend(), implementation);
        return new SimDevice(runtime, Optional.of(implementation));
    }

    /** This device with the threads of a block in reverse order. */
    Device backwards() {
        if (runtime.reversed == null) runtime.reversed = new SimRuntime(true);
        return new SimDevice(runtime.reversed, preferred());
    }

    /** Ends the errors of approximate functions. */
    public interface Errors extends AutoCloseable {
        @Override
        void close();
    }

    /** Until closed, the functions that a GPU approximates err by up to so many ulps, on all such devices. */
    public Errors erring(int ulps) {
        Native.set(Backend.SIM.number(), "approximate", "" + ulps);
        return () -> Native.set(Backend.SIM.number(), "approximate", "0");
    }

    /** Sets the free memory that the device reports. */
    public void freeBytes(long n) {
        runtime.freeBytes = n;
    }

    /** The number of runs that replayed a recording. */
    public int replays() {
        return runtime.replays;
    }

    private static final class SimRuntime extends StreamRuntime {
        private final boolean backwards;
        private SimRuntime reversed;
        private int replays;
        private long freeBytes = Long.MAX_VALUE;

        SimRuntime(boolean backwards) {
            this.backwards = backwards;
        }

        /** Allocates memory that the host may not view. */
        @Override
        public Memory allocate(long bytes) {
            Memory m = Memory.allocate(Math.max(1, bytes));
            return Memory.of(m.address(), bytes, a -> m.close(), false);
        }

        /** The stream's number tells the simulation the order of threads. */
        @Override
        public long stream() {
            return backwards ? 1 : 0;
        }

        @Override
        public long freeBytes() {
            return freeBytes;
        }

        @Override
        void close() {
            if (reversed != null) reversed.close();
            super.close();
        }

        @Override
        public Recorded record(Runnable work) {
            return super.record(() -> {
                replays++;
                work.run();
            });
        }
    }
}
