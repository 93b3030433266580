// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/**
 * A block of off-heap memory, the engine's only handle for such memory. Its creator owns the block and frees it with
 * {@link #close()}; the garbage collector never does. Views are valid until then.
 */
public final class Memory implements AutoCloseable {
    /** Blocks from this size on are asked for with {@link HostMemory}, which reads files. */
    private static final long LARGE = 16 << 20;

    private static final AtomicLong LIVE = new AtomicLong();
    private static final AtomicLong LIVE_BYTES = new AtomicLong();

    private final long address;
    private final long bytes;
    private final LongConsumer free;
    private final boolean host;
    private boolean open = true;

    private Memory(long address, long bytes, LongConsumer free, boolean host) {
        this.address = address;
        this.bytes = bytes;
        this.free = free;
        this.host = host;
        LIVE.incrementAndGet();
        LIVE_BYTES.addAndGet(bytes);
    }

    /**
     * A block that the caller has allocated, with its contents as they are.
     *
     * @param free frees the address
     * @param host whether the CPU can read the block
     */
    public static Memory of(long address, long bytes, LongConsumer free, boolean host) {
        return new Memory(address, bytes, free, host);
    }

    /** Address of the current position of a direct buffer. */
    public static long address(ByteBuffer direct) {
        if (!direct.isDirect()) throw new IllegalArgumentException("the buffer is not direct");
        ByteBuffer b = direct.slice();
        return new Pointer(b).address();
    }

    /**
     * Allocates a block of zeros in host memory.
     *
     * @param bytes size; blocks of 4 MiB or more begin on a 2 MiB boundary, smaller ones on 256 bytes
     * @throws OutOfMemoryError if the system cannot provide the block, or this process may not have as much memory
     */
    public static Memory allocate(long bytes) {
        NativeLoader.load();
        if (bytes >= LARGE) requireFree(bytes);
        long a;
        try {
            a = Native.alloc(bytes);
        } catch (RuntimeException e) {
            throw new OutOfMemoryError(e.getMessage());
        }
        Native.fill(a, 0, bytes);
        return new Memory(a, bytes, Native::release, true);
    }

    /** Linux grants more memory than there is, and later kills the process that uses it: hence the question. */
    private static void requireFree(long bytes) {
        HostMemory memory = HostMemory.now();
        if (bytes > memory.free())
            throw new OutOfMemoryError(
                    bytes + " bytes are needed, but " + memory.free() + " are left of " + memory.allowance());
    }

    /** Number of open blocks in this process, for leak tests. */
    public static long live() {
        return LIVE.get();
    }

    /** Total size of the open blocks in this process, in bytes. */
    public static long liveBytes() {
        return LIVE_BYTES.get();
    }

    /**
     * Address of the first byte.
     *
     * @throws IllegalStateException if the block is closed
     */
    public long address() {
        if (!open) throw new IllegalStateException("memory is closed");
        return address;
    }

    public long bytes() {
        return bytes;
    }

    /** Whether the CPU can read the block. */
    public boolean onHost() {
        return host;
    }

    /**
     * A little-endian view of part of the block.
     *
     * @param offset in bytes
     * @param length in bytes, at most 2 GiB - 1
     * @throws IllegalStateException if the block is closed or the CPU cannot read it
     * @throws IndexOutOfBoundsException if the view exceeds the block
     */
    public ByteBuffer view(long offset, long length) {
        if (!host) throw new IllegalStateException("this memory is on a device; the CPU cannot read it");
        if (offset < 0 || length < 0 || offset + length > bytes || length > Integer.MAX_VALUE)
            throw new IndexOutOfBoundsException(
                    "a view of " + length + " bytes at " + offset + " exceeds a block of " + bytes + " bytes");
        return at(address() + offset, length);
    }

    /**
     * A little-endian view of host memory that somebody else keeps.
     *
     * @param length in bytes, at most 2 GiB - 1
     */
    public static ByteBuffer at(long start, long length) {
        Pointer raw = new Pointer() {
            {
                this.address = start;
            }
        };
        return new BytePointer(raw).capacity(length).asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }

    @Override
    public void close() {
        if (!open) return;
        open = false;
        LIVE.decrementAndGet();
        LIVE_BYTES.addAndGet(-bytes);
        free.accept(address);
    }
}
