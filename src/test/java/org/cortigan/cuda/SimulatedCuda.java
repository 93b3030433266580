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

/**
 * What the CUDA runtime of native/sim/cudart is to do, and what is open in it. Only for tests that run in the JVM where
 * that runtime stands for the real one (tagged {@code cuda}).
 */
public final class SimulatedCuda {
    private static final int BYTES = 176;
    private static final ByteBuffer PAGE = page();

    private SimulatedCuda() {}

    private static ByteBuffer page() {
        try (FileChannel f = FileChannel.open(
                Path.of(System.getenv("CG_CUDART_PAGE")),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
            f.write(ByteBuffer.allocate(BYTES), 0);
            return f.map(FileChannel.MapMode.READ_WRITE, 0, BYTES).order(ByteOrder.LITTLE_ENDIAN);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** One card of architecture 9.0 with 1 GiB and no errors to come. */
    public static void reset() {
        memory(1L << 30);
        devices(1);
        PAGE.putInt(12, 0).putInt(20, 9).putInt(168, 0);
    }

    /** Whether an error stays with the process that met it, as on a card after a kernel's fault. */
    public static void sticky(boolean stays) {
        PAGE.putInt(168, stays ? 1 : 0);
    }

    public static void memory(long bytes) {
        PAGE.putLong(0, bytes);
    }

    public static void devices(int n) {
        PAGE.putInt(8, n);
    }

    public static void architecture(int major) {
        PAGE.putInt(20, major);
    }

    /**
     * Lets a call fail once with that error, after so many good ones.
     *
     * @param call a function's name; {@code launch} for a kernel that is not launched, {@code kernel} for one that
     *     fails as it runs
     * @param error CUDA's number; -1: the call never returns
     */
    public static void fail(String call, int after, int error) {
        byte[] name = new byte[64];
        byte[] b = call.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(b, 0, name, 0, b.length);
        PAGE.put(24, name);
        PAGE.putInt(16, after).putInt(12, error);
    }

    /** Whether the error asked for has not been met. */
    public static boolean pending() {
        return PAGE.getInt(12) != 0;
    }

    public static long usedBytes() {
        return PAGE.getLong(88);
    }

    /** Blocks of the device and of the host, streams, events, graphs and their instances that are open. */
    public static int live() {
        int n = 0;
        for (int i = 0; i < 6; i++) n += PAGE.getInt(96 + 4 * i);
        return n;
    }

    /** Forgets what processes that were killed had open; this one must have nothing open. */
    public static void processesEnded() {
        PAGE.putLong(88, 0);
        for (int i = 0; i < 6; i++) PAGE.putInt(96 + 4 * i, 0);
    }

    public static long graphLaunches() {
        return PAGE.getLong(120);
    }

    public static long kernels() {
        return PAGE.getLong(128);
    }

    public static long waits() {
        return PAGE.getLong(136);
    }

    /** Blocks of the device that were ever asked for. */
    public static long deviceAllocations() {
        return PAGE.getLong(144);
    }

    /** Blocks of pinned memory that were ever asked for. */
    public static long hostAllocations() {
        return PAGE.getLong(152);
    }

    /** Copies that were ever asked for. */
    public static long copies() {
        return PAGE.getLong(160);
    }
}
