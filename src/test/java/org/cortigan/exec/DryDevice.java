// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Native;
import org.cortigan.mem.Memory;

/**
 * A CUDA card without memory on which nothing runs: addresses are only numbers, and the simulation notes launches
 * instead of running them. Graphs of full size take milliseconds. What is sent to it is lost, and what comes from it is
 * zero.
 */
public final class DryDevice implements Device {
    /** Shared memory of a block on compute capabilities 9.0 and 10.0, on 8.0, and on 8.6, 8.9 and 12.0. */
    public static final int HOPPER = 232_448, AMPERE = 166_912, SMALL = 101_376;

    private final int shared;
    private final Path file;
    private final Runtime runtime = new Runtime();

    /** @param shared bytes of shared memory that a block of the card may have, static ones included */
    public DryDevice(int shared) {
        this.shared = shared;
        try {
            file = Files.createTempFile("launches", ".txt");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        file.toFile().deleteOnExit();
        SimDevice.load();
    }

    @Override
    public String name() {
        return "CUDA card of " + shared + " bytes of shared memory, dry";
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

    /** What a run of the graph would launch, a line each as native/sim/launches.h has it. */
    public List<String> launches(Graph g) {
        return launches(() -> {
            try (Variables vars = new Variables(this);
                    Session s = new Session(g, this, vars)) {
                s.run();
            }
        });
    }

    /** What the work would launch on this device. */
    public List<String> launches(Runnable work) {
        Native.choose(Backend.SIM.number(), "shared", "" + shared);
        Native.choose(Backend.SIM.number(), "launches", file.toString());
        try {
            work.run();
        } finally {
            Native.choose(Backend.SIM.number(), "launches", "");
            Native.choose(Backend.SIM.number(), "shared", "" + HOPPER);
        }
        try {
            return Files.readAllLines(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static final class Runtime implements DeviceRuntime {
        private static final long ALIGNMENT = 256;
        private final AtomicLong next = new AtomicLong(1L << 40);
        private Memory staging;

        @Override
        public Memory allocate(long bytes) {
            long at = next.getAndAdd((bytes / ALIGNMENT + 1) * ALIGNMENT);
            return Memory.of(at, bytes, a -> {}, false);
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
            return 0;
        }

        @Override
        public void upload(long device, long host, long bytes) {}

        @Override
        public void download(long host, long device, long bytes) {
            Native.fill(host, 0, bytes);
        }

        @Override
        public Lane lane(long device, long bytes) {
            return new Lane() {
                @Override
                public void send(long host) {}

                @Override
                public void deliver() {}

                @Override
                public void close() {}
            };
        }

        @Override
        public void synchronize() {}

        @Override
        public long freeBytes() {
            return Long.MAX_VALUE;
        }

        @Override
        public Recorded record(Runnable work) {
            return new Recorded() {
                @Override
                public void launch() {
                    work.run();
                }

                @Override
                public void close() {}
            };
        }

        @Override
        public Marks marks(int n) {
            return new Marks() {
                @Override
                public void mark(int i) {}

                @Override
                public void await(int i) {}

                @Override
                public long nanos(int a, int b) {
                    return 0;
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
