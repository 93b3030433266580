// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Read-only little-endian bytes of a file with 64-bit positions. The file is mapped in segments, because a Java map is
 * limited to 2 GiB. All reads are absolute, so that threads can share an instance, and allocate nothing.
 */
final class MappedBytes {
    /** A multiple of every element size, so that aligned elements never straddle two segments. */
    static final int SEGMENT = 1 << 30;

    private final ByteBuffer[] segments;
    private final FloatBuffer[] floats;
    private final int segment;
    private final long size;

    private MappedBytes(ByteBuffer[] segments, int segment, long size) {
        this.segments = segments;
        this.segment = segment;
        this.size = size;
        floats = new FloatBuffer[segments.length];
        for (int i = 0; i < segments.length; i++) {
            segments[i].order(ByteOrder.LITTLE_ENDIAN);
            floats[i] = segments[i].asFloatBuffer();
        }
    }

    static MappedBytes map(FileChannel channel, long offset, long size, int segment) throws IOException {
        ByteBuffer[] maps = new ByteBuffer[Math.toIntExact((size + segment - 1) / segment)];
        for (int i = 0; i < maps.length; i++) {
            long from = (long) i * segment;
            maps[i] = channel.map(FileChannel.MapMode.READ_ONLY, offset + from, Math.min(segment, size - from));
        }
        return new MappedBytes(maps, segment, size);
    }

    /** Wraps bytes that are already in memory. */
    static MappedBytes of(ByteBuffer bytes) {
        return new MappedBytes(new ByteBuffer[] {bytes.slice()}, Integer.MAX_VALUE, bytes.remaining());
    }

    long size() {
        return size;
    }

    /** Copies {@code n} bytes to the position of {@code dst}, which advances. */
    void get(long pos, ByteBuffer dst, int n) {
        while (n > 0) {
            ByteBuffer from = segments[(int) (pos / segment)];
            int at = (int) (pos % segment);
            int k = Math.min(n, from.limit() - at);
            dst.put(dst.position(), from, at, k);
            dst.position(dst.position() + k);
            pos += k;
            n -= k;
        }
    }

    /** Copies floats from {@code pos}, a multiple of 4. */
    void get(long pos, float[] dst, int off, int n) {
        while (n > 0) {
            FloatBuffer from = floats[(int) (pos / segment)];
            int at = (int) (pos % segment) / Float.BYTES;
            int k = Math.min(n, from.limit() - at);
            from.get(at, dst, off, k);
            pos += (long) k * Float.BYTES;
            off += k;
            n -= k;
        }
    }

    byte byteAt(long pos) {
        return segments[(int) (pos / segment)].get((int) (pos % segment));
    }

    short shortAt(long pos) {
        return segments[(int) (pos / segment)].getShort((int) (pos % segment));
    }

    int intAt(long pos) {
        return segments[(int) (pos / segment)].getInt((int) (pos % segment));
    }

    long longAt(long pos) {
        return segments[(int) (pos / segment)].getLong((int) (pos % segment));
    }

    /** The bytes of an open file; threads may share it. Closing drops the mapping, which the collector then removes. */
    static final class Handle {
        private final Path path;
        /** Null once the file is closed. */
        private volatile @Nullable MappedBytes bytes;

        Handle(Path path, MappedBytes bytes) {
            this.path = path;
            this.bytes = bytes;
        }

        /** @throws IllegalStateException if the file is closed */
        MappedBytes get() {
            MappedBytes b = bytes;
            if (b == null) throw new IllegalStateException(path + " is closed");
            return b;
        }

        void close() {
            bytes = null;
        }
    }
}
