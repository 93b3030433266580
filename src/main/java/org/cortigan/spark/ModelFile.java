// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.zip.CRC32C;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Model;

/**
 * A checkpoint as the driver read it. Executors predict with the same content or not at all.
 *
 * @param path where the driver found it
 * @param bytes size of the file
 * @param crc32c checksum of the file
 */
record ModelFile(String path, long bytes, int crc32c) implements Serializable {
    private static final int CHUNK = 1 << 20, PIECE = 64 << 20;

    /** @throws InputException if the file cannot be read */
    static ModelFile of(Path file) {
        CRC32C crc = new CRC32C();
        try (FileChannel in = InputFiles.open(file)) {
            ByteBuffer chunk = ByteBuffer.allocateDirect(CHUNK);
            while (in.read(chunk.clear()) >= 0) crc.update(chunk.flip());
            return new ModelFile(file.toString(), in.size(), (int) crc.getValue());
        } catch (IOException e) {
            throw InputFiles.unreadable(file, e);
        }
    }

    /**
     * The file of a path on the driver's disk. One of another file system, such as {@code hdfs:}, is copied there.
     *
     * @param text a path, or a URI of a file system that Hadoop knows
     */
    static Path local(String text, Configuration hadoop) {
        if (!hasScheme(text)) return InputFiles.path(text).toAbsolutePath();
        org.apache.hadoop.fs.Path remote = new org.apache.hadoop.fs.Path(text);
        if (isLocal(text)) return Path.of(remote.toUri().getPath());
        try {
            Path copy = Files.createTempFile("cortigan", ".safetensors");
            copy.toFile().deleteOnExit();
            remote.getFileSystem(hadoop).copyToLocalFile(false, remote, hadoopPath(copy), true);
            return copy;
        } catch (IOException e) {
            throw new InputException(text, "cannot be read: " + e.getMessage(), "Give a file that the driver reads", e);
        }
    }

    /** Whether a path is a URI. */
    static boolean hasScheme(String text) {
        return text.matches("[A-Za-z][A-Za-z0-9+.-]+:/.*");
    }

    /** Whether a URI names a file of this machine. */
    static boolean isLocal(String uri) {
        return uri.startsWith("file:");
    }

    /** A name that no other content has. */
    private String name() {
        return String.format(Locale.ROOT, "cortigan-%08x-%d.safetensors", crc32c, bytes);
    }

    /** Path of the copy that {@link #save} writes. */
    org.apache.hadoop.fs.Path in(String folder) {
        return new org.apache.hadoop.fs.Path(folder, name());
    }

    /** Writes the file into a folder of any file system. */
    void save(String folder, Configuration hadoop) {
        try {
            FileSystem files = in(folder).getFileSystem(hadoop);
            files.copyFromLocalFile(false, true, hadoopPath(Path.of(path)), in(folder));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static org.apache.hadoop.fs.Path hadoopPath(Path file) {
        return new org.apache.hadoop.fs.Path(file.toUri());
    }

    /**
     * Gives the file to the executors in pieces, as a broadcast has less than 2 GB. {@code SparkContext.addFile} would
     * not do: jobs of Spark 4.0's SQL do not get such files.
     */
    List<Broadcast<byte[]>> broadcast(SparkContext context) {
        JavaSparkContext java = JavaSparkContext.fromSparkContext(context);
        List<Broadcast<byte[]>> pieces = new ArrayList<>();
        try (FileChannel in = InputFiles.open(Path.of(path))) {
            for (long at = 0; at < bytes; at += PIECE) {
                ByteBuffer piece = ByteBuffer.allocate((int) Math.min(PIECE, bytes - at));
                while (piece.hasRemaining())
                    if (in.read(piece) < 0)
                        throw new InputException(path, "changes while it is read", "Give a file that stays as it is");
                pieces.add(java.broadcast(piece.array()));
            }
            return pieces;
        } catch (IOException e) {
            throw InputFiles.unreadable(Path.of(path), e);
        }
    }

    /**
     * The model, on an executor.
     *
     * @param pieces of {@link #broadcast}; none to read the file at the driver's path
     * @throws InputException if the content is not the driver's
     */
    Model load(List<Broadcast<byte[]>> pieces) {
        if (pieces.isEmpty()) return load(Path.of(path));
        try {
            Path copy = Files.createTempFile("cortigan", ".safetensors");
            try (FileChannel out = FileChannel.open(copy, StandardOpenOption.WRITE)) {
                for (Broadcast<byte[]> piece : pieces) {
                    ByteBuffer left = ByteBuffer.wrap(piece.value());
                    while (left.hasRemaining()) out.write(left);
                }
                return load(copy);
            } finally {
                Files.deleteIfExists(copy); // The model has mapped it.
            }
        } catch (IOException e) {
            throw new InputException(
                    "checkpoint " + path, "cannot be written on an executor: " + e, "Make room in java.io.tmpdir", e);
        }
    }

    private Model load(Path file) {
        ModelFile found = of(file);
        if (found.bytes != bytes || found.crc32c != crc32c)
            throw new InputException(
                    file.toString(),
                    "has other content than " + path + " had when the driver read it",
                    "Give all machines the same file, or let the driver distribute it (setDistribute(true))");
        return Model.load(file);
    }
}
