package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.cortigan.data.Half;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.mem.Memory;

/** A tensor's bytes as the host sees them, with conversion from and to float. Makes nothing per call. */
public final class Storage {
    private final Type type;
    private final boolean asDouble;
    private final long address;
    private final ByteBuffer bytes;
    private final FloatBuffer floats;
    private final DoubleBuffer doubles;
    private final IntBuffer ints;

    Storage(Type type, Device device, Memory memory, long offset) {
        this.type = type;
        this.asDouble = device.reference() && type.dtype().isFloat();
        this.address = memory.address() + offset;
        long n = type.shape().elements() * device.elementBytes(type.dtype());
        bytes = memory.view(offset, n);
        floats = type.dtype() == DType.F32 && !asDouble ? bytes.asFloatBuffer() : null;
        doubles = asDouble ? bytes.asDoubleBuffer() : null;
        ints = type.dtype() == DType.I32 ? bytes.asIntBuffer() : null;
    }

    public Type type() {
        return type;
    }

    public long address() {
        return address;
    }

    /** The raw bytes in the device's storage type, little-endian; a live view. */
    public ByteBuffer bytes() {
        return bytes;
    }

    private void check(long n) {
        if (n != type.shape().elements())
            throw new IllegalArgumentException(n + " numbers given for " + type + ", which has " + type.shape().elements());
    }

    /** Sets all elements of a floating-point tensor, rounding to its type. */
    public void write(float[] src) {
        check(src.length);
        write(src, 0);
    }

    /** Sets all elements from {@code src[off...]}. */
    public void write(float[] src, int off) {
        int n = (int) type.shape().elements();
        if (floats != null) floats.put(0, src, off, n);
        else if (doubles != null)
            for (int i = 0; i < n; i++)
                doubles.put(i, type.dtype() == DType.BF16 ? Half.fromBf16(Half.toBf16(src[off + i])) : src[off + i]);
        else if (type.dtype() == DType.BF16)
            for (int i = 0; i < n; i++) bytes.putShort(2 * i, Half.toBf16(src[off + i]));
        else throw new IllegalArgumentException("floats given for " + type);
    }

    /** Sets one number everywhere. */
    public void fill(double value) {
        int n = (int) type.shape().elements();
        for (int i = 0; i < n; i++) {
            if (floats != null) floats.put(i, (float) value);
            else if (doubles != null) doubles.put(i, value);
            else if (type.dtype() == DType.BF16) bytes.putShort(2 * i, Half.toBf16((float) value));
            else if (ints != null) ints.put(i, (int) value);
            else bytes.put(i, (byte) value);
        }
    }

    public void write(int[] src) {
        check(src.length);
        if (ints == null) throw new IllegalArgumentException("ints given for " + type);
        ints.put(0, src);
    }

    /** Raw bytes in the tensor's own type, from {@code src}'s position on; the position does not move. */
    public void write(ByteBuffer src) {
        if (src.remaining() != bytes.capacity())
            throw new IllegalArgumentException(src.remaining() + " bytes given for " + type + " of " + bytes.capacity());
        if (asDouble) {
            FloatBuffer f = src.slice().order(java.nio.ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
            for (int i = 0; i < doubles.capacity(); i++) doubles.put(i, f.get(i));
        } else {
            bytes.put(0, src, src.position(), bytes.capacity());
        }
    }

    public double get(int i) {
        if (floats != null) return floats.get(i);
        if (doubles != null) return doubles.get(i);
        if (type.dtype() == DType.BF16) return Half.fromBf16(bytes.getShort(2 * i));
        if (ints != null) return ints.get(i);
        return bytes.get(i) & 0xff;
    }

    public void set(int i, double v) {
        if (floats != null) floats.put(i, (float) v);
        else if (doubles != null) doubles.put(i, v);
        else if (type.dtype() == DType.BF16) bytes.putShort(2 * i, Half.toBf16((float) v));
        else if (ints != null) ints.put(i, (int) v);
        else bytes.put(i, (byte) v);
    }

    /** Copies all elements out as floats. */
    public void read(float[] dst, int off) {
        read(dst, off, (int) type.shape().elements());
    }

    /** Copies the first n elements out as floats. */
    public void read(float[] dst, int off, int n) {
        if (floats != null) floats.get(0, dst, off, n);
        else for (int i = 0; i < n; i++) dst[off + i] = (float) get(i);
    }

    public float[] toFloats() {
        float[] f = new float[(int) type.shape().elements()];
        read(f, 0);
        return f;
    }
}
