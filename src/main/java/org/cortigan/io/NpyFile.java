// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.InputException;
import org.cortigan.graph.Half;

/**
 * A numpy array in a file of any size (npy format 1.0, 2.0 and 3.0), read by memory map; C order and little-endian
 * only. A row is one index of the first axis, for example the responses to one image if the shape is (images,
 * vertices). A 0-d array is one row of one element. Row reads allocate nothing. Thread-safe. Source of the format:
 * numpy.lib.format.
 *
 * <p>{@link #close} forbids further reads. The memory map itself remains until the garbage collector frees it, because
 * Java has no safe explicit unmap; this matters only for replacing a file on Windows.
 */
public final class NpyFile implements AutoCloseable {
    private static final int CHUNK = 1 << 14;

    private final Path path;
    private final NpyHeader header;
    private final int rowElements;
    private final MappedBytes.Handle data;

    private NpyFile(Path path, NpyHeader header, int rowElements, MappedBytes data) {
        this.path = path;
        this.header = header;
        this.rowElements = rowElements;
        this.data = new MappedBytes.Handle(path, data);
    }

    /**
     * Opens a file and checks magic, version, header, and that the declared size equals the size of the file.
     *
     * @throws InputException if the file is missing or malformed, in Fortran order, big-endian or of an unknown type
     */
    public static NpyFile open(Path path) {
        return open(path, MappedBytes.SEGMENT);
    }

    static NpyFile open(Path path, int segment) {
        try (FileChannel channel = InputFiles.open(path)) {
            long size = channel.size();
            byte[] start = InputFiles.read(channel, (int) Math.min(size, NpyHeader.MAX_BYTES));
            NpyHeader header = NpyHeader.read(path, ByteBuffer.wrap(start));
            int rowElements = checkSize(path, header, size);
            return new NpyFile(
                    path,
                    header,
                    rowElements,
                    MappedBytes.map(channel, header.offset(), size - header.offset(), segment));
        } catch (IOException e) {
            throw InputFiles.unreadable(path, e);
        }
    }

    /** Parses a file that is already in memory; {@code path} only names it in messages. */
    public static NpyFile parse(Path path, ByteBuffer file) {
        NpyHeader header = NpyHeader.read(path, file);
        int rowElements = checkSize(path, header, file.limit());
        return new NpyFile(
                path, header, rowElements, MappedBytes.of(file.slice(header.offset(), file.limit() - header.offset())));
    }

    /** Checks that header and file size agree, and returns the number of elements per row. */
    private static int checkSize(Path path, NpyHeader header, long fileBytes) {
        if (header.type() == NpyType.OBJECT) {
            throw new InputException(
                    path.toString(),
                    "holds pickled Python objects, not numbers",
                    "Save it with a numeric dtype, for example a.astype('float32')");
        }
        String shape = Arrays.toString(header.shape());
        long row = 1;
        long elements = 1;
        try {
            for (int i = header.shape().length - 1; i >= 0; i--) {
                row = i > 0 ? Math.multiplyExact(row, header.shape()[i]) : row;
                elements = Math.multiplyExact(elements, header.shape()[i]);
            }
            if (Math.multiplyExact(row, header.type().bytes()) > Integer.MAX_VALUE) {
                throw new InputException(
                        path.toString(),
                        "one row of shape " + shape + " is 2 GiB or more",
                        "Save it as (rows, elements) with shorter rows");
            }
            long declared = Math.multiplyExact(elements, header.type().bytes());
            long present = fileBytes - header.offset();
            if (present < declared) {
                throw NpyHeader.truncated(
                        path,
                        "shape " + shape + " of " + header.type() + " needs " + declared
                                + " bytes of data, the file has " + present);
            }
            if (present > declared) {
                throw new InputException(
                        path.toString(),
                        "shape " + shape + " of " + header.type() + " is " + declared
                                + " bytes of data, but the file has " + present,
                        "Save it again with numpy.save");
            }
        } catch (ArithmeticException e) {
            throw new InputException(
                    path.toString(),
                    "header field 'shape' " + shape + " overflows",
                    "The file is damaged or hostile; save it again with numpy.save",
                    e);
        }
        return (int) row;
    }

    public NpyType type() {
        return header.type();
    }

    public long[] shape() {
        return header.shape().clone();
    }

    /** Length of the first axis; 1 for a 0-d array. */
    public long rows() {
        return header.shape().length == 0 ? 1 : header.shape()[0];
    }

    /** Elements of one row: the product of all axes but the first. */
    public int rowElements() {
        return rowElements;
    }

    public Path path() {
        return path;
    }

    /**
     * Checks element type and number of axes, and returns this file.
     *
     * @throws InputException if they differ
     */
    public NpyFile require(NpyType type, int rank) {
        if (header.type() != type) {
            throw new InputException(
                    path.toString(),
                    "the elements are " + header.type() + ", but " + type + " is needed",
                    "Save it with a.astype('" + type.descr() + "')");
        }
        if (header.shape().length != rank) {
            throw new InputException(
                    path.toString(),
                    "the shape is " + Arrays.toString(header.shape()) + ", but " + rank
                            + (rank == 1 ? " axis is" : " axes are") + " needed",
                    "Reshape the array and save it again");
        }
        return this;
    }

    /** Copies row {@code row} of a float32 array to {@code dst[off..]}. */
    public void readRow(long row, float[] dst, int off) {
        if (header.type() != NpyType.F32) {
            throw new IllegalStateException(path + " holds " + header.type() + ", not F32; call require first");
        }
        java.util.Objects.checkFromIndexSize(off, rowElements, dst.length);
        data.get().get(java.util.Objects.checkIndex(row, rows()) * rowElements * Float.BYTES, dst, off, rowElements);
    }

