// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;

/**
 * A cache of decoded photographs: centred squares of one size in a memory-mapped npy file, u8 [N, S, S, 3], and a JSON
 * file with the fingerprint of the source files. The cache is rebuilt if names, sizes or times of the source files have
 * changed, or if the npy file is damaged. Any number of threads may read.
 */
public final class ImageCache implements AutoCloseable {
    private static final int VERSION = 1, BLOCK = 256;

    private final NpyFile file;
    private final int size;

    private ImageCache(NpyFile file, int size) {
        this.file = file;
        this.size = size;
    }

    /**
     * Opens the cache and builds it if necessary.
     *
     * @param folder folder of the cache
     * @param files photographs in the order of their index
     * @param size side of the squares, in pixels
     * @param log receives a message when the cache is built
     */
    public static ImageCache open(Path folder, List<Path> files, int size, Consumer<String> log) {
        Map<String, Object> want = fingerprint(files, size);
        String name = "images-" + size + "-" + want.get("crc32c");
        Path npy = folder.resolve(name + ".npy"), json = folder.resolve(name + ".json");
        if (!current(npy, json, want, files.size(), size)) {
            log.accept("decoding " + files.size() + " photographs to " + size + " x " + size + " pixels");
            create(folder, npy, json, want, files, size);
        }
        return new ImageCache(NpyFile.open(npy).require(NpyType.U8, 4), size);
    }

    private static Map<String, Object> fingerprint(List<Path> files, int size) {
        CRC32C crc = new CRC32C();
        for (Path p : files)
            try {
                crc.update((p.toAbsolutePath() + "\0" + Files.size(p) + "\0"
                                + Files.getLastModifiedTime(p).toMillis() + "\0")
                        .getBytes(java.nio.charset.StandardCharsets.UTF_8));
            } catch (IOException e) {
                throw InputFiles.unreadable(p, e);
            }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("version", (long) VERSION);
        m.put("images", (long) files.size());
        m.put("size", (long) size);
        m.put("crc32c", Long.toHexString(crc.getValue()));
        return m;
    }

    private static boolean current(Path npy, Path json, Map<String, Object> want, int n, int size) {
        if (!Files.isRegularFile(npy) || !Files.isRegularFile(json)) return false;
        try (NpyFile f = NpyFile.open(npy)) {
            return f.type() == NpyType.U8
                    && java.util.Arrays.equals(f.shape(), new long[] {n, size, size, 3})
                    && Json.readObject(json).toString().equals(want.toString());
        } catch (InputException e) {
            return false; // A damaged cache is rebuilt.
        }
    }

    private static void create(Path folder, Path npy, Path json, Map<String, Object> want, List<Path> files, int size) {
        try {
            Files.createDirectories(folder);
            Files.deleteIfExists(json); // Without the JSON file, a half-written cache is invalid.
        } catch (IOException e) {
            throw new InputException(
                    folder.toString(), "cannot be written: " + e, "Choose another folder for the cache", e);
        }
        byte[][] block = new byte[BLOCK][];
        try (NpyWriter w = NpyWriter.create(npy, NpyType.U8, files.size(), size, size, 3)) {
            for (int at = 0; at < files.size(); at += BLOCK) {
                int from = at, n = Math.min(BLOCK, files.size() - at);
                IntStream.range(0, n).parallel().forEach(i -> block[i] = Images.decode(files.get(from + i), size));
                for (int i = 0; i < n; i++) w.write(ByteBuffer.wrap(block[i]));
            }
            w.commit();
        }
        Json.write(json, want);
    }

    /** Number of photographs. */
    public int count() {
        return (int) file.rows();
    }

    /** Side of a photograph, in pixels. */
    public int size() {
        return size;
    }

    /** Writes photograph i, u8 [S, S, 3], at the buffer's position, which advances. */
    public void read(int i, ByteBuffer into) {
        file.readRow(i, into);
    }

    @Override
    public void close() {
        file.close();
    }
}
