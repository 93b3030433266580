// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipException;
import org.cortigan.InputException;

/**
 * A FreeSurfer MGH file: values of a surface's vertices in one or more frames (time points, trials). The format has a
 * big-endian header of 284 bytes (version 1, four dimensions, element type), then frame after frame; scan parameters
 * and tags may follow. A .mgz file is the same, compressed with gzip. Source: FreeSurfer's documentation of the MGH
 * format, and nibabel's freesurfer.mghformat. An open file keeps one frame in memory; not thread-safe.
 */
public final class MghFile implements AutoCloseable {
    private static final int HEADER = 284, GZIP = 0x1f8b;
    private static final int U8 = 0, I32 = 1, F32 = 3, I16 = 4;

    /**
     * @param values values of a frame: the product of width, height and depth
     * @param type element type
     */
    private record Header(int values, int frames, int type) {
        static Header parse(Path path, byte[] bytes) {
            ByteBuffer b = ByteBuffer.wrap(bytes);
            // The version is 1, which no other format begins with.
            if (bytes.length < 4 || b.getInt() != 1)
                throw FileKind.refusal(path, bytes, "MGH file", "Give a FreeSurfer .mgh or .mgz file");
            if (bytes.length < HEADER) throw damaged(path, "has " + bytes.length + " bytes, fewer than a header");
            int[] shape = {b.getInt(), b.getInt(), b.getInt(), b.getInt()};
            int type = b.getInt();
            if (type != U8 && type != I32 && type != F32 && type != I16)
                throw new InputException(
                        path + ", header field 'type'",
                        type + " is not uchar (0), int (1), float (3) or short (4)",
                        "Convert the file with mri_convert --out_data_type float");
            try {
                int values = Math.multiplyExact(Math.multiplyExact(shape[0], shape[1]), shape[2]);
                Math.multiplyExact(values, width(type));
                if (Arrays.stream(shape).allMatch(n -> n > 0)) return new Header(values, shape[3], type);
            } catch (ArithmeticException e) {
                // Reported below, like a dimension that is not positive.
            }
            throw new InputException(
                    path + ", header field 'dimensions'",
                    Arrays.toString(shape) + " is no size of a surface",
                    "Copy or download the file again");
        }

        int frameBytes() {
            return values * width(type);
        }

        double value(ByteBuffer b, int i) {
            return switch (type) {
                case U8 -> b.get(i) & 0xff;
                case I16 -> b.getShort(2 * i);
                case I32 -> b.getInt(4 * i);
                default -> b.getFloat(4 * i);
            };
        }
    }

    private static int width(int type) {
        return type == U8 ? 1 : type == I16 ? 2 : 4;
    }

    private final Path path;
    private final FileChannel channel;
    private final Header header;
    private final ByteBuffer frame;

    private MghFile(Path path, FileChannel channel, Header header) {
        this.path = path;
        this.channel = channel;
        this.header = header;
        frame = ByteBuffer.allocateDirect(header.frameBytes());
    }

    /**
     * Opens an uncompressed file, whose frames can be read in any order.
     *
     * @throws InputException if the file is no MGH file, is compressed, or is shorter than its header says
     */
    public static MghFile open(Path path) {
        FileChannel channel = InputFiles.open(path);
        try {
            byte[] bytes = InputFiles.read(channel, FileKind.START);
            if (isGzip(bytes)) throw compressed(path);
            Header h = Header.parse(path, bytes);
            long want = HEADER + (long) h.frames * h.frameBytes(), has = channel.size();
            if (has < want)
                throw damaged(
                        path,
                        "has " + has + " bytes, but " + h.frames + " frames of " + h.values + " values need " + want);
            return new MghFile(path, channel, h);
        } catch (IOException | RuntimeException e) {
            try {
                channel.close();
            } catch (IOException suppressed) {
                e.addSuppressed(suppressed);
            }
            throw e instanceof IOException io ? InputFiles.unreadable(path, io) : (RuntimeException) e;
        }
    }

