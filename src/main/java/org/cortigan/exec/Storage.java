// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;

/**
 * Host access to a tensor, with conversion from and to float. On a CPU the calls access the tensor's own bytes, without
 * allocation. On a device with its own memory every call copies, in order with the device's work; only a session's
 * small inputs and outputs have a host copy that every run transfers.
 */
public abstract class Storage {
    private final Type type;
    private final DType stored;
    private final long address;
    private final long elements;

    /**
     * @param stored element type in memory
     * @param address address of the tensor on the device
     */
    Storage(Type type, DType stored, long address) {
        this.type = type;
        this.stored = stored;
        this.address = address;
        elements = type.shape().elements();
    }

    /** A tensor in a block of the device's memory, {@code offset} bytes from the block's start. */
    static Storage in(Memory memory, long offset, Type type, Device device) {
        DType stored = device.storedAs(type.dtype());
        long address = memory.address() + offset;
        return memory.onHost()
                ? new HostStorage(type, stored, address, memory, offset)
                : new DeviceStorage(type, stored, address, device.runtime());
    }

    /** Type and shape of the tensor. */
    public final Type type() {
        return type;
    }

    /** Element type in memory: the tensor's own, or f64 for floating-point tensors on a reference device. */
    final DType stored() {
        return stored;
    }

    /** Address of the tensor on the device. */
    public final long address() {
        return address;
    }

    /** Bytes of the tensor on the device. */
    public final long sizeBytes() {
        return elements * stored.bytes();
    }

    /** Number of elements; throws if an array cannot hold them. */
    final int elements() {
        return Math.toIntExact(elements);
    }

    /**
     * Sets all elements of a floating-point tensor, rounding to its type.
     *
     * @throws IllegalArgumentException if the number of elements differs, or the tensor holds integers
     */
    public final void write(float[] src) {
        check(src.length);
        write(src, 0);
    }

    /** Sets all elements from {@code src[off...]}; otherwise like {@link #write(float[])}. */
    public final void write(float[] src, int off) {
        if (!type.dtype().isFloat() && type.dtype() != DType.F64)
            throw new IllegalArgumentException("floats given for " + type);
        writeFloats(src, off);
    }

    /**
     * Sets all elements of an i32 tensor.
     *
     * @throws IllegalArgumentException if the number of elements differs, or the tensor is not i32
     */
    public final void write(int[] src) {
        check(src.length);
        if (type.dtype() != DType.I32) throw new IllegalArgumentException("ints given for " + type);
        writeInts(src);
    }

    /**
     * Sets all raw bytes, in the tensor's own type, from {@code src}'s position on; the position does not move. A
     * direct buffer from {@link Device#allocateHost} must not change until a result of the next run has been read.
     *
     * @throws IllegalArgumentException if the number of bytes differs
     */
    public final void write(ByteBuffer src) {
        long want = elements * type.dtype().bytes();
        if (src.remaining() != want)
            throw new IllegalArgumentException(src.remaining() + " bytes given for " + type + ", which has " + want);
        writeBytes(src);
    }

    /**
     * Sets some raw bytes, starting at the tensor's byte {@code offset}; otherwise like {@link #write(ByteBuffer)}.
     *
     * @throws IllegalArgumentException if the tensor ends before the bytes do, or is stored in another type than its
     *     own
     */
    public final void write(ByteBuffer src, long offset) {
        if (stored != type.dtype() || offset + src.remaining() > sizeBytes())
            throw new IllegalArgumentException(
                    src.remaining() + " bytes do not fit " + type + " stored as " + stored + " from byte " + offset);
        writeBytes(src, offset);
    }

    /**
     * Fills the tensor with repeated copies of {@code tile}; the last copy is truncated. Returns when all bytes are in
     * place.
     *
     * @param tile at most {@value DeviceRuntime#STAGING} bytes from its position on, in the tensor's own type
     * @throws IllegalArgumentException if the tile is empty or too long, or the tensor is stored in another type than
     *     its own
     */
    public final void writeTiled(ByteBuffer tile) {
        if (stored != type.dtype() || !tile.hasRemaining() || tile.remaining() > DeviceRuntime.STAGING)
            throw new IllegalArgumentException(
                    tile.remaining() + " bytes to repeat in " + type + " stored as " + stored);
        writeCopies(tile);
    }

    /** Sets all elements to one value. */
    public abstract void fill(double value);

    /** Element i in row-major order; allocates on a device. */
    public abstract double get(int i);

    /** Sets element i in row-major order. */
    public abstract void set(int i, double value);

    /** Copies all elements out as floats. */
    public final void read(float[] dst, int off) {
        read(dst, off, elements());
    }

    /** Copies the first n elements out as floats. */
    public abstract void read(float[] dst, int off, int n);

    /** Copies the first n elements out as floats, from {@code dst}'s position on, which advances. */
    public abstract void read(FloatBuffer dst, int n);

    /** All elements as floats. */
    public final float[] toFloats() {
        float[] f = new float[elements()];
        read(f, 0);
        return f;
    }

    /** All elements as doubles; those of a reference device are not rounded. */
    public abstract double[] toDoubles();

    /** All bytes, little-endian: a live view where the host accesses them directly, otherwise a copy. */
    public abstract ByteBuffer snapshot();

    /** A buffer for the tensor's next contents; the caller closes it. */
    public abstract InputBuffer inputBuffer();

    abstract void writeFloats(float[] src, int off);

    abstract void writeInts(int[] src);

    abstract void writeBytes(ByteBuffer src);

    abstract void writeBytes(ByteBuffer src, long offset);

    abstract void writeCopies(ByteBuffer tile);

    /**
     * From now on uploads direct buffers in parallel with the device's work. Does nothing if the host sees the bytes.
     */
    void prefetch() {}

    /** Queues the copy of the prefetched contents to the tensor, if any were sent since the last call. */
    void deliver() {}

    /** Ends {@link #prefetch()}. */
    void endPrefetch() {}

    private void check(int n) {
        if (n != elements)
            throw new IllegalArgumentException(n + " numbers given for " + type + ", which has " + elements);
    }
}
