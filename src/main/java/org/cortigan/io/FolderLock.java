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
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Reserves a folder for one writer, by a lock of the operating system on the file {@code .lock} in it. The system frees
 * the lock when the process ends in any way, so a file that is left over reserves nothing; it is never deleted, because
 * another process may have opened it already. Readers need no lock.
 */
public final class FolderLock implements AutoCloseable {
    private static final String NAME = ".lock";
    private static final int MAX_OWNER_BYTES = 300;

    /**
     * The locks of this JVM, by the identity of the folder. The system's locks belong to the process: opening the file
     * a second time and closing it would free the lock of the first channel.
     */
    private static final Map<Object, Held> HELD = new HashMap<>();

    /**
     * @param channel has the lock; null on a file system without locks
     * @param holders kinds of holders in this JVM
     */
    private record Held(@Nullable FileChannel channel, Instant since, Set<Class<?>> holders) {}

    private final Object folder;
    private final Class<?> holder;
    private boolean closed;

    private FolderLock(Object folder, Class<?> holder) {
        this.folder = folder;
        this.holder = holder;
    }

    /**
     * Reserves an existing folder. Where the file system has no locks, the log says so and nothing is reserved against
     * other processes.
     *
     * @param holder kind of the holder: within a JVM, holders of different kinds share the lock, such as a command and
     *     the parts of its run
     * @param log receives messages for the user
     * @throws InputException if another process has reserved the folder, or another holder of this kind
     */
    public static FolderLock take(Path folder, Class<?> holder, Consumer<String> log) {
        synchronized (HELD) {
            Object identity = identity(folder);
            Held held = HELD.get(identity);
            if (held == null) {
                held = new Held(lock(folder, log), Instant.now(), new HashSet<>());
                HELD.put(identity, held);
            }
            if (!held.holders.add(holder)) throw inUse(folder, "this process since " + held.since);
            return new FolderLock(identity, holder);
        }
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
        } catch (OverlappingFileLockException e) {
            // Another class loader of this JVM has the lock.
            throw inUse(folder, "this process");
        } catch (IOException e) {
            close(channel);
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
            channel.truncate(0);
            channel.write(ByteBuffer.wrap(owner.getBytes(StandardCharsets.UTF_8)), 0);
        } catch (IOException e) {
            // Others then say "another process".
        }
    }

    private static String owner(FileChannel channel) throws IOException {
        String text = new String(InputFiles.read(channel, MAX_OWNER_BYTES), StandardCharsets.UTF_8);
        return text.matches("process \\d+ on \\S+ since [\\d:.TZ-]+") ? text : "another process";
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
                folder.toString(), "is in use by " + owner, "Wait until that run ends, or choose another folder");
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
        synchronized (HELD) {
            Held held = HELD.get(folder);
            if (closed || held == null) return;
            closed = true;
            held.holders.remove(holder);
            if (!held.holders.isEmpty()) return;
            HELD.remove(folder);
            close(held.channel);
        }
    }
}
