// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Optional;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;

/** A tensor in device memory. Contents pass through the runtime's staging memory, block by block. */
final class DeviceStorage extends Storage {
    private final DeviceRuntime runtime;
    private Optional<DeviceRuntime.PrefetchBuffer> prefetch = Optional.empty();
    private boolean sent;

    DeviceStorage(Type type, DType stored, long address, DeviceRuntime runtime) {
        super(type, stored, address);
        this.runtime = runtime;
    }

    @Override
    void writeFloats(float[] src, int off) {
        upload((at, buf) -> {
            int first = off + index(at), n = count(buf);
            if (stored() == DType.F32) buf.asFloatBuffer().put(src, first, n);
            else for (int i = 0; i < n; i++) Elements.put(stored(), buf, i, src[first + i]);
        });
    }

    @Override
    void writeInts(int[] src) {
        upload((at, buf) -> buf.asIntBuffer().put(src, index(at), count(buf)));
    }

    @Override
    void writeBytes(ByteBuffer src) {
        if (prefetch.isPresent() && src.isDirect()) {
            prefetch.get().send(Memory.address(src));
            sent = true;
            return;
        }
        writeBytes(src, 0);
    }

    @Override
    void writeBytes(ByteBuffer src, long offset) {
        if (src.isDirect()) {
            runtime.upload(address() + offset, Memory.address(src), src.remaining());
            return;
        }
        int from = src.position();
        upload(
                offset,
                offset + src.remaining(),
                (at, buf) -> buf.put(0, src, from + (int) (at - offset), buf.remaining()));
    }

    /** Writes the tile to the staging memory once, so that filling gigabytes is as fast as copying them. */
    @Override
    void writeCopies(ByteBuffer tile) {
        runtime.use();
        Memory staging = runtime.staging();
        int n = tile.remaining();
        staging.view(0, n).put(0, tile, tile.position(), n);
        for (long at = 0; at < sizeBytes(); at += n)
            runtime.upload(address() + at, staging.address(), Math.min(n, sizeBytes() - at));
        runtime.synchronize();
    }

    @Override
    public void fill(double value) {
        upload((at, buf) -> {
            for (int i = 0; i < count(buf); i++) Elements.put(stored(), buf, i, value);
        });
    }

    @Override
    public double get(int i) {
        double[] v = new double[1];
        long size = stored().bytes();
        download(i * size, (i + 1) * size, (at, buf) -> v[0] = Elements.get(stored(), buf, 0));
        return v[0];
    }

    @Override
    public void set(int i, double value) {
        long size = stored().bytes();
        upload(i * size, (i + 1) * size, (at, buf) -> Elements.put(stored(), buf, 0, value));
    }

    @Override
    public void read(float[] dst, int off, int n) {
        read(FloatBuffer.wrap(dst, off, n), n);
    }

    @Override
    public void read(FloatBuffer dst, int n) {
        download(0, (long) n * stored().bytes(), (at, buf) -> {
            if (stored() == DType.F32) dst.put(buf.asFloatBuffer());
            else for (int i = 0; i < count(buf); i++) dst.put((float) Elements.get(stored(), buf, i));
        });
    }

    @Override
    public double[] toDoubles() {
        double[] d = new double[elements()];
        download(0, sizeBytes(), (at, buf) -> {
            for (int i = 0; i < count(buf); i++) d[index(at) + i] = Elements.get(stored(), buf, i);
        });
        return d;
    }

    @Override
    public ByteBuffer snapshot() {
        ByteBuffer all = ByteBuffer.allocateDirect(Math.toIntExact(sizeBytes())).order(ByteOrder.LITTLE_ENDIAN);
        download(0, sizeBytes(), (at, buf) -> all.put((int) at, buf, 0, buf.remaining()));
        return all;
    }

    @Override
    public InputBuffer inputBuffer() {
        return new InputBuffer.Copied(this, runtime::allocateHost);
    }

    @Override
    void prefetch() {
        if (prefetch.isEmpty()) prefetch = Optional.of(runtime.prefetchBuffer(address(), sizeBytes()));
    }

    @Override
    void deliver() {
        if (!sent) return;
        sent = false;
        prefetch.get().deliver();
    }

    @Override
    void endPrefetch() {
        prefetch.ifPresent(DeviceRuntime.PrefetchBuffer::close);
        prefetch = Optional.empty();
    }

    /** Index of the element at byte {@code at} of the tensor. */
    private int index(long at) {
        return (int) (at / stored().bytes());
    }

    private int count(ByteBuffer buf) {
        return buf.remaining() / stored().bytes();
    }

    private interface Block {
        /** @param buf the tensor's bytes from byte {@code at} on, little-endian */
        void accept(long at, ByteBuffer buf);
    }

    private void upload(Block write) {
        upload(0, sizeBytes(), write);
    }

    /** Writes bytes [from, to) of the tensor. */
    private void upload(long from, long to, Block write) {
        runtime.use();
        Memory staging = runtime.staging();
        for (long at = from; at < to; at += DeviceRuntime.STAGING) {
            long n = Math.min(DeviceRuntime.STAGING, to - at);
            write.accept(at, staging.view(0, n));
            runtime.upload(address() + at, staging.address(), n);
            runtime.synchronize();
        }
    }

    /** Reads bytes [from, to) of the tensor. */
    private void download(long from, long to, Block read) {
        runtime.use();
        Memory staging = runtime.staging();
        for (long at = from; at < to; at += DeviceRuntime.STAGING) {
            long n = Math.min(DeviceRuntime.STAGING, to - at);
            runtime.download(staging.address(), address() + at, n);
            runtime.synchronize();
            read.accept(at, staging.view(0, n));
        }
    }
}
