// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.jspecify.annotations.Nullable;

/**
 * A cache of decoded photographs: centred squares of one size in a memory-mapped npy file, u8 [N, S, S, 3], and a JSON
 * file with the fingerprint of the source files. The cache is rebuilt if names, sizes or times of the source files have
 * changed, or if the npy file is damaged. Any number of threads may read.
 */
public final class ImageCache implements AutoCloseable {
    /** Name of the cache folder in a data folder. */
    public static final String DEFAULT_NAME = ".cortigan-cache";

    /** Becomes another number whenever the same files give other pixels. */
    private static final int VERSION = 2;

    private static final int BLOCK = 256;

    private final NpyFile file;
    private final int size;

    private ImageCache(Path npy, int size) {
        file = NpyFile.open(npy).require(NpyType.U8, 4);
        this.size = size;
    }

    /**
     * Opens the cache and builds it if necessary. If the folder is the default of a data folder, {@link #DEFAULT_NAME},
     * and cannot be written, the cache is built in the user's cache folder. Several processes may do so at once.
     *
     * @param folder folder of the cache
     * @param files photographs in the order of their index; they are read as they are stored, not turned as EXIF or XMP
     *     says
     * @param size side of the squares, in pixels
     * @param log receives a message when the cache is built, and where if not in {@code folder}
     * @throws InputException if a photograph cannot be read or the cache cannot be written
     */
    public static ImageCache open(Path folder, List<Path> files, int size, Consumer<String> log) {
        return open(folder, userFolder(System.getenv("XDG_CACHE_HOME"), System.getenv("HOME")), files, size, log);
    }

    static ImageCache open(Path folder, Path userFolder, List<Path> files, int size, Consumer<String> log) {
        Map<String, Object> want = fingerprint(files, size);
        String name = "images-" + size + "-" + want.get("crc32c");
        List<Path> folders = folder.endsWith(DEFAULT_NAME) ? List.of(folder, userFolder) : List.of(folder);
        for (Path f : folders) {
            AtomicFiles.deleteAbandoned(f, AtomicFiles.ABANDONED, "images-");
            if (current(f.resolve(name + ".npy"), f.resolve(name + ".json"), want, files.size(), size))
                return new ImageCache(f.resolve(name + ".npy"), size);
        }
        List<String> reasons = new ArrayList<>();
        for (Path f : folders) {
            String reason = AtomicFiles.unwritable(f, 3L * files.size() * size * size);
            if (reason == null) {
                String where = reasons.isEmpty() ? "" : ", in " + f + " because " + String.join("", reasons);
                log.accept("decoding " + files.size() + " photographs to " + size + " x " + size + " pixels" + where);
                AtomicFiles.createFolder(f);
                create(f.resolve(name + ".npy"), f.resolve(name + ".json"), want, files, size, log);
                return new ImageCache(f.resolve(name + ".npy"), size);
            }
            reasons.add(f + " cannot be written (" + reason + ")");
        }
        throw new InputException(
                "cache of decoded photographs", String.join(", and ", reasons), "Name another folder with --cache");
    }

    /**
     * The folder for this program's caches: {@code cortigan} in the folder that the XDG Base Directory Specification
     * names, ~/.cache by default.
     */
    static Path userFolder(@Nullable String xdg, @Nullable String home) {
        if (xdg != null && xdg.startsWith("/")) return Path.of(xdg, "cortigan");
        // Java takes the home from the system's list of users, which may not have a container's user.
        boolean known = home != null && home.startsWith("/");
        return Path.of(known ? home : System.getProperty("user.home"), ".cache", "cortigan");
    }

    private static Map<String, Object> fingerprint(List<Path> files, int size) {
        CRC32C crc = new CRC32C();
        crc.update(VERSION); // Versions that run at the same time write files of different names.
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

    private static void create(
            Path npy, Path json, Map<String, Object> want, List<Path> files, int size, Consumer<String> log) {
        byte[][] block = new byte[BLOCK][];
        Set<Path> turned = new ConcurrentSkipListSet<>();
        try (NpyWriter w = writer(npy, files.size(), size)) {
            for (int at = 0; at < files.size(); at += BLOCK) {
                int from = at, n = Math.min(BLOCK, files.size() - at);
                IntStream.range(0, n).parallel().forEach(i -> {
                    Photograph p = Images.read(files.get(from + i));
                    if (p.orientation() != 1) turned.add(files.get(from + i));
                    block[i] = p.stored().square(size);
                });
                for (int i = 0; i < n; i++) w.write(ByteBuffer.wrap(block[i]));
            }
            AtomicFiles.deleteIfExists(json); // Without the JSON file, the npy file is invalid.
            w.commit();
        }
        Json.write(json, want);
        Images.noteOrientation(turned, false, log);
    }

    private static NpyWriter writer(Path npy, int n, int size) {
        try {
            return NpyWriter.create(npy, NpyType.U8, n, size, size, 3);
        } catch (InputException e) { // such as a full disk
            throw new InputException(
                    "cache of decoded photographs", String.valueOf(e.getMessage()), "--cache names another folder", e);
        }
    }

    /** Number of photographs. */
    public int count() {
        return (int) file.rows();
    }

    /** Side of a photograph, in pixels. */
    public int size() {
        return size;
    }

    /** The folder of the cache's file. */
    public Path folder() {
        return AtomicFiles.folderOf(file.path());
    }

    /** Tells these photographs, at their size and as they were decoded, from all others. */
    public String identity() {
        return file.path().getFileName().toString();
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
