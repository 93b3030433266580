// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.EnumSet;

/**
 * Controls the simulated CUDA runtime (native/sim/cudart) and counts its open resources. Only for tests in the JVM
 * where that runtime replaces the real one (tagged {@code cuda}).
 */
public final class SimulatedCuda {
    /** The numbers in the shared page, by the names that the simulation looks up. */
    private enum Number {
        MEMORY,
        DEVICES,
        ERROR,
        GOOD_CALLS_BEFORE,
        ARCHITECTURE,
        STICKY,
        EARLY,
        USED_BYTES,
        DEVICE_BLOCKS,
        HOST_BLOCKS,
        STREAMS,
        EVENTS,
        GRAPHS,
        GRAPH_INSTANCES,
        DEVICE_ALLOCATIONS,
        HOST_ALLOCATIONS,
        GRAPH_LAUNCHES,
        KERNELS,
        EARLY_LAUNCHES,
        WAITS,
        COPIES,
        REDUCTIONS,
        KERNELS_BEFORE;

        private int at() {
            return CALL + SLOT * ordinal();
        }

        long get() {
            return PAGE.getLong(at() + NAME);
        }

        void set(long value) {
            PAGE.putLong(at() + NAME, value);
        }
    }

    /** Counts of open resources; all are 0 when everything is closed. */
    private static final EnumSet<Number> OPEN = EnumSet.range(Number.DEVICE_BLOCKS, Number.GRAPH_INSTANCES);

    // Layout of the file (native/sim/cudart/cudart.cpp, File): the name of a call, then pairs of a name and a number.
    private static final int CALL = 64, NAME = 24, SLOT = NAME + 8, SLOTS = 24;
    private static final ByteBuffer PAGE = page();

    /** Instead of an error number, for {@link #fail}. */
    public static final int HANG = -1, SKIP = -2;

    private SimulatedCuda() {}

    private static ByteBuffer page() {
        try (FileChannel f = FileChannel.open(
                Path.of(System.getenv("CG_CUDART_PAGE")),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
            int bytes = CALL + SLOT * SLOTS;
            ByteBuffer names = ByteBuffer.allocate(bytes);
            for (Number n : Number.values()) names.put(n.at(), n.name().getBytes(StandardCharsets.US_ASCII));
            f.write(names, 0);
            return f.map(FileChannel.MapMode.READ_WRITE, 0, bytes).order(ByteOrder.LITTLE_ENDIAN);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Simulates one card of architecture 9.0 with 1 GiB and no pending error. */
    public static void reset() {
        memory(1L << 30);
        devices(1);
        architecture(9);
        sticky(false);
        early(false);
        Number.ERROR.set(0);
    }

    /** Sets whether an error persists in the process that met it, as on a real card after a kernel fault. */
    public static void sticky(boolean stays) {
        Number.STICKY.set(stays ? 1 : 0);
    }

    /** Sets whether streams run as early as they may, instead of as late. */
    public static void early(boolean on) {
        Number.EARLY.set(on ? 1 : 0);
    }

    /** Sets the memory of each card. */
    public static void memory(long bytes) {
        Number.MEMORY.set(bytes);
    }

    /** Sets the number of cards. */
    public static void devices(int n) {
        Number.DEVICES.set(n);
    }

    /** Sets the major architecture of the cards; 9 is sm_90. */
    public static void architecture(int major) {
        Number.ARCHITECTURE.set(major);
    }

    /**
     * Makes a call fail once, after a number of successful calls.
     *
     * @param call a function's name; {@code launch} for a failing kernel launch, {@code kernel} for a kernel that fails
     *     while it runs
     * @param after successful calls before the failure
     * @param error CUDA's error number; {@link #HANG} for a call that never returns, {@link #SKIP} for one that
     *     succeeds without doing anything
     */
    public static void fail(String call, int after, int error) {
        byte[] name = new byte[CALL];
        byte[] b = call.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(b, 0, name, 0, b.length);
        PAGE.put(0, name);
        Number.GOOD_CALLS_BEFORE.set(after);
        Number.ERROR.set(error);
    }

    /** Whether the requested error has not occurred yet. */
    public static boolean pending() {
        return Number.ERROR.get() != 0;
    }

    /** Bytes of device memory in use. */
    public static long usedBytes() {
        return Number.USED_BYTES.get();
    }

    /** The number of open device blocks, host blocks, streams, events, graphs and graph instances. */
    public static int live() {
        return OPEN.stream().mapToInt(n -> (int) n.get()).sum();
    }

    /** Resets the counts after processes were killed; this process must have nothing open. */
    public static void processesEnded() {
        Number.USED_BYTES.set(0);
        OPEN.forEach(n -> n.set(0));
    }

    /** Graphs launched so far. */
    public static long graphLaunches() {
        return Number.GRAPH_LAUNCHES.get();
    }

    /** Kernels run so far. */
    public static long kernels() {
        return Number.KERNELS.get();
    }

    /** Launches so far that may begin before the kernel before them has ended. */
    public static long earlyLaunches() {
        return Number.EARLY_LAUNCHES.get();
    }

    /** Waits of the host so far. */
    public static long waits() {
        return Number.WAITS.get();
    }

    /** Device blocks allocated so far. */
    public static long deviceAllocations() {
        return Number.DEVICE_ALLOCATIONS.get();
    }

    /** Blocks of pinned memory allocated so far. */
    public static long hostAllocations() {
        return Number.HOST_ALLOCATIONS.get();
    }

    /** Reductions so far by NCCL, one for each rank. */
    public static long reductions() {
        return Number.REDUCTIONS.get();
    }

    /** Kernels that a rank's card had run when it began a reduction, added up over all reductions so far. */
    public static long kernelsBeforeReductions() {
        return Number.KERNELS_BEFORE.get();
    }

    /** Copies requested so far. */
    public static long copies() {
        return Number.COPIES.get();
    }
}
