// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.cortigan.InputException;

/**
 * A folder that is written under a hidden name beside its place, {@code .NAME.partial}. {@link #commit} gives it its
 * name in one atomic move; {@link #close} without commit deletes it. Nobody else may write the same folder until then,
 * see {@link FolderLock}. What a killed process left is deleted by the next one.
 */
public final class PendingFolder implements AutoCloseable {
    private final Path target;
    private final Path temp;
    private final FolderLock lock;
    private boolean done;

    /**
     * Creates the hidden folder and the folders above it.
     *
     * @param log receives messages for the user
     * @throws InputException if the target exists already, its parent is not writable, or somebody else writes it now
     */
    public PendingFolder(Path target, Consumer<String> log) {
        this.target = target;
        temp = target.resolveSibling("." + target.getFileName() + ".partial");
        requireNew();
        if (Files.isSymbolicLink(temp))
            throw new InputException(temp.toString(), "is a link, where a folder is to be written", "Remove the link");
        lock = FolderLock.take(temp, PendingFolder.class, log);
        try {
            requireNew(); // whoever had the lock before may have made it
            clear();
        } catch (RuntimeException | Error e) {
            lock.closeAndDelete();
            throw e;
        }
    }

    private void requireNew() {
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS))
            throw new InputException(target.toString(), "exists already", "Choose another folder or remove it");
    }

    /** The hidden folder. */
    public Path path() {
        return temp;
    }

    /** Creates a folder in the hidden folder. */
    public Path create(String name) {
        Path folder = temp.resolve(name);
        AtomicFiles.createFolder(folder);
        return folder;
    }

    /**
     * Moves the files of a folder in the hidden folder to a folder outside, where they replace those of their names.
     */
    public void moveOut(Path from, Path to) {
        AtomicFiles.createFolder(to);
        try (Stream<Path> files = Files.list(from)) {
            for (Path p : files.toList()) Files.move(p, to.resolve(p.getFileName()), StandardCopyOption.ATOMIC_MOVE);
            Files.delete(from);
        } catch (IOException e) {
            throw AtomicFiles.failed(target, e);
        }
    }

    /**
     * Checks that a folder in the hidden folder has all files that were written to it.
     *
     * @throws InputException if somebody has deleted or added some
     */
    public void requireFiles(String name, int count) {
        try (Stream<Path> files = Files.list(temp.resolve(name))) {
            long has = files.count();
            if (has != count)
                throw new InputException(
                        temp.resolve(name).toString(),
                        "has " + has + " files, but " + count + " were written: another program changed the folder",
                        "Start again");
        } catch (IOException e) {
            throw InputFiles.unreadable(temp.resolve(name), e);
        }
    }

    /** Gives the folder its name. */
    public void commit() {
        try {
            lock.moveTo(target);
            done = true;
        } catch (IOException e) {
            throw AtomicFiles.failed(target, e);
        }
    }

    @Override
    public void close() {
        if (done) return;
        done = true;
        try {
            clear();
        } finally {
            lock.closeAndDelete();
        }
    }

    /** Deletes all in the hidden folder but the file of the lock. */
    private void clear() {
        try {
            List<Path> all;
            try (Stream<Path> s = Files.walk(temp)) {
                all = s.sorted(Comparator.reverseOrder()).toList();
            }
            for (Path p : all) if (!p.equals(temp) && !FolderLock.isLock(p)) Files.delete(p);
        } catch (IOException e) {
            throw new InputException(
                    temp.toString(),
                    "the unfinished folder cannot be deleted: " + InputFiles.reason(e),
                    "Delete the folder by hand",
                    e);
        }
    }
}
