// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;

/**
 * A tensor as the host reads and writes it, with conversion from and to float. On the processor these are the tensor's
 * own bytes and no call allocates. On a device with memory of its own every call copies, in order with the device's
 * work; the small inputs and outputs of a session have a copy on the host that travels with its runs.
 */
public abstract class Storage {
    private final Type type;
    private final DType stored;
    private final long address;
    private final long elements;

    /**
     * @param stored type of the elements in memory
     * @param address where the device has the tensor
     */
    Storage(Type type, DType stored, long address) {
        this.type = type;
        this.stored = stored;
        this.address = address;
        elements = type.shape().elements();
    }

    /** A tensor of that device in its memory, {@code offset} bytes from the block's begin. */
    static Storage in(Memory memory, long offset, Type type, Device device) {
        DType stored = device.storedAs(type.dtype());
        long address = memory.address() + offset;
        return memory.onHost()
                ? new HostStorage(type, stored, address, memory, offset)
                : new DeviceStorage(type, stored, address, device.runtime());
    }

    public final Type type() {
        return type;
    }

    /** Type of the elements in memory: that of the tensor, or f64 on a double reference. */
    final DType stored() {
        return stored;
    }

    /** Where the device has the tensor. */
    public final long address() {
        return address;
    }

    /** Bytes of the tensor on the device. */
    public final long sizeBytes() {
        return elements * stored.bytes();
    }

    /** Number of elements, for contents that fit into an array. */
    final int elements() {
        return Math.toIntExact(elements);
    }

    /**
     * Sets all elements of a floating-point tensor, rounding to its type.
     *
     * @throws IllegalArgumentException for another number of elements, or a tensor of integers
     */
    public final void write(float[] src) {
        check(src.length);
        write(src, 0);
    }

    /** Sets all elements from {@code src[off...]}, otherwise as {@link #write(float[])}. */
    public final void write(float[] src, int off) {
        if (!type.dtype().isFloat() && type.dtype() != DType.F64)
            throw new IllegalArgumentException("floats given for " + type);
        writeFloats(src, off);
    }

    /**
     * Sets all elements of an i32 tensor.
     *
     * @throws IllegalArgumentException for another number of elements, or a tensor of another type
     */
    public final void write(int[] src) {
        check(src.length);
        if (type.dtype() != DType.I32) throw new IllegalArgumentException("ints given for " + type);
        writeInts(src);
    }

    /**
     * Sets the raw bytes, in the tensor's own type, from {@code src}'s position on; the position does not move. A
     * direct buffer of {@link Device#allocateHost} must not change until a result of the next run has been read.
     *
     * @throws IllegalArgumentException for another number of bytes
     */
    public final void write(ByteBuffer src) {
        long want = elements * type.dtype().bytes();
        if (src.remaining() != want)
            throw new IllegalArgumentException(src.remaining() + " bytes given for " + type + " of " + want);
        writeBytes(src);
    }

    /**
     * Sets the raw bytes of a part of the tensor, from byte {@code offset} of it on, otherwise as
     * {@link #write(ByteBuffer)}.
     *
     * @throws IllegalArgumentException if the tensor has no such part, or is stored in another type than its own
     */
    public final void write(ByteBuffer src, long offset) {
        if (stored != type.dtype() || offset + src.remaining() > sizeBytes())
            throw new IllegalArgumentException("no such part of " + type);
        writeBytes(src, offset);
    }

    /**
     * Sets the raw bytes to copies of {@code tile}, one after the other, the last one cut off. Waits until they are in
     * place.
     *
     * @param tile at most {@value DeviceRuntime#STAGING} bytes from its position on, in the tensor's own type
     * @throws IllegalArgumentException if the tile is empty, or the tensor is stored in another type than its own
     */
    public final void writeTiled(ByteBuffer tile) {
        if (stored != type.dtype() || !tile.hasRemaining())
            throw new IllegalArgumentException(
                    tile.remaining() + " bytes to repeat in " + type + " stored as " + stored);
        writeCopies(tile);
    }

    /** Sets one number everywhere. */
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

    /** All elements as doubles, those of a double reference unrounded. */
    public abstract double[] toDoubles();

    /** All bytes, little-endian: a view of them where the host sees them, otherwise a copy. */
    public abstract ByteBuffer snapshot();

    /** Where the host puts the tensor's next contents; the caller closes it. */
    public abstract InputBuffer inputBuffer();

    abstract void writeFloats(float[] src, int off);

    abstract void writeInts(int[] src);

    abstract void writeBytes(ByteBuffer src);

    abstract void writeBytes(ByteBuffer src, long offset);

    abstract void writeCopies(ByteBuffer tile);

    /** From now on direct buffers are sent beside the device's work. Nothing changes where the host sees the bytes. */
    void prefetch() {}

    /** Queues the copy of the contents sent since the last call, if any, to the tensor. */
    void deliver() {}

    /** Ends {@link #prefetch()}. */
    void endPrefetch() {}

    private void check(int n) {
        if (n != elements)
            throw new IllegalArgumentException(n + " numbers given for " + type + ", which has " + elements);
    }
}
