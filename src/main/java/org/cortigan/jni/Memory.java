// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/**
 * The only door to off-heap memory: one block, zeroed, owned by whoever made it and freed by {@link #close()}, never by
 * the garbage collector. Views are valid until then.
 */
public final class Memory implements AutoCloseable {
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
     * A block that somebody else has allocated.
     *
     * @param free frees the address
     * @param host whether the processor can read it
     */
    public static Memory of(long address, long bytes, LongConsumer free, boolean host) {
        return new Memory(address, bytes, free, host);
    }

    /** Address of a direct buffer's position. */
    public static long address(ByteBuffer direct) {
        if (!direct.isDirect()) throw new IllegalArgumentException("the buffer is not direct");
        ByteBuffer b = direct.slice();
        return new Pointer(b).address();
    }

    /**
     * @param bytes size; blocks of some MiB and more lie on a 2 MiB boundary, smaller ones on 256 bytes
     * @throws OutOfMemoryError if the system has no such block
     */
    public static Memory allocate(long bytes) {
        NativeLoader.load();
        long a;
        try {
            a = Native.alloc(bytes);
        } catch (RuntimeException e) {
            throw new OutOfMemoryError(e.getMessage());
        }
        Native.fill(a, 0, bytes);
        return new Memory(a, bytes, Native::release, true);
    }

    /** Blocks now open in this process; leak tests count them. */
    public static long live() {
        return LIVE.get();
    }

    /** Bytes in blocks now open in this process. */
    public static long liveBytes() {
        return LIVE_BYTES.get();
    }

    public long address() {
        if (!open) throw new IllegalStateException("memory is closed");
        return address;
    }

    public long bytes() {
        return bytes;
    }

    /** Whether the processor can read the block. */
    public boolean onHost() {
        return host;
    }

    /** A little-endian view of part of the block, at most 2 GiB - 1. */
    public ByteBuffer view(long offset, long length) {
        if (!host) throw new IllegalStateException("this memory is the device's own");
        if (offset < 0 || length < 0 || offset + length > bytes || length > Integer.MAX_VALUE)
            throw new IndexOutOfBoundsException(
                    "view of " + length + " bytes at " + offset + " in a block of " + bytes);
        long at = address() + offset;
        Pointer raw = new Pointer() {
            {
                this.address = at;
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
