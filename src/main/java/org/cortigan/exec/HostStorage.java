// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Half;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;

/**
 * A tensor whose bytes the host accesses directly: the tensor itself, or the host copy of a small input or output
 * ({@link Mirror}).
 */
class HostStorage extends Storage {
    private final ByteBuffer bytes;
    private final FloatBuffer floats;
    private final IntBuffer ints;

    /**
     * @param address address of the tensor on the device
     * @param memory block that contains the bytes on the host
     * @param offset offset of these bytes in the block
     */
    HostStorage(Type type, DType stored, long address, Memory memory, long offset) {
        super(type, stored, address);
        bytes = memory.view(offset, sizeBytes());
        floats = bytes.asFloatBuffer();
        ints = bytes.asIntBuffer();
    }

    /** Brings the bytes up to date before they are read or written. */
    void refresh() {}

    @Override
    void writeFloats(float[] src, int off) {
        refresh();
        if (stored() == DType.F32) {
            floats.put(0, src, off, elements());
            return;
        }
        boolean round = type().dtype() == DType.BF16 && stored() != DType.BF16;
        for (int i = 0; i < elements(); i++)
            Elements.put(stored(), bytes, i, round ? Half.fromBf16(Half.toBf16(src[off + i])) : src[off + i]);
    }

    @Override
    void writeInts(int[] src) {
        refresh();
        ints.put(0, src);
    }

    @Override
    void writeBytes(ByteBuffer src) {
        refresh();
        if (stored() == type().dtype()) {
            bytes.put(0, src, src.position(), bytes.capacity());
            return;
        }
        ByteBuffer from = src.slice().order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < elements(); i++) Elements.put(stored(), bytes, i, Elements.get(type().dtype(), from, i));
    }

    @Override
    void writeBytes(ByteBuffer src, long offset) {
        refresh();
        bytes.put((int) offset, src, src.position(), src.remaining());
    }

    @Override
    void writeCopies(ByteBuffer tile) {
        refresh();
        int n = tile.remaining(), size = bytes.capacity();
        for (long at = 0; at < size; at += n) // a tile near the end of 2 GiB would overflow an int
        bytes.put((int) at, tile, tile.position(), (int) Math.min(n, size - at));
    }

    @Override
    public void fill(double value) {
        refresh();
        for (int i = 0; i < elements(); i++) Elements.put(stored(), bytes, i, value);
    }

    @Override
    public double get(int i) {
        refresh();
        return Elements.get(stored(), bytes, i);
    }

    @Override
    public void set(int i, double value) {
        refresh();
        Elements.put(stored(), bytes, i, value);
    }

    @Override
    public void read(float[] dst, int off, int n) {
        refresh();
        if (stored() == DType.F32) floats.get(0, dst, off, n);
        else for (int i = 0; i < n; i++) dst[off + i] = (float) Elements.get(stored(), bytes, i);
    }

    @Override
    public void read(FloatBuffer dst, int n) {
        refresh();
        if (stored() == DType.F32) {
            dst.put(dst.position(), floats, 0, n).position(dst.position() + n);
            return;
        }
        for (int i = 0; i < n; i++) dst.put((float) Elements.get(stored(), bytes, i));
    }

    @Override
    public double[] toDoubles() {
        refresh();
        double[] d = new double[elements()];
        for (int i = 0; i < d.length; i++) d[i] = Elements.get(stored(), bytes, i);
        return d;
    }

    @Override
    public ByteBuffer snapshot() {
        refresh();
        return bytes.duplicate().clear().order(ByteOrder.LITTLE_ENDIAN);
    }

    @Override
    public InputBuffer inputBuffer() {
        return stored() == type().dtype()
                ? new InputBuffer.Direct(this)
                : new InputBuffer.Copied(this, Memory::allocate);
    }
}