    /**
     * Copies {@code n} elements of a float32 array, from element {@code first} in C order on, to {@code dst[off..]}.
     */
    public void read(long first, float[] dst, int off, int n) {
        if (header.type() != NpyType.F32) {
            throw new IllegalStateException(path + " holds " + header.type() + ", not F32; call require first");
        }
        java.util.Objects.checkFromIndexSize(off, n, dst.length);
        java.util.Objects.checkFromIndexSize(first, n, rows() * rowElements);
        data.get().get(first * Float.BYTES, dst, off, n);
    }

    /** Copies the raw little-endian bytes of row {@code row} to the position of {@code dst}, which advances. */
    public void readRow(long row, ByteBuffer dst) {
        int n = rowElements * header.type().bytes();
        if (dst.remaining() < n) {
            throw new IllegalArgumentException(
                    "a row has " + n + " bytes, but the buffer has " + dst.remaining() + " left");
        }
        data.get().get(java.util.Objects.checkIndex(row, rows()) * n, dst, n);
    }

    /**
     * Reads a one-dimensional array of any integer or boolean type, such as an ROI mask.
     *
     * @throws InputException if the elements are floats, the array is not one-dimensional, or a value exceeds int
     */
    public int[] toIntArray() {
        if (!header.type().isInteger() || header.shape().length != 1) {
            throw new InputException(
                    path.toString(),
                    header.type() + " of shape " + Arrays.toString(header.shape())
                            + " is not a one-dimensional integer array",
                    "Save it with a.astype('int32').ravel()");
        }
        MappedBytes in = data.get();
        int[] out = new int[elements()];
        for (int i = 0; i < out.length; i++) {
            long v = integer(in, i);
            if (v != (int) v || header.type() == NpyType.U64 && v < 0) {
                throw new InputException(
                        path.toString(),
                        "element " + i + " is "
                                + (header.type() == NpyType.U64 ? Long.toUnsignedString(v) : Long.toString(v))
                                + ", outside the range of a 32-bit integer",
                        "Check the file: ROI ids are small integers");
            }
            out[i] = (int) v;
        }
        return out;
    }

    /** Reads the whole array in C order and converts any numeric type (float64 is rounded). */
    public float[] toFloatArray() {
        MappedBytes in = data.get();
        float[] out = new float[elements()];
        if (header.type() == NpyType.F32) {
            in.get(0, out, 0, out.length);
            return out;
        }
        for (int i = 0; i < out.length; i++) {
            out[i] = (float) number(in, i);
        }
        return out;
    }

    /** Reads the whole array in C order and converts any numeric type. */
    public double[] toDoubleArray() {
        MappedBytes in = data.get();
        double[] out = new double[elements()];
        for (int i = 0; i < out.length; i++) {
            out[i] = number(in, i);
        }
        return out;
    }

    /**
     * Reads the whole array in bounded memory and checks that all values are finite.
     *
     * @param what content of the array, for messages, for example {@code "fMRI responses"}
     * @throws InputException if a value is NaN or infinite
     */
    public void checkFinite(String what) {
        if (!header.type().isFloat()) {
            return;
        }
        MappedBytes in = data.get();
        long n = in.size() / header.type().bytes();
        float[] chunk = new float[(int) Math.min(n, CHUNK)];
        for (long from = 0; from < n; from += CHUNK) {
            int k = (int) Math.min(CHUNK, n - from);
            if (header.type() == NpyType.F32) {
                in.get(from * Float.BYTES, chunk, 0, k);
            }
            for (int i = 0; i < k; i++) {
                double v = header.type() == NpyType.F32 ? chunk[i] : number(in, from + i);
                if (!(Math.abs(v) <= Double.MAX_VALUE)) {
                    long at = from + i;
                    String where = header.shape().length < 2
                            ? "element " + at
                            : "row " + at / rowElements + ", " + (header.shape().length == 2 ? "vertex " : "element ")
                                    + at % rowElements;
                    throw new InputException(
                            path.toString(),
                            "the " + what + " are not finite: " + v + " at " + where + " (counted from 0)",
                            "Repair or exclude that row");
                }
            }
        }
    }

    @Override
    public void close() {
        data.close();
    }

    private int elements() {
        long n = data.get().size() / header.type().bytes();
        if (n > Integer.MAX_VALUE - 8) {
            throw new InputException(
                    path.toString(),
                    n + " elements do not fit in one Java array",
                    "Check that this is the right file: it should be small");
        }
        return (int) n;
    }

    private long integer(MappedBytes in, long i) {
        return switch (header.type()) {
            case BOOL -> in.byteAt(i) != 0 ? 1 : 0;
            case U8 -> in.byteAt(i) & 0xff;
            case I8 -> in.byteAt(i);
            case U16 -> in.shortAt(2 * i) & 0xffff;
            case I16 -> in.shortAt(2 * i);
            case U32 -> in.intAt(4 * i) & 0xffffffffL;
            case I32 -> in.intAt(4 * i);
            case U64, I64 -> in.longAt(8 * i);
            default -> throw new IllegalStateException(header.type().toString());
        };
    }

    private double number(MappedBytes in, long i) {
        return switch (header.type()) {
            case F16 -> Half.fromF16(in.shortAt(2 * i));
            case F32 -> Float.intBitsToFloat(in.intAt(4 * i));
            case F64 -> Double.longBitsToDouble(in.longAt(8 * i));
            case U64 -> {
                long v = in.longAt(8 * i);
                // For v >= 2^63: halve, keep the lost bit as a sticky bit, and double, which rounds correctly.
                yield v >= 0 ? v : 2.0 * (v >>> 1 | v & 1);
            }
            default -> integer(in, i);
        };
    }
}
