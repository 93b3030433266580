// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.cortigan.data.Half;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.mem.Memory;

/**
 * A tensor as the host sees it, with conversion from and to float. On the processor these are the tensor's own bytes
 * and nothing is made per call. On a device with memory of its own every call copies, in order with the device's work;
 * small inputs and outputs of a session have a copy here that travels with its runs.
 */
public final class Storage {
    private final Type type;
    private final boolean asDouble;
    private final long address;
    private final long size;
    private final DeviceRuntime runtime;
    private final Runnable settle;
    private final ByteBuffer bytes;
    private final FloatBuffer floats;
    private final DoubleBuffer doubles;
    private final IntBuffer ints;
    private DeviceRuntime.Lane lane;
    private boolean sent;

    /** A tensor at that place. */
    Storage(Type type, Device device, Memory memory, long offset) {
        this(type, device, memory.address() + offset, device.runtime() == null ? memory : null, offset, null);
    }

    /**
     * @param host memory that the host sees, or null: the tensor itself, or a copy of it
     * @param settle waits until the copy is the host's, or null
     */
    Storage(Type type, Device device, long address, Memory host, long offset, Runnable settle) {
        this.type = type;
        this.asDouble = device.reference() && type.dtype().isFloat();
        this.address = address;
        this.runtime = host == null ? device.runtime() : null;
        this.settle = settle;
        size = type.shape().elements() * device.elementBytes(type.dtype());
        bytes = host == null ? null : host.view(offset, size);
        floats = bytes != null && type.dtype() == DType.F32 && !asDouble ? bytes.asFloatBuffer() : null;
        doubles = bytes != null && (asDouble || type.dtype() == DType.F64) ? bytes.asDoubleBuffer() : null;
        ints = bytes != null && type.dtype() == DType.I32 ? bytes.asIntBuffer() : null;
    }

    public Type type() {
        return type;
    }

    /** Where the device has it. */
    public long address() {
        return address;
    }

    /** Size on the device, in bytes. */
    public long size() {
        return size;
    }

    /** Whether the host sees the tensor itself or a copy that is kept up to date, so that {@link #bytes()} exists. */
    public boolean visible() {
        return bytes != null;
    }

    /**
     * The raw bytes in the device's storage type, little-endian; a live view.
     *
     * @throws IllegalStateException if they are in a device's own memory; see {@link #visible()}
     */
    public ByteBuffer bytes() {
        if (bytes == null) throw new IllegalStateException(type + " is in the device's own memory");
        settle();
        return bytes;
    }

    private void settle() {
        if (settle != null) settle.run();
    }

    private int elements() {
        return (int) type.shape().elements();
    }

    private void check(long n) {
        if (n != type.shape().elements())
            throw new IllegalArgumentException(n + " numbers given for " + type + ", which has "
                    + type.shape().elements());
    }

    /** Sets all elements of a floating-point tensor, rounding to its type. */
    public void write(float[] src) {
        check(src.length);
        write(src, 0);
    }

    /** Sets all elements from {@code src[off...]}. */
    public void write(float[] src, int off) {
        int n = elements();
        if (!type.dtype().isFloat() && type.dtype() != DType.F64)
            throw new IllegalArgumentException("floats given for " + type);
        if (bytes == null) {
            int one = type.dtype().bytes();
            chunks(true, (at, buf) -> {
                int first = (int) (at / one), count = buf.remaining() / one;
                if (one == 4) buf.asFloatBuffer().put(src, off + first, count);
                else for (int i = 0; i < count; i++) put(buf, i, src[off + first + i]);
            });
            return;
        }
        settle();
        if (floats != null) floats.put(0, src, off, n);
        else if (doubles != null)
            for (int i = 0; i < n; i++)
                doubles.put(i, type.dtype() == DType.BF16 ? Half.fromBf16(Half.toBf16(src[off + i])) : src[off + i]);
        else for (int i = 0; i < n; i++) bytes.putShort(2 * i, Half.toBf16(src[off + i]));
    }

    /** Sets one number everywhere. */
    public void fill(double value) {
        if (bytes == null) {
            int one = type.dtype().bytes();
            chunks(true, (at, buf) -> {
                for (int i = 0; i < buf.remaining() / one; i++) put(buf, i, value);
            });
            return;
        }
        settle();
        for (int i = 0; i < elements(); i++) set(i, value);
    }

    private void put(ByteBuffer buf, int i, double value) {
        switch (type.dtype()) {
            case F32 -> buf.putFloat(4 * i, (float) value);
            case BF16 -> buf.putShort(2 * i, Half.toBf16((float) value));
            case F64 -> buf.putDouble(8 * i, value);
            case I32 -> buf.putInt(4 * i, (int) value);
            default -> buf.put(i, (byte) value);
        }
    }

    private double take(ByteBuffer buf, int i) {
        return switch (type.dtype()) {
            case F32 -> buf.getFloat(4 * i);
            case BF16 -> Half.fromBf16(buf.getShort(2 * i));
            case F64 -> buf.getDouble(8 * i);
            case I32 -> buf.getInt(4 * i);
            default -> buf.get(i) & 0xff;
        };
    }

