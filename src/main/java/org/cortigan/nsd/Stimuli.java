// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import io.jhdf.HdfFile;
import io.jhdf.api.Link;
import io.jhdf.api.Node;
import io.jhdf.api.dataset.ChunkedDataset;
import io.jhdf.api.dataset.ContiguousDataset;
import io.jhdf.dataset.DatasetBase;
import io.jhdf.exceptions.HdfException;
import io.jhdf.exceptions.HdfFilterException;
import io.jhdf.exceptions.UnsupportedHdfException;
import io.jhdf.object.datatype.DataType;
import io.jhdf.object.datatype.FixedPoint;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.InputException;
import org.cortigan.cortex.Rgb;
import org.cortigan.io.InputFiles;

/**
 * NSD's photographs: {@code imgBrick} of nsd_stimuli.hdf5, u8 [images, height, width, 3], 73,000 of 425 x 425 pixels.
 * One photograph at a time is in memory. Any number of threads may read.
 */
final class Stimuli implements AutoCloseable {
    private static final String NAME = "imgBrick";
    private static final String COPY =
            "Copy " + NAME + " with h5py, some images at a time, into a dataset that create_dataset('" + NAME
                    + "', shape, 'u1') made; or with h5repack -f NONE -l CONTI, if it knows the feature";

    private final Path path;
    private final FileChannel channel;
    private final HdfFile hdf;
    private final DatasetBase images;
    private final long[] shape;
    /** Place of the first photograph in the file if they follow each other there; -1 if they lie in chunks. */
    private final long start;
    /** Value of bytes that were never written. */
    private final byte fill;

