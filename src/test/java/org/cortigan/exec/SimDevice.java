// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.cortigan.graph.DType;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Native;
import org.cortigan.jni.NativeLoader;
import org.cortigan.mem.Memory;

/**
 * The CUDA kernels compiled for the processor (native/sim): a device with memory of its own as far as sessions can
 * tell, without a GPU. Recording replays the launches.
 */
public final class SimDevice implements Device {
    private final SimRuntime runtime;

    /** @param backwards whether the threads of a block run in reverse order, which shows missing barriers */
    public SimDevice(boolean backwards) {
        load();
        runtime = new SimRuntime(backwards ? 1 : 0);
    }

    /** Loads the simulated kernels. */
    static void load() {
        NativeLoader.load();
        String library = System.getProperty("cortigan.sim", "target/native/libcortigan_sim.so");
        Native.load_backend(
                Backend.SIM.number(), Path.of(library).toAbsolutePath().toString());
    }

    @Override
    public String name() {
        return "cuda simulation" + (runtime.stream == 1 ? ", backwards" : "");
    }

    @Override
    public int elementBytes(DType t) {
        return t.bytes();
    }

    @Override
    public int backend() {
        return Backend.SIM.number();
    }

    @Override
    public int threads() {
        return 2;
    }

    @Override
    public DeviceRuntime runtime() {
        return runtime;
    }

    @Override
    public void close() {
        if (runtime.staging != null) runtime.staging.close();
        runtime.staging = null;
    }

    /** Takes the kernels of a variant ({@code mma}, {@code wgmma}) for attention in this process. */
    public static void attention(String which) {
        Native.choose(Backend.SIM.number(), "attention", which);
    }

    /** What the device says to have free. */
    public void freeBytes(long n) {
        runtime.freeBytes = n;
    }

    /** How many runs were replays of a recording. */
    public int replays() {
        return runtime.replays;
    }

    private static final class SimRuntime implements DeviceRuntime {
        private final long stream;
        private int replays;
        private long freeBytes = Long.MAX_VALUE;
        private Memory staging;

        SimRuntime(long stream) {
            this.stream = stream;
        }

        @Override
        public Memory allocate(long bytes) {
            Memory m = Memory.allocate(Math.max(1, bytes));
            return Memory.of(m.address(), bytes, a -> m.close(), false);
        }

        @Override
        public Memory allocateHost(long bytes) {
            return Memory.allocate(bytes);
        }

        @Override
        public Memory staging() {
            if (staging == null) staging = allocateHost(STAGING);
            return staging;
        }

        @Override
        public void use() {}

        @Override
        public long stream() {
            return stream;
        }

        @Override
        public void upload(long device, long host, long bytes) {
            Native.copy(device, host, bytes);
        }

        @Override
        public void download(long host, long device, long bytes) {
            Native.copy(host, device, bytes);
        }

        @Override
        public Lane lane(long device, long bytes) {
            Memory room = allocate(bytes);
            return new Lane() {
                @Override
                public void send(long host) {
                    Native.copy(room.address(), host, bytes);
                }

                @Override
                public void deliver() {
                    Native.copy(device, room.address(), bytes);
                }

                @Override
                public void close() {
                    room.close();
                }
            };
        }

        @Override
        public void synchronize() {}

        @Override
        public long freeBytes() {
            return freeBytes;
        }

        @Override
        public Recorded record(Runnable work) {
            return new Recorded() {
                @Override
                public void launch() {
                    replays++;
                    work.run();
                }

                @Override
                public void close() {}
            };
        }

        @Override
        public Marks marks(int n) {
            long[] at = new long[n];
            return new Marks() {
                @Override
                public void mark(int i) {
                    at[i] = System.nanoTime();
                }

                @Override
                public void await(int i) {}

                @Override
                public long nanos(int a, int b) {
                    return at[b] - at[a];
                }

                @Override
                public void close() {}
            };
        }

        @Override
        public Service service(String kernel, ByteBuffer args) {
            return Service.own(Served.kernel());
        }
    }
}