    /**
     * Reads a file that has one value for each vertex, compressed or not.
     *
     * @return the values, exact for every element type
     * @throws InputException if the file is no MGH file, is shorter than its header says, or has several frames
     */
    public static double[] readValues(Path path) {
        try (FileChannel channel = InputFiles.open(path)) {
            return readValues(path, Channels.newInputStream(channel));
        } catch (IOException e) {
            throw InputFiles.unreadable(path, e);
        }
    }

    /** Reads values as {@link #readValues(Path)} does. */
    static double[] readValues(Path path, InputStream file) throws IOException {
        try {
            BufferedInputStream in = new BufferedInputStream(file);
            in.mark(2);
            boolean gzip = isGzip(in.readNBytes(2));
            in.reset();
            InputStream plain = gzip ? new GZIPInputStream(in, 1 << 13) : in;
            Header h = Header.parse(path, plain.readNBytes(HEADER));
            if (h.frames != 1 && h.values != 1) // some programs save the vertices as frames
            throw new InputException(
                        path.toString(), "has " + h.frames + " frames", "Give a file with one value for each vertex");
            int count = Math.multiplyExact(h.values, h.frames), want = Math.multiplyExact(count, width(h.type));
            byte[] bytes = plain.readNBytes(want);
            if (bytes.length < want)
                throw damaged(path, "has " + bytes.length + " bytes of data, but its header says " + want);
            // gzip's checksum is at the end, behind the tags.
            plain.transferTo(OutputStream.nullOutputStream());
            ByteBuffer b = ByteBuffer.wrap(bytes);
            double[] values = new double[count];
            for (int i = 0; i < values.length; i++) values[i] = h.value(b, i);
            return values;
        } catch (ArithmeticException e) {
            throw damaged(path, "has more values than a surface can have");
        } catch (EOFException | ZipException e) {
            throw damaged(path, "is cut off or damaged" + (e.getMessage() == null ? "" : ": " + e.getMessage()));
        }
    }

    /**
     * A file of float32 values, without positions in a volume.
     *
     * @param packed whether it is compressed, as .mgz is
     * @param frames [frames][vertices]
     */
    public static byte[] bytes(boolean packed, float[]... frames) {
        int values = frames[0].length;
        ByteBuffer b = ByteBuffer.allocate(HEADER + 4 * Math.multiplyExact(values, frames.length));
        b.putInt(1)
                .putInt(values)
                .putInt(1)
                .putInt(1)
                .putInt(frames.length)
                .putInt(F32)
                .position(HEADER);
        for (float[] frame : frames) for (float v : frame) b.putFloat(v);
        if (!packed) return b.array();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (OutputStream z = new GZIPOutputStream(out)) {
            z.write(b.array());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    /** The exception for a compressed file whose frames are to be read in any order. */
    public static InputException compressed(Path path) {
        String name = String.valueOf(path.getFileName());
        String unpack = name.endsWith(".mgz")
                ? name.replaceFirst("z$", "h")
                : "unpacked && mv unpacked " + name; // gunzip refuses names without .gz
        return new InputException(
                path.toString(),
                "is compressed, but its frames are read in any order",
                "Unpack it, and others like it, in its folder: gzip -dc " + name + " > " + unpack);
    }

    private static boolean isGzip(byte[] start) {
        return start.length >= 2 && ((start[0] & 0xff) << 8 | start[1] & 0xff) == GZIP;
    }

    private static InputException damaged(Path path, String problem) {
        return new InputException(path.toString(), problem, "Copy or download the file again");
    }

    public Path path() {
        return path;
    }

    /** Values of a frame. */
    public int values() {
        return header.values;
    }

    /** Number of frames. */
    public int frames() {
        return header.frames;
    }

    /** Reads frame {@code i}; integers beyond 2^24 are rounded. */
    public void readFrame(int i, float[] into) {
        try {
            frame.clear();
            long start = HEADER + (long) i * header.frameBytes();
            while (frame.hasRemaining())
                if (channel.read(frame, start + frame.position()) < 0) throw damaged(path, "has become shorter");
        } catch (IOException e) {
            throw InputFiles.unreadable(path, e);
        }
        if (header.type == F32) frame.flip().asFloatBuffer().get(into, 0, header.values);
        else for (int v = 0; v < header.values; v++) into[v] = (float) header.value(frame, v);
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw InputFiles.unreadable(path, e);
        }
    }
}
