// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.cortigan.InputException;

/**
 * A folder that is written under a hidden name beside its place, {@code .NAME.partial}. {@link #commit} gives it its
 * name in one atomic move; {@link #close} without commit deletes it. What a killed process left is deleted by the next
 * one that writes the same folder.
 */
public final class PendingFolder implements AutoCloseable {
    private final Path target;
    private final Path temp;
    private boolean done;

    /**
     * Creates the hidden folder and the folders above it.
     *
     * @throws InputException if the target exists already or its parent is not writable
     */
    public PendingFolder(Path target) {
        this.target = target;
        temp = target.resolveSibling("." + target.getFileName() + ".partial");
        if (Files.exists(target))
            throw new InputException(target.toString(), "exists already", "Choose another folder or remove it");
        try {
            delete(temp);
        } catch (IOException e) {
            throw AtomicFiles.failed(target, e);
        }
        AtomicFiles.createFolder(temp);
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

    /** Gives the folder its name. */
    public void commit() {
        try {
            Files.move(temp, target, StandardCopyOption.ATOMIC_MOVE);
            done = true;
        } catch (IOException e) {
            throw AtomicFiles.failed(target, e);
        }
    }

    @Override
    public void close() {
        if (done) return;
        try {
            delete(temp);
        } catch (IOException e) {
            throw new InputException(
                    temp.toString(),
                    "the unfinished folder cannot be deleted: " + InputFiles.reason(e),
                    "Delete the folder by hand",
                    e);
        }
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) return;
        List<Path> all;
        try (Stream<Path> s = Files.walk(folder)) {
            all = s.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path p : all) Files.delete(p);
    }
}
