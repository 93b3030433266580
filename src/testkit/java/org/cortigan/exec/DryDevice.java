// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.cortigan.graph.Graph;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;

/**
 * A CUDA card without memory that executes nothing: addresses are plain numbers, and the simulation records launches
 * instead of running them, so graphs of full size take milliseconds. Uploads are discarded; downloads are zero.
 */
public final class DryDevice extends TestDevice {
    /** Bytes of shared memory of a block on compute capabilities 9.0 and 10.0, on 8.0, and on 8.6, 8.9 and 12.0. */
    public static final int HOPPER = 232_448, AMPERE = 166_912, SMALL = 101_376;

    private final int shared;
    private final DryRuntime runtime;
    private final Path file;

    /** @param shared bytes of shared memory that a block may have, static memory included */
    public DryDevice(int shared) {
        this(shared, new DryRuntime(), file(), Optional.empty());
    }

    private DryDevice(int shared, DryRuntime runtime, Path file, Optional<String> preferred) {
        super("CUDA card of " + shared + " bytes of shared memory, dry", runtime, preferred);
        this.shared = shared;
        this.runtime = runtime;
        this.file = file;
    }

    private static Path file() {
        try {
            Path file = Files.createTempFile("launches", ".txt");
            file.toFile().deleteOnExit();
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public DryDevice preferring(String implementation) {
        Kernels.requireImplementation(backend(), implementation);
        return new DryDevice(shared, runtime, file, Optional.of(implementation));
    }

    /** The launches of one run of the graph, one line each in the format of native/sim/launches.h. */
    public List<String> launches(Graph g) {
        return launches(() -> {
            try (Variables vars = new Variables(this);
                    Session s = new Session(g, this, vars)) {
                s.run();
            }
        });
    }

    /** The launches of the given work on this device. */
    public List<String> launches(Runnable work) {
        Native.set(Backend.SIM.number(), "shared", "" + shared);
        Native.set(Backend.SIM.number(), "launches", file.toString());
        try {
            work.run();
        } finally {
            Native.set(Backend.SIM.number(), "launches", "");
            Native.set(Backend.SIM.number(), "shared", "" + HOPPER);
        }
        try {
            return Files.readAllLines(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static final class DryRuntime extends StreamRuntime {
        private static final long ALIGNMENT = 256;
        private final AtomicLong next = new AtomicLong(1L << 40);

        @Override
        public Memory allocate(long bytes) {
            long at = next.getAndAdd((bytes / ALIGNMENT + 1) * ALIGNMENT);
            return Memory.of(at, bytes, a -> {}, false);
        }

        @Override
        public void copy(long to, long from, long bytes) {}

        @Override
        public void download(long host, long device, long bytes) {
            Native.fill(host, 0, bytes);
        }
    }
}
