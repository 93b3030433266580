// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Writes whole files atomically: readers see the complete file or none, even if the process dies. The bytes go to a
 * temporary file in the target's folder, are forced to disk, and get the target's name in one atomic move. A failure
 * deletes the temporary file, keeps an older target unchanged, and throws {@link InputException} with path and remedy.
 */
public final class AtomicFiles {
    /** A disk with less free space than this is full, in bytes: a block or two, which even an empty file may need. */
    private static final long FULL = 1 << 16;

    /** The end of a temporary file's name. */
    private static final String TEMPORARY = ".tmp";

    /** A writer that has written nothing for this long is dead. */
    public static final Duration ABANDONED = Duration.ofHours(1);

    private AtomicFiles() {}

    /** A consumer that may throw an IOException. */
    @FunctionalInterface
    public interface IOConsumer<T> {
        void accept(T t) throws IOException;
    }

    /** A file that is being written and has not got its name yet. */
    public interface Unnamed {
        /** Brings all bytes to disk; {@link #commit} then only gives the file its name. */
        void finish();

        /** Completes the file and gives it its name. */
        void commit();
    }

    /** Opens the temporary file. Tests replace it to simulate a full disk. */
    @FunctionalInterface
    interface Opener {
        Opener NEW_FILE = p -> FileChannel.open(p, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);

        FileChannel open(Path temp) throws IOException;

        /** As {@link AtomicFiles#freeBytes}. */
        default long freeBytes(Path folder) {
            return AtomicFiles.freeBytes(folder);
        }
    }

    /**
     * Replaces {@code target} with what {@code body} writes to a buffered stream, which {@code body} need not close.
     */
    public static void write(Path target, IOConsumer<OutputStream> body) {
        write(target, body, Opener.NEW_FILE);
    }

    static void write(Path target, IOConsumer<OutputStream> body, Opener opener) {
        deleteAbandoned(folderOf(target), ABANDONED, target.getFileName() + ".");
        try (Pending pending = new Pending(target, -1, opener)) {
            try {
                OutputStream out = new BufferedOutputStream(Channels.newOutputStream(pending.channel), 1 << 16);
                body.accept(out);
                out.flush();
            } catch (IOException e) {
                throw pending.failed(e);
            }
            pending.commit();
        }
    }

    /** Replaces {@code target} with these bytes. */
    public static void write(Path target, byte[] bytes) {
        try (Pending pending = new Pending(target, bytes.length, Opener.NEW_FILE)) {
            pending.write(ByteBuffer.wrap(bytes));
            pending.commit();
        }
    }

    /** Replaces {@code target} with this text in UTF-8. */
    public static void writeString(Path target, String text) {
        write(target, text.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Replaces files of a folder that belong together. All are on disk under temporary names before the first gets its
     * name, so that a full disk changes none.
     *
     * @param folder created if it does not exist
     * @param files content by name; null deletes the file of that name
     * @param arrays more files of the folder, which have all their rows
     */
    public static void write(Path folder, Map<String, byte @Nullable []> files, Unnamed... arrays) {
        inFolder(folder, () -> writeAll(folder, files, arrays));
    }

    private static void writeAll(Path folder, Map<String, byte @Nullable []> files, Unnamed... arrays) {
        deleteAbandoned(
                folder, ABANDONED, files.keySet().stream().map(n -> n + ".").toArray(String[]::new));
        List<Pending> pending = new ArrayList<>();
        try {
            for (Unnamed a : arrays) a.finish();
            files.forEach((name, bytes) -> {
                if (bytes == null) return;
                Pending p = new Pending(folder.resolve(name), bytes.length, Opener.NEW_FILE);
                pending.add(p);
                p.write(ByteBuffer.wrap(bytes));
                p.finish();
            });
            // What says of which arrays they are is missing for a moment, but is never beside other arrays.
            files.forEach((name, bytes) -> {
                if (bytes == null || arrays.length > 0) deleteIfExists(folder.resolve(name));
            });
            for (Unnamed a : arrays) a.commit();
            pending.forEach(Pending::commit);
        } finally {
            pending.forEach(Pending::close);
        }
    }

    /**
     * Runs what writes to a folder. The folder is created if it does not exist, and then deleted if that fails and
     * leaves it empty.
     */
    public static void inFolder(Path folder, Runnable body) {
        boolean isNew = Files.notExists(folder);
        createFolder(folder);
        try {
            body.run();
        } catch (RuntimeException | Error e) {
            try {
                if (isNew) Files.delete(folder);
            } catch (IOException kept) {
                e.addSuppressed(kept);
            }
            throw e;
        }
    }

    /**
     * Deletes temporary files that processes left which died while they wrote.
     *
     * @param age time since the last write; nobody may write the targets now if it is zero
     * @param targets starts of the targets' names
     */
    public static void deleteAbandoned(Path folder, Duration age, String... targets) {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path p : files.toList()) {
                String name = p.getFileName().toString();
                if (name.endsWith(TEMPORARY)
                        && Arrays.stream(targets).anyMatch(t -> name.startsWith("." + t))
                        && Files.getLastModifiedTime(p)
                                .toInstant()
                                .isBefore(Instant.now().minus(age))) Files.deleteIfExists(p);
            }
        } catch (IOException | UncheckedIOException e) {
            // They only cost space, and another process may have deleted them first.
        }
    }