    /** Sets all elements of an i32 tensor. */
    public void write(int[] src) {
        check(src.length);
        if (type.dtype() != DType.I32) throw new IllegalArgumentException("ints given for " + type);
        if (bytes == null) {
            chunks(true, (at, buf) -> buf.asIntBuffer().put(src, (int) (at / 4), buf.remaining() / 4));
            return;
        }
        settle();
        ints.put(0, src);
    }

    /**
     * Raw bytes in the tensor's own type, from {@code src}'s position on; the position does not move. A direct buffer
     * of {@link Device#allocateHost} must stay as it is until a result of the next run has been read.
     */
    public void write(ByteBuffer src) {
        long want = asDouble ? type.shape().elements() * type.dtype().bytes() : size;
        if (src.remaining() != want)
            throw new IllegalArgumentException(src.remaining() + " bytes given for " + type + " of " + want);
        if (lane != null && src.isDirect()) {
            lane.send(Memory.address(src));
            sent = true;
            return;
        }
        if (bytes == null) {
            write(src, 0);
            return;
        }
        settle();
        if (asDouble) {
            FloatBuffer f = src.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
            for (int i = 0; i < doubles.capacity(); i++) doubles.put(i, f.get(i));
        } else {
            bytes.put(0, src, src.position(), bytes.capacity());
        }
    }

    /** From now on direct buffers travel by this lane; it stays the caller's. */
    void lane(DeviceRuntime.Lane l) {
        lane = l;
    }

    /** Puts into its place what has been sent since the last time. */
    void deliver() {
        if (!sent) return;
        sent = false;
        lane.deliver();
    }

    /** Raw bytes of a part of a tensor, from byte {@code offset} of it on, otherwise as {@link #write(ByteBuffer)}. */
    public void write(ByteBuffer src, long offset) {
        if (asDouble || offset + src.remaining() > size) throw new IllegalArgumentException("no such part of " + type);
        if (bytes != null) {
            settle();
            bytes.put((int) offset, src, src.position(), src.remaining());
            return;
        }
        if (src.isDirect()) {
            runtime.upload(address + offset, Memory.address(src), src.remaining());
            return;
        }
        int from = src.position();
        chunks(
                offset,
                offset + src.remaining(),
                true,
                (at, buf) -> buf.put(buf.position(), src, from + (int) (at - offset), buf.remaining()));
    }

    public double get(int i) {
        if (bytes == null) {
            double[] v = new double[1];
            long one = type.dtype().bytes();
            chunks(i * one, (i + 1) * one, false, (at, buf) -> v[0] = take(buf, 0));
            return v[0];
        }
        settle();
        if (floats != null) return floats.get(i);
        if (doubles != null) return doubles.get(i);
        return take(bytes, i);
    }

    public void set(int i, double v) {
        if (bytes == null) {
            long one = type.dtype().bytes();
            chunks(i * one, (i + 1) * one, true, (at, buf) -> put(buf, 0, v));
            return;
        }
        settle();
        if (floats != null) floats.put(i, (float) v);
        else if (doubles != null) doubles.put(i, v);
        else put(bytes, i, v);
    }

    /** Copies all elements out as floats. */
    public void read(float[] dst, int off) {
        read(dst, off, elements());
    }

    /** Copies the first n elements out as floats. */
    public void read(float[] dst, int off, int n) {
        if (bytes == null) {
            int one = type.dtype().bytes();
            chunks(0, (long) n * one, false, (at, buf) -> {
                int first = off + (int) (at / one), count = buf.remaining() / one;
                if (type.dtype() == DType.F32) buf.asFloatBuffer().get(dst, first, count);
                else for (int i = 0; i < count; i++) dst[first + i] = (float) take(buf, i);
            });
            return;
        }
        settle();
        if (floats != null) floats.get(0, dst, off, n);
        else for (int i = 0; i < n; i++) dst[off + i] = (float) get(i);
    }

    public float[] toFloats() {
        float[] f = new float[elements()];
        read(f, 0);
        return f;
    }

    /** All bytes: a view of them where the host sees them, otherwise a copy. */
    public ByteBuffer snapshot() {
        if (bytes != null) {
            settle();
            return bytes.duplicate().clear().order(ByteOrder.LITTLE_ENDIAN);
        }
        ByteBuffer all = ByteBuffer.allocateDirect(Math.toIntExact(size)).order(ByteOrder.LITTLE_ENDIAN);
        chunks(false, (at, buf) -> all.put((int) at, buf, buf.position(), buf.remaining()));
        return all;
    }

    private interface Chunk {
        /** @param buf little-endian, at position 0 the tensor's byte {@code at} */
        void at(long at, ByteBuffer buf);
    }

    private void chunks(boolean up, Chunk c) {
        chunks(0, size, up, c);
    }

    /** Moves bytes [from, to) of the device's tensor through the runtime's staging memory. */
    private void chunks(long from, long to, boolean up, Chunk c) {
        runtime.use();
        Memory m = runtime.staging();
        for (long at = from; at < to; at += DeviceRuntime.STAGING) {
            long n = Math.min(DeviceRuntime.STAGING, to - at);
            ByteBuffer buf = m.view(0, n);
            if (up) {
                c.at(at, buf);
                runtime.upload(address + at, m.address(), n);
                runtime.synchronize();
            } else {
                runtime.download(m.address(), address + at, n);
                runtime.synchronize();
                c.at(at, buf);
            }
        }
    }
}