    private Stimuli(Path path, HdfFile hdf) throws IOException {
        this.hdf = hdf;
        images = dataset(path, hdf);
        // A link may lead to another file.
        this.path = images.getHdfFile() == hdf ? path : images.getFileAsPath();
        shape = images.getDimensionsAsLong();
        DataType type = images.getDataType();
        if (shape.length != 4
                || shape[3] != 3
                || Arrays.stream(shape).anyMatch(n -> n < 1)
                || shape[1] * shape[2] > Integer.MAX_VALUE / 3
                || !(type instanceof FixedPoint f)
                || f.isSigned()
                || type.getSize() != 1)
            throw new InputException(
                    where(),
                    "is " + name(type) + ", shape " + Arrays.toString(shape),
                    "Give uint8 of shape [images, height, width, 3]"
                            + (type instanceof FixedPoint ? "" : ". If it is that for h5py: " + COPY));
        if (images.isEmpty())
            throw new InputException(where(), "has never been written", "Copy or download the file again");
        fill = images.getFillValue() instanceof Number n ? n.byteValue() : 0;
        start = images instanceof ContiguousDataset c
                ? c.getDataAddress() + images.getHdfFile().getUserBlockSize()
                : -1;
        channel = InputFiles.open(this.path);
        try {
            requireWhole();
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private void requireWhole() throws IOException {
        long has = channel.size();
        long want = start < 0
                ? images.getHdfFile().getHdfBackingStorage().getSuperblock().getEndOfFileAddress()
                : start + shape[0] * imageBytes();
        if (has < want)
            throw new InputException(
                    path.toString(), "has " + has + " bytes, but needs " + want, "Copy or download the file again");
    }

    /** The photographs; a link is followed, also into another file. */
    private static DatasetBase dataset(Path path, HdfFile hdf) {
        Node node = hdf.getChildren().get(NAME);
        if (node instanceof Link link) {
            if (link.isBrokenLink())
                throw new InputException(
                        path + ", dataset " + NAME,
                        "is a link to " + InputFiles.quote(link.getTargetPath()) + ", which cannot be reached",
                        "Give the file that it links to, or copy that to its place");
            node = link.getTarget();
        }
        if (node instanceof DatasetBase d) return d;
        throw new InputException(
                path.toString(),
                "has no dataset " + NAME,
                "Give NSD's nsd_stimuli.hdf5, whose photographs are in " + NAME);
    }

    private static String name(DataType type) {
        return type instanceof FixedPoint f
                ? (f.isSigned() ? "int" : "uint") + 8 * f.getSize()
                : type.getClass().getSimpleName() + " of " + 8 * type.getSize() + " bits";
    }

    private String where() {
        return path + ", dataset " + NAME;
    }

    /**
     * @throws InputException if the file is no HDF5 file with photographs, is cut off, or has features that jHDF lacks
     */
    static Stimuli open(Path path) {
        InputFiles.check(path);
        HdfFile hdf = null;
        try {
            hdf = new HdfFile(path);
            return new Stimuli(path, hdf);
        } catch (IOException | RuntimeException e) {
            try {
                if (hdf != null) hdf.close();
            } catch (HdfException suppressed) {
                e.addSuppressed(suppressed);
            }
            if (e instanceof InputException refused) throw refused;
            throw unread(path, hdf != null, e);
        }
    }

    /** The exception for a file that jHDF could not read: the file is damaged, or has a feature that jHDF lacks. */
    private static InputException unread(Path path, boolean isHdf5, Exception e) {
        for (Throwable t = e; t != null; t = t.getCause())
            if (t instanceof UnsupportedHdfException
                    || t instanceof HdfFilterException
                            && String.valueOf(t.getMessage()).contains("not available"))
                return new InputException(
                        path.toString(), "has a feature of HDF5 that cannot be read here: " + t.getMessage(), COPY, e);
        return isHdf5 ? NsdFiles.damaged(path, e) : NsdFiles.refused(path, "HDF5 file", e);
    }

    Path path() {
        return path;
    }

    /** Number of photographs. */
    long count() {
        return shape[0];
    }

    /** Bytes of a photograph. */
    int imageBytes() {
        return (int) (shape[1] * shape[2] * 3);
    }

    /** A photograph; {@code id} counts from 0. */
    Rgb read(int id) {
        return new Rgb(pixels(id), (int) shape[1], (int) shape[2]);
    }

    private byte[] pixels(int id) {
        byte[] pixels = start < 0 ? chunks(id) : contiguous(id);
        for (byte value : new byte[] {0, fill})
            if (isUniform(pixels, value))
                throw unwritten(id, "is " + (value & 0xff) + " at every pixel, as one that has never been written");
        return pixels;
    }

    private static boolean isUniform(byte[] pixels, byte value) {
        for (byte p : pixels) if (p != value) return false;
        return true;
    }

    private InputException unwritten(int id, String problem) {
        return new InputException(
                where() + ", photograph " + id + " (counted from 0)", problem, "Copy or download the file again");
    }

    private byte[] contiguous(int id) {
        // jHDF would read three bytes at a time.
        ByteBuffer bytes = ByteBuffer.allocate(imageBytes());
        try {
            while (bytes.hasRemaining())
                if (channel.read(bytes, start + (long) id * bytes.capacity() + bytes.position()) < 0)
                    throw new IOException("the file has become shorter");
        } catch (IOException e) {
            throw NsdFiles.damaged(path, e);
        }
        return bytes.array();
    }

    private synchronized byte[] chunks(int id) {
        try {
            int[] one = {1, (int) shape[1], (int) shape[2], 3};
            byte[] pixels =
                    images.getSliceDataBuffer(new long[] {id, 0, 0, 0}, one).array();
            if (images instanceof ChunkedDataset c) requireChunks(c, id);
            return pixels;
        } catch (InputException e) {
            throw e;
        } catch (RuntimeException e) {
            if (images instanceof ChunkedDataset c && (!(e instanceof HdfException) || isOfFilter(e)))
                throw new InputException(
                        path.toString(),
                        "cannot be decompressed: it is damaged, or its filters do not go together here: "
                                + c.getFilters(),
                        COPY,
                        e);
            throw unread(path, true, e);
        }
    }

    /** Whether a filter failed on a chunk's bytes: they are damaged, or the file lets this chunk skip a filter. */
    private static boolean isOfFilter(Throwable e) {
        for (Throwable t = e; t != null; t = t.getCause())
            if (t instanceof HdfFilterException
                    && !String.valueOf(t.getMessage()).contains("not available")) return true;
        return false;
    }

    /** jHDF reads a chunk that is missing as 0, whatever its fill value is. */
    private void requireChunks(ChunkedDataset chunked, int id) {
        int[] size = chunked.getChunkDimensions();
        int first = id / size[0] * size[0];
        for (int y = 0; y < shape[1]; y += size[1])
            for (int x = 0; x < shape[2]; x += size[2])
                for (int c = 0; c < 3; c += size[3]) {
                    try {
                        chunked.getRawChunkBuffer(new int[] {first, y, x, c});
                    } catch (HdfException e) {
                        if (String.valueOf(e.getMessage()).startsWith("No chunk"))
                            throw unwritten(id, "has never been written, or not all of it");
                        throw e;
                    }
                }
    }

    @Override
    public void close() {
        try (channel) {
            hdf.close();
        } catch (IOException e) {
            throw InputFiles.unreadable(path, e);
        }
    }
}
