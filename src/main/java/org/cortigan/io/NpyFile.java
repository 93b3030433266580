// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.LongConsumer;
import org.cortigan.InputException;
import org.cortigan.graph.Half;

/**
 * A numpy array in a file of any size (npy format 1.0, 2.0 and 3.0), read by memory map, of any real type, byte order
 * and order of the axes. A row is one index of the first axis, for example the responses to one image if the shape is
 * (images, vertices). A 0-d array is one row of one element. Row reads allocate nothing. Thread-safe. Source of the
 * format: numpy.lib.format.
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
     * @throws InputException if the file is missing, malformed or of a type that is no real number
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

    /**
     * Checks the number of axes of elements of any type, which {@link #readRow(long, float[], int)} converts to float;
     * returns this file.
     *
     * @throws InputException if it differs
     */
    public NpyFile requireRank(int rank) {
        return require(header.type(), rank);
    }

    /** Whether all elements lie along one axis. Further axes of length 1 do not count. */
    public boolean isVector() {
        return Arrays.stream(header.shape()).filter(n -> n != 1).count() <= 1;
    }

    /** Whether all elements lie along one axis, as {@link #isVector()}, and are n. */
    public boolean isVector(long n) {
        return isVector() && elementCount() == n;
    }

    /** What is converted when floats are read, in words for a note to the user; empty for float32 in C order. */
    public String conversion() {
        List<String> parts = new ArrayList<>();
        if (header.type() != NpyType.F32) parts.add("holds " + header.type() + ", which is converted to F32");
        if (header.bigEndian()) parts.add("is big-endian");
        if (header.fortran()) parts.add("is in Fortran order, so that rows are read slowly");
        return String.join("; ", parts);
    }

    private boolean isPlain() {
        return !header.bigEndian() && !header.fortran();
    }

    /**
     * Copies row {@code row} to {@code dst[off..]}, converted to float.
     *
     * @throws InputException if a finite number is beyond the range of float
     */
    public void readRow(long row, float[] dst, int off) {
        read(java.util.Objects.checkIndex(row, rows()) * rowElements, dst, off, rowElements);
    }

    /**
     * Copies {@code n} elements, from element {@code first} in C order on, converted to float, to {@code dst[off..]}.
     */
    public void read(long first, float[] dst, int off, int n) {
        java.util.Objects.checkFromIndexSize(off, n, dst.length);
        java.util.Objects.checkFromIndexSize(first, n, elementCount());
        MappedBytes in = data.get();
        if (isPlain() && header.type() == NpyType.F32) {
            in.get(first * Float.BYTES, dst, off, n);
            return;
        }
        for (int i = 0; i < n; i++) {
            dst[off + i] = real(in, stored(first + i));
        }
    }

    /** The element at a row and column of a matrix, converted to float. */
    public float value(long row, int column) {
        java.util.Objects.checkIndex(column, rowElements);
        return real(data.get(), stored(java.util.Objects.checkIndex(row, rows()) * rowElements + column));
    }

    /** Copies row {@code row}, converted to float, little-endian, to the position of {@code dst}, which advances. */
    public void readFloats(long row, ByteBuffer dst) {
        if (header.type() == NpyType.F32) {
            readRow(row, dst);
            return;
        }
        boolean swap = dst.order() != ByteOrder.LITTLE_ENDIAN;
        for (int i = 0; i < rowElements; i++) {
            put(value(row, i), dst, swap);
        }
    }

    /** The same for some columns of a matrix. */
    public void readFloats(long row, int[] columns, ByteBuffer dst) {
        boolean swap = dst.order() != ByteOrder.LITTLE_ENDIAN;
        for (int column : columns) {
            put(value(row, column), dst, swap);
        }
    }

    private static void put(float v, ByteBuffer dst, boolean swap) {
        int bits = Float.floatToRawIntBits(v);
        dst.putInt(swap ? Integer.reverseBytes(bits) : bits);
    }

    /**
     * Copies the bytes of row {@code row}, each element little-endian, to the position of {@code dst}, which advances.
     */
    public void readRow(long row, ByteBuffer dst) {
        int bytes = header.type().bytes(), n = rowElements * bytes;
        if (dst.remaining() < n) {
            throw new IllegalArgumentException(
                    "a row has " + n + " bytes, but the buffer has " + dst.remaining() + " left");
        }
        long first = java.util.Objects.checkIndex(row, rows()) * rowElements;
        MappedBytes in = data.get();
        if (isPlain()) {
            in.get(first * bytes, dst, n);
            return;
        }
        for (int i = 0; i < rowElements; i++) {
            long at = stored(first + i) * bytes;
            for (int k = 0; k < bytes; k++) {
                dst.put(in.byteAt(at + (header.bigEndian() ? bytes - 1 - k : k)));
            }
        }
    }

    /**
     * Reads whole numbers of any type along one axis, such as an ROI mask. Further axes of length 1 do not count.
     *
     * @throws InputException if the array has several axes, or a value is no whole number or exceeds int
     */
    public int[] toIntArray() {
        if (!isVector()) {
            throw new InputException(
                    path.toString(),
                    header.type() + " of shape " + Arrays.toString(header.shape()) + " is not a one-dimensional array",
                    "Save it with a.astype('int32').ravel()");
        }
        MappedBytes in = data.get();
        int[] out = new int[elements()];
        for (int i = 0; i < out.length; i++) {
            double v = number(in, i);
            if (Double.isNaN(v)) {
                throw new InputException(
                        path.toString(),
                        "element " + i + " (counted from 0) is NaN, no whole number",
                        "Set it to 0, which means no ROI, for example with numpy.nan_to_num");
            }
            if (v != (int) v) {
                throw new InputException(
                        path.toString(),
                        "element " + i + " (counted from 0) is " + text(in, i)
                                + (v == Math.rint(v) ? ", outside the range of a 32-bit integer" : ", no whole number"),
                        "Check the file: ROI ids are small integers");
            }
            out[i] = (int) v;
        }
        return out;
    }

    /** Element i of the file, as numpy prints it. */
    private String text(MappedBytes in, long i) {
        if (header.type().isFloat()) return Double.toString(number(in, i));
        return header.type() == NpyType.U64 ? Long.toUnsignedString(integer(in, i)) : Long.toString(integer(in, i));
    }

    /** Reads the whole array in C order, converted to float. */
    public float[] toFloatArray() {
        float[] out = new float[elements()];
        read(0, out, 0, out.length);
        return out;
    }

    /** Reads the whole array in C order and converts any numeric type. */
    public double[] toDoubleArray() {
        MappedBytes in = data.get();
        double[] out = new double[elements()];
        for (int i = 0; i < out.length; i++) {
            out[i] = number(in, stored(i));
        }
        return out;
    }

    /**
     * Reads the whole array in bounded memory and checks that all values are finite.
     *
     * @param what content of the array, for messages, for example {@code "fMRI responses"}
     * @param remedy what the user can do
     * @throws InputException if a value is NaN or infinite
     */
    public void checkFinite(String what, String remedy) {
        forEachNotFinite(at -> {
            String where = header.shape().length < 2
                    ? "element " + at
                    : header.shape().length > 2 ? "row " + row(at) : "row " + row(at) + ", vertex " + column(at);
            throw new InputException(
                    path.toString(),
                    "the " + what + " are not finite: " + number(data.get(), at) + " at " + where + " (counted from 0)",
                    remedy);
        });
    }

    /**
     * Checks that a conversion to float keeps the variation of each column, such as that of a vertex; the last axis
     * counts columns. A conversion loses a small deviation beside a large mean, and numbers below float's range. Reads
     * the whole file, in its order, if its type has digits that float has not.
     *
     * @param column name of a column, for messages, for example {@code "vertex"}
     * @throws InputException if the values of a column change by more than a thousandth of their standard deviation
     */
    public void checkFloatKeeps(String column) {
        if (header.shape().length == 0 || !header.type().exceedsFloat()) return;
        long n = elementCount();
        int columns = (int) header.shape()[header.shape().length - 1];
        ColumnMoments moments = new ColumnMoments(columns);
        double[] change = new double[columns];
        MappedBytes in = data.get();
        for (long at = 0; at < n; at++) {
            double x = number(in, at);
            if (!(Math.abs(x) <= Float.MAX_VALUE)) continue; // reading refuses it, or leaves it out
            int c = (int) (header.fortran() ? at / (n / columns) : at % columns);
            moments.add(c, x);
            change[c] = Math.max(change[c], Math.abs(x - (float) x));
        }
        for (int c = 0; c < columns; c++) {
            double mean = moments.mean(c), deviation = moments.deviation(c);
            // A constant column may vary by the rounding of whoever computed it.
            if (deviation > 1e-12 * Math.abs(mean) && change[c] > 1e-3 * deviation)
                throw new InputException(
                        path + ", " + column + " " + c + " (counted from 0)",
                        String.format(
                                Locale.ROOT,
                                "float32, in which CortiGAN computes, lacks the digits for a mean of %.6g and a standard"
                                        + " deviation of %.3g: values would change by up to %.2g",
                                mean,
                                deviation,
                                change[c]),
                        "Subtract each " + column + "'s mean, or multiply all values by a constant, and save the file"
                                + " again");
        }
    }

    /**
     * Reads a matrix in bounded memory, in the order of the file.
     *
     * @return for each column the number of rows whose value is NaN or infinite
     */
    public int[] notFinitePerColumn() {
        int[] count = new int[require(header.type(), 2).rowElements];
        forEachNotFinite(at -> count[(int) column(at)]++);
        return count;
    }

    /** Calls {@code body} with the place in the file of each value that is NaN or infinite. */
    private void forEachNotFinite(LongConsumer body) {
        if (!header.type().isFloat()) {
            return;
        }
        MappedBytes in = data.get();
        long n = elementCount();
        boolean fast = header.type() == NpyType.F32 && !header.bigEndian();
        float[] chunk = new float[(int) Math.min(n, CHUNK)];
        for (long from = 0; from < n; from += CHUNK) {
            int k = (int) Math.min(CHUNK, n - from);
            if (fast) {
                in.get(from * Float.BYTES, chunk, 0, k);
            }
            for (int i = 0; i < k; i++) {
                float v = fast ? chunk[i] : real(in, from + i);
                if (!(Math.abs(v) <= Float.MAX_VALUE)) {
                    body.accept(from + i);
                }
            }
        }
    }

    /** Row of the element at a place in the file, of a matrix or an array in C order. */
    private long row(long at) {
        return header.fortran() ? at % rows() : at / rowElements;
    }

    /** Column of the element at a place in the file, of a matrix. */
    private long column(long at) {
        return header.fortran() ? at / rows() : at % rowElements;
    }

    @Override
    public void close() {
        data.close();
    }

    private long elementCount() {
        return rows() * rowElements;
    }

    private int elements() {
        long n = elementCount();
        if (n > Integer.MAX_VALUE - 8) {
            throw new InputException(
                    path.toString(),
                    n + " elements do not fit in one Java array",
                    "Check that this is the right file: it should be small");
        }
        return (int) n;
    }

    /** The place in the file, in elements, of the element at index i of C order. */
    private long stored(long i) {
        if (!header.fortran()) return i;
        long[] shape = header.shape();
        long at = 0, stride = elementCount();
        for (int k = shape.length - 1; k >= 0; k--) {
            stride /= shape[k];
            at += i % shape[k] * stride;
            i /= shape[k];
        }
        return at;
    }

    /** The element at a place in the file as a float. */
    private float real(MappedBytes in, long at) {
        double v = number(in, at);
        if (Math.abs(v) > Float.MAX_VALUE && Double.isFinite(v)) {
            throw new InputException(
                    path.toString(), "holds the value " + v + ", beyond the range of float32", "Scale the array");
        }
        return (float) v;
    }

    private short shortAt(MappedBytes in, long at) {
        short v = in.shortAt(2 * at);
        return header.bigEndian() ? Short.reverseBytes(v) : v;
    }

    private int intAt(MappedBytes in, long at) {
        int v = in.intAt(4 * at);
        return header.bigEndian() ? Integer.reverseBytes(v) : v;
    }

    private long longAt(MappedBytes in, long at) {
        long v = in.longAt(8 * at);
        return header.bigEndian() ? Long.reverseBytes(v) : v;
    }

    private long integer(MappedBytes in, long i) {
        return switch (header.type()) {
            case BOOL -> in.byteAt(i) != 0 ? 1 : 0;
            case U8 -> in.byteAt(i) & 0xff;
            case I8 -> in.byteAt(i);
            case U16 -> shortAt(in, i) & 0xffff;
            case I16 -> shortAt(in, i);
            case U32 -> intAt(in, i) & 0xffffffffL;
            case I32 -> intAt(in, i);
            case U64, I64 -> longAt(in, i);
            default -> throw new IllegalStateException(header.type().toString());
        };
    }

    private double number(MappedBytes in, long i) {
        return switch (header.type()) {
            case F16 -> Half.fromF16(shortAt(in, i));
            case F32 -> Float.intBitsToFloat(intAt(in, i));
            case F64 -> Double.longBitsToDouble(longAt(in, i));
            case U64 -> {
                long v = longAt(in, i);
                // For v >= 2^63: halve, keep the lost bit as a sticky bit, and double, which rounds correctly.
                yield v >= 0 ? v : 2.0 * (v >>> 1 | v & 1);
            }
            default -> integer(in, i);
        };
    }
}
