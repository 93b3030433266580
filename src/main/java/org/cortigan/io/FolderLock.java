// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Reserves a folder for one writer, by a lock of the operating system on the file {@code .lock} in it. The system frees
 * the lock when the process ends in any way, so a file that is left over reserves nothing. Readers need no lock.
 */
public final class FolderLock implements AutoCloseable {
    private static final String NAME = ".lock", ANOTHER = "another process";
    private static final int MAX_OWNER_BYTES = 300;

    /**
     * The locks of this JVM, by the identity of the folder. The system's locks belong to the process: opening the file
     * a second time and closing it would free the lock of the first channel.
     */
    private static final Map<Object, Held> HELD = new HashMap<>();

    /**
     * @param channel has the lock; null on a file system without locks
     * @param made the folder and those above it that the first holder made, from the innermost on
     * @param holders kinds of holders in this JVM
     */
    private record Held(
            Path folder, @Nullable FileChannel channel, List<Path> made, Instant since, Set<Class<?>> holders) {}

    private final Object folder;
    private final Class<?> holder;
    private boolean closed;

    private FolderLock(Object folder, Class<?> holder) {
        this.folder = folder;
        this.holder = holder;
    }

    /**
     * Reserves a folder, and makes it and those above it first if they do not exist. {@link #close} deletes what was
     * made so if nothing is in it. Where the file system has no locks, the log says so and nothing is reserved against
     * other processes.
     *
     * @param holder kind of the holder: within a JVM, holders of different kinds share the lock, such as a command and
     *     the parts of its run
     * @param log receives messages for the user
     * @throws InputException if another process has reserved the folder, or another holder of this kind; or if the
     *     folder cannot be made
     */
    public static FolderLock take(Path folder, Class<?> holder, Consumer<String> log) {
        synchronized (HELD) {
            List<Path> made = missing(folder);
            AtomicFiles.createFolder(folder);
            Object identity = identity(folder);
            Held held = HELD.get(identity);
            if (held == null) {
                held = new Held(folder.toAbsolutePath(), lock(folder, log), made, Instant.now(), new HashSet<>());
                HELD.put(identity, held);
            }
            if (!held.holders.add(holder)) throw inUse(folder, "this process since " + held.since);
            return new FolderLock(identity, holder);
        }
    }

    /**
     * Reserves a folder as {@link #take} does, if somebody has reserved it before: it is a folder of runs.
     *
     * @return null if nobody has
     */
    public static @Nullable FolderLock takeIfUsed(Path folder, Class<?> holder, Consumer<String> log) {
        return Files.exists(folder.resolve(NAME)) ? take(folder, holder, log) : null;
    }

    private static List<Path> missing(Path folder) {
        List<Path> missing = new ArrayList<>();
        for (Path p = folder.toAbsolutePath(); p != null && !Files.exists(p); p = p.getParent()) missing.add(p);
        return missing;
    }

    /** The same for every path that leads to the folder. */
    private static Object identity(Path folder) {
        try {
            Object key = Files.readAttributes(folder, BasicFileAttributes.class).fileKey();
            return key == null ? folder.toRealPath() : key;
        } catch (IOException e) {
            throw InputFiles.unreadable(folder, e);
        }
    }

    private static @Nullable FileChannel lock(Path folder, Consumer<String> log) {
        Path file = folder.resolve(NAME);
        FileChannel channel = null;
        try {
            channel = FileChannel.open(
                    file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            FileLock lock = channel.tryLock();
            if (lock == null) {
                String owner = owner(channel);
                channel.close();
                throw inUse(folder, owner);
            }
            // The holder before may have deleted the file between the opening and the lock. A file of that name with
            // content is then another process's, which has locked it.
            channel.truncate(0);
            if (!Files.exists(file) || Files.size(file) > 0) {
                channel.close();
                throw inUse(folder, ANOTHER);
            }
        } catch (OverlappingFileLockException e) {
            // Another class loader of this JVM has the lock.
            throw inUse(folder, "this process");
        } catch (IOException e) {
            close(channel);
            if (!Files.exists(folder)) throw inUse(folder, ANOTHER); // it has deleted the folder
            log.accept("warning: " + file + " cannot be locked (" + InputFiles.reason(e)
                    + "): do not let a second command write to this folder");
            return null;
        }
        name(channel);
        return channel;
    }

    /** Writes the owner for messages of other processes. The lock does not depend on it, so a full disk is no error. */
    private static void name(FileChannel channel) {
        String owner = "process " + ProcessHandle.current().pid() + " on " + host() + " since " + Instant.now();
        try {
            channel.write(ByteBuffer.wrap(owner.getBytes(StandardCharsets.UTF_8)), 0);
        } catch (IOException e) {
            // Others then say "another process".
        }
    }

    private static String owner(FileChannel channel) throws IOException {
        String text = new String(InputFiles.read(channel, MAX_OWNER_BYTES), StandardCharsets.UTF_8);
        return text.matches("process \\d+ on \\S+ since [\\d:.TZ-]+") ? text : ANOTHER;
    }

    private static String host() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname"))
                    .strip()
                    .replaceAll("[^A-Za-z0-9.-]", "_");
        } catch (IOException e) {
            return "an-unknown-host";
        }
    }

    private static InputException inUse(Path folder, String owner) {
        return new InputException(
                folder.toString(), "is in use by " + owner, "Wait until that command ends, or choose another folder");
    }

    private static void close(@Nullable FileChannel channel) {
        try {
            if (channel != null) channel.close();
        } catch (IOException e) {
            // Closing frees the lock in any case; nothing of value was written.
        }
    }

    @Override
    public void close() {
        close(null, false);
    }

    /** Frees the lock, and deletes the folder if nothing is in it, whoever made it. */
    void closeAndDelete() {
        close(null, true);
    }

    /**
     * Gives the folder another name in one atomic move, and frees the lock.
     *
     * @throws IOException if that fails; the folder then keeps its name and its lock
     */
    void moveTo(Path target) throws IOException {
        synchronized (HELD) {
            Held held = HELD.get(folder);
            if (closed || held == null) throw new IllegalStateException("the lock is not held");
            Files.move(held.folder, target, StandardCopyOption.ATOMIC_MOVE);
            close(target, false);
        }
    }

    /** @param moved where the folder is now; null if it has its name still */
    private void close(@Nullable Path moved, boolean delete) {
        synchronized (HELD) {
            Held held = HELD.get(folder);
            if (closed || held == null) return;
            closed = true;
            held.holders.remove(holder);
            if (!held.holders.isEmpty()) return;
            HELD.remove(folder);
            boolean empty = moved == null && (delete || !held.made.isEmpty()) && isEmpty(held.folder);
            try {
                // While the lock is held: afterwards the file may be that of the next holder.
                if (empty) Files.deleteIfExists(held.folder.resolve(NAME));
                else if (moved != null) Files.deleteIfExists(moved.resolve(NAME));
                close(held.channel);
                if (!empty) return;
                Files.deleteIfExists(held.folder);
                for (Path p : held.made) Files.deleteIfExists(p);
            } catch (IOException e) {
                // Somebody else has begun to use the folder, or a file that reserves nothing is left over.
                close(held.channel);
            }
        }
    }

    /** Whether a folder has nothing but the file of the lock. */
    private static boolean isEmpty(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.allMatch(FolderLock::isLock);
        } catch (IOException e) {
            return false;
        }
    }

    /** Whether a file is that of a lock. */
    static boolean isLock(Path file) {
        return file.endsWith(NAME);
    }
}
