// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.InputException;

/**
 * Streams an array to a npy file (format 1.0, C order, little-endian), with the same bytes as numpy.save. The data go
 * to a temporary file in the same folder. {@link #commit} checks that the file is complete and gives it its name;
 * {@link #close} without commit deletes it. Not thread-safe.
 */
public final class NpyWriter implements AutoCloseable, AtomicFiles.Unnamed {
    /** numpy reserves space in the header for the first axis to grow to this many digits. */
    private static final int GROWTH_DIGITS = 21;

    private final AtomicFiles.Pending file;
    private final NpyType type;
    private final Path path;
    private final long rowElements;
    private final ByteBuffer buffer = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);
    private final FloatBuffer floats = buffer.asFloatBuffer();
    private long missingBytes;

    private NpyWriter(Path path, NpyType type, AtomicFiles.Opener opener, long... shape) {
        AtomicFiles.deleteAbandoned(AtomicFiles.folderOf(path), AtomicFiles.ABANDONED, path.getFileName() + ".");
        this.path = path;
        this.type = type;
        long elements = 1;
        long row = 1;
        for (int i = 0; i < shape.length; i++) {
            if (shape[i] < 0) {
                throw new IllegalArgumentException("negative length in shape " + Arrays.toString(shape));
            }
            elements = Math.multiplyExact(elements, shape[i]);
            row = i > 0 ? Math.multiplyExact(row, shape[i]) : row;
        }
        rowElements = row;
        missingBytes = Math.multiplyExact(elements, type.bytes());
        byte[] header = header(type, shape);
        file = new AtomicFiles.Pending(path, header.length + missingBytes, opener);
        try {
            file.write(ByteBuffer.wrap(header));
        } catch (InputException e) {
            file.close();
            throw e;
        }
    }

    /**
     * Starts a file of exactly this shape.
     *
     * @throws InputException if the folder is missing or not writable, or the disk has too little free space
     */
    public static NpyWriter create(Path path, NpyType type, long... shape) {
        return create(path, type, AtomicFiles.Opener.NEW_FILE, shape);
    }

    static NpyWriter create(Path path, NpyType type, AtomicFiles.Opener opener, long... shape) {
        if (type == NpyType.OBJECT) {
            throw new IllegalArgumentException("object arrays are written by NumpyPickle");
        }
        return new NpyWriter(path, type, opener, shape);
    }

    /** The header bytes that numpy writes, from magic to padding. */
    public static byte[] header(NpyType type, long... shape) {
        StringBuilder dict =
                new StringBuilder("{'descr': '").append(type.descr()).append("', 'fortran_order': False, 'shape': (");
        for (int i = 0; i < shape.length; i++) {
            dict.append(i == 0 ? "" : ", ").append(shape[i]);
        }
        dict.append(shape.length == 1 ? ",), }" : "), }");
        if (shape.length > 0) {
            dict.append(" ".repeat(GROWTH_DIGITS - Long.toString(shape[0]).length()));
        }
        int length = (10 + dict.length() + 1 + 63) / 64 * 64;
        byte[] text = dict.append(" ".repeat(length - 11 - dict.length()))
                .append('\n')
                .toString()
                .getBytes(StandardCharsets.US_ASCII);
        return ByteBuffer.allocate(length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .put((byte) 0x93)
                .put("NUMPY\1\0".getBytes(StandardCharsets.US_ASCII))
                .putShort((short) text.length)
                .put(text)
                .array();
    }

    /** Appends whole rows of a float32 array; {@code len} is a multiple of the elements of a row. */
    public void writeRow(float[] src, int off, int len) {
        if (type != NpyType.F32 || len != 0 && (rowElements == 0 || len % rowElements != 0)) {
            throw new IllegalArgumentException(
                    path + " takes " + type + " rows of " + rowElements + " elements, not " + len + " floats");
        }
        java.util.Objects.checkFromIndexSize(off, len, src.length);
        take((long) len * Float.BYTES);
        while (len > 0) {
            int k = Math.min(len, floats.capacity());
            floats.put(0, src, off, k);
            file.write(buffer.limit(k * Float.BYTES).position(0));
            buffer.clear();
            off += k;
            len -= k;
        }
    }

    /** Appends raw little-endian bytes, from the buffer's position to its limit. */
    public void write(ByteBuffer raw) {
        take(raw.remaining());
        file.write(raw);
    }

    private void take(long bytes) {
        if (bytes > missingBytes) {
            throw new IllegalStateException(path + ": " + bytes + " bytes written, but only " + missingBytes
                    + " of the declared shape are missing");
        }
        missingBytes -= bytes;
    }

    /**
     * Completes the file and gives it its name.
     *
     * @throws IllegalStateException if rows are missing
     */
    @Override
    public void commit() {
        finish();
        file.commit();
    }

    @Override
    public void finish() {
        if (missingBytes != 0) {
            throw new IllegalStateException(path + ": " + missingBytes + " bytes of the declared shape are missing");
        }
        file.finish();
    }

    @Override
    public void close() {
        file.close();
    }

    /** Writes a whole float32 array. */
    public static void save(Path path, float[] data, long... shape) {
        try (NpyWriter w = create(path, NpyType.F32, shape)) {
            w.writeRow(data, 0, data.length);
            w.commit();
        }
    }

    /** The file of a whole float32 array. */
    public static byte[] bytes(float[] data, long... shape) {
        byte[] header = header(NpyType.F32, shape);
        ByteBuffer all = ByteBuffer.allocate(header.length + Math.multiplyExact(data.length, Float.BYTES))
                .order(ByteOrder.LITTLE_ENDIAN);
        all.put(header).slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(data);
        return all.array();
    }

    /** Writes a whole int32 array. */
    public static void save(Path path, int[] data, long... shape) {
        ByteBuffer bytes =
                ByteBuffer.allocate(Math.multiplyExact(data.length, 4)).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asIntBuffer().put(data);
        save(path, NpyType.I32, bytes, shape);
    }

    /** Writes a whole uint8 array. */
    public static void saveBytes(Path path, byte[] data, long... shape) {
        save(path, NpyType.U8, ByteBuffer.wrap(data), shape);
    }

    private static void save(Path path, NpyType type, ByteBuffer bytes, long... shape) {
        try (NpyWriter w = create(path, type, shape)) {
            w.write(bytes);
            w.commit();
        }
    }
}
