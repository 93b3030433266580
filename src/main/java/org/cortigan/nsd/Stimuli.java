// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import io.jhdf.HdfFile;
import io.jhdf.api.dataset.ContiguousDataset;
import io.jhdf.dataset.DatasetBase;
import io.jhdf.exceptions.HdfException;
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

    private final Path path;
    private final FileChannel channel;
    private final HdfFile hdf;
    private final DatasetBase images;
    private final long[] shape;
    /** Place of the first photograph in the file if they follow each other there; -1 if they lie in chunks. */
    private final long start;

    private Stimuli(Path path, FileChannel channel, HdfFile hdf) throws IOException {
        this.path = path;
        this.channel = channel;
        this.hdf = hdf;
        if (!(hdf.getChildren().get(NAME) instanceof DatasetBase d))
            throw new InputException(
                    path.toString(),
                    "has no dataset " + NAME,
                    "Give NSD's nsd_stimuli.hdf5, whose photographs are in " + NAME);
        images = d;
        shape = d.getDimensionsAsLong();
        DataType type = d.getDataType();
        if (shape.length != 4
                || shape[3] != 3
                || Arrays.stream(shape).anyMatch(n -> n < 1)
                || shape[1] * shape[2] > Integer.MAX_VALUE / 3
                || !(type instanceof FixedPoint)
                || type.getSize() != 1)
            throw new InputException(
                    path + ", dataset " + NAME,
                    "is " + d.getJavaType() + " of " + 8 * type.getSize() + " bits, shape " + Arrays.toString(shape),
                    "Give bytes of shape [images, height, width, 3]");
        start = d instanceof ContiguousDataset c ? c.getDataAddress() + hdf.getUserBlockSize() : -1;
        long has = channel.size();
        long want = start < 0
                ? hdf.getHdfBackingStorage().getSuperblock().getEndOfFileAddress()
                : start + shape[0] * imageBytes();
        if (has < want)
            throw new InputException(
                    path.toString(), "has " + has + " bytes, but needs " + want, "Copy or download the file again");
    }

    /** @throws InputException if the file is no HDF5 file with photographs, or is cut off */
    static Stimuli open(Path path) {
        FileChannel channel = InputFiles.open(path);
        HdfFile hdf = null;
        try {
            hdf = new HdfFile(path);
            return new Stimuli(path, channel, hdf);
        } catch (IOException | RuntimeException e) {
            try (channel) {
                if (hdf != null) hdf.close();
            } catch (IOException | HdfException suppressed) {
                e.addSuppressed(suppressed);
            }
            if (e instanceof InputException refused) throw refused;
            throw hdf == null ? NsdFiles.refused(path, "HDF5 file", e) : NsdFiles.damaged(path, e);
        }
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
        try {
            if (start < 0) {
                synchronized (this) {
                    int[] one = {1, (int) shape[1], (int) shape[2], 3};
                    return images.getSliceDataBuffer(new long[] {id, 0, 0, 0}, one)
                            .array();
                }
            }
            // jHDF would read three bytes at a time.
            ByteBuffer bytes = ByteBuffer.allocate(imageBytes());
            while (bytes.hasRemaining())
                if (channel.read(bytes, start + (long) id * bytes.capacity() + bytes.position()) < 0)
                    throw new IOException("the file has become shorter");
            return bytes.array();
        } catch (IOException | RuntimeException e) {
            throw NsdFiles.damaged(path, e);
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