    /** Deletes a file that no longer belongs to the others of its folder. */
    public static void deleteIfExists(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new InputException(
                    file.toString(), "cannot be deleted: " + InputFiles.reason(e), "Delete the file by hand", e);
        }
    }

    /** Appends this text in UTF-8 to a file, which is created if it does not exist. A failure appends nothing. */
    public static void append(Path file, String text) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            long size = channel.size();
            channel.position(size);
            try {
                ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
            } catch (IOException e) {
                channel.truncate(size);
                if (size == 0) {
                    Files.delete(file);
                }
                throw e;
            }
        } catch (IOException e) {
            throw failed(file, e);
        }
    }

    /**
     * Creates a folder and its parents. A link to a folder is a folder.
     *
     * @throws InputException if that fails
     */
    public static void createFolder(Path folder) {
        if (Files.isDirectory(folder)) return; // before Java 19, Files.createDirectories refuses links
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            Path there = folder.toAbsolutePath();
            while (!Files.exists(there, LinkOption.NOFOLLOW_LINKS) && there.getParent() != null) {
                there = there.getParent();
            }
            if (Files.isDirectory(there)) {
                throw failed(folder, e);
            }
            throw new InputException(
                    folder.toString(),
                    "cannot be created: " + there + " is no folder",
                    "Choose another name or remove that file",
                    e);
        }
    }

    /**
     * Tells whether files can be written to a folder, without creating it: writes a file to it, or to the nearest
     * folder above it that exists.
     *
     * @param needBytes size of the files, or 0
     * @return the reason if they cannot, or null
     */
    public static @Nullable String unwritable(Path folder, long needBytes) {
        Path there = folder.toAbsolutePath();
        while (!Files.exists(there, LinkOption.NOFOLLOW_LINKS) && there.getParent() != null) {
            there = there.getParent();
        }
        if (!Files.isDirectory(there)) {
            return there + " is no folder";
        }
        try {
            Files.delete(Files.createTempFile(there, ".", TEMPORARY));
        } catch (IOException e) {
            if (e instanceof NoSuchFileException) { // as /proc says of every name
                return "no files can be created in " + there;
            }
            return InputFiles.reason(e);
        }
        long free = freeBytes(there);
        return free >= 0 && free < needBytes
                ? "the disk is full: " + needBytes + " bytes are needed, " + free + " are free"
                : null;
    }

    /** Bytes that a folder's disk has free; -1 where the system does not tell. */
    public static long freeBytes(Path folder) {
        try {
            FileStore disk = Files.getFileStore(folder);
            // Some network and FUSE file systems report a size of 0. Blocks reserved for root count as free: who may
            // not
            // use them learns that from the write itself.
            return disk.getTotalSpace() > 0 ? disk.getUnallocatedSpace() : -1;
        } catch (IOException e) {
            // A chroot's root need not be a mount point, and then Java finds no file store for it.
            return -1;
        }
    }

    /** The exception for a file or folder that cannot be written. */
    public static InputException failed(Path target, IOException e) {
        return failed(target, e, -1, Opener.NEW_FILE);
    }

    /** @param needBytes bytes that the file has when it is complete; -1 if unknown */
    private static InputException failed(Path target, IOException e, long needBytes, Opener opener) {
        Path folder = folderOf(target);
        String reason = InputFiles.reason(e);
        if (e instanceof NoSuchFileException)
            return new InputException(target.toString(), "its folder does not exist", "Create the folder " + folder, e);
        // The system words its reasons in the user's language, so they decide nothing that can be asked otherwise.
        String lower = reason.toLowerCase(Locale.ROOT);
        boolean fileAlone = Files.exists(target) && !Files.isWritable(target) && Files.isWritable(folder);
        if (e instanceof AccessDeniedException || Files.isDirectory(folder) && !Files.isWritable(folder))
            return new InputException(
                    target.toString(),
                    (fileAlone ? "is not writable (" : "its folder is not writable (") + reason + ")",
                    lower.contains("read-only")
                            ? "Choose a folder on another disk"
                            : "Change the permissions of " + (fileAlone ? target : folder)
                                    + " or choose another folder",
                    e);
        long free = opener.freeBytes(folder);
        if (lower.contains("no space left") || lower.contains("quota") || free >= 0 && free < FULL)
            return full(target, needBytes, free, e);
        return new InputException(
                target.toString(), "cannot be written: " + reason, "Check the folder " + folder + " and its disk", e);
    }

    private static InputException full(Path target, long needBytes, long freeBytes, @Nullable IOException e) {
        if (freeBytes >= Math.max(FULL, needBytes))
            return new InputException(
                    target.toString(),
                    "the disk takes no more files or data, though " + freeBytes
                            + " bytes are free: its inodes (the number of files), a quota, or all but what root reserves are used up",
                    "Delete files or choose a folder on another disk",
                    e);
        String figures = needBytes < 0
                ? ""
                : ": " + needBytes + " bytes are needed" + (freeBytes < 0 ? "" : ", " + freeBytes + " are free");
        return new InputException(
                target.toString(),
                "the disk is full" + figures,
                "Free disk space or choose a folder on another disk",
                e);
    }

    /** The folder that a file is in. */
    public static Path folderOf(Path target) {
        Path folder = target.toAbsolutePath().getParent();
        return folder == null ? target.toAbsolutePath() : folder;
    }

    /** A file being written. {@link #commit} gives it its name; {@link #close} without commit deletes it. */
    static final class Pending implements AutoCloseable, Unnamed {
        final FileChannel channel;
        private final Path target;
        private final Path temp;
        private final long needBytes;
        private final Opener opener;
        private boolean done;

        /** @param needBytes final size of the file; -1 if unknown */
        Pending(Path target, long needBytes, Opener opener) {
            this.target = target;
            this.needBytes = needBytes;
            this.opener = opener;
            Path folder = folderOf(target);
            if (Files.isDirectory(target)) {
                throw new InputException(
                        target.toString(),
                        "is a folder, but a file is to be written",
                        "Choose another name or remove the folder");
            }
            temp = folder.resolve("." + target.getFileName() + "."
                    + Long.toHexString(ThreadLocalRandom.current().nextLong()) + TEMPORARY);
            // Only a courtesy, which spares the disk a file that cannot fit: the write itself reports a full disk too.
            long free = opener.freeBytes(folder);
            if (free >= 0 && free < needBytes) {
                throw full(target, needBytes, free, null);
            }
            try {
                channel = opener.open(temp);
            } catch (IOException e) {
                throw failed(e);
            }
        }

        void write(ByteBuffer bytes) {
            try {
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
            } catch (IOException e) {
                throw failed(e);
            }
        }

        @Override
        public void finish() {
            if (!channel.isOpen()) {
                return;
            }
            try {
                channel.force(true);
                channel.close();
            } catch (IOException e) {
                throw failed(e);
            }
        }

        @Override
        public void commit() {
            finish();
            try {
                Files.move(temp, target, StandardCopyOption.ATOMIC_MOVE);
                done = true;
            } catch (IOException e) {
                throw failed(e);
            }
            try (FileChannel folder = FileChannel.open(temp.getParent(), StandardOpenOption.READ)) {
                folder.force(true);
            } catch (IOException e) {
                // Some systems cannot open folders (Windows). The file is complete; the system decides when its new
                // name is durable.
            }
        }

        @Override
        public void close() {
            if (done) {
                return;
            }
            done = true;
            try {
                channel.close();
                Files.deleteIfExists(temp);
            } catch (IOException e) {
                throw new InputException(
                        temp.toString(),
                        "the unfinished file cannot be deleted: " + InputFiles.reason(e),
                        "Delete the file by hand",
                        e);
            }
        }

        InputException failed(IOException e) {
            return AtomicFiles.failed(target, e, needBytes, opener);
        }
    }
}
