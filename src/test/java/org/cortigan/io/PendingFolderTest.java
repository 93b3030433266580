// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.cortigan.ChildJvm;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PendingFolderTest {
    private static final Consumer<String> SILENT = line -> {
        throw new AssertionError(line);
    };

    /** Begins to write the folder args[0], says so, and goes on until it is killed. */
    public static final class Other {
        public static void main(String[] args) throws Exception {
            PendingFolder f = new PendingFolder(Path.of(args[0]), SILENT);
            Files.writeString(f.create("images").resolve("1.png"), "");
            System.out.println("writing");
            Thread.sleep(60_000);
        }
    }

    @TempDir
    Path dir;

    private List<String> files(Path folder) throws IOException {
        try (Stream<Path> s = Files.walk(folder)) {
            return s.filter(p -> !p.equals(folder))
                    .map(p -> folder.relativize(p).toString())
                    .sorted()
                    .toList();
        }
    }

    @Test
    void oneProcessAtATimeWritesAFolder() throws Exception {
        Path target = dir.resolve("subj01"), hidden = dir.resolve(".subj01.partial");
        Process p = ChildJvm.start(Other.class, target, "writing");
        refused(() -> new PendingFolder(target, SILENT), hidden + ": is in use by process " + p.pid() + " on ");
        assertTrue(Files.exists(hidden.resolve("images/1.png")));
        p.destroyForcibly().waitFor();
        try (PendingFolder f = new PendingFolder(target, SILENT)) {
            assertEquals(List.of(".lock"), files(hidden));
            refused(() -> new PendingFolder(target, SILENT), hidden + ": is in use by this process since ");
            Files.writeString(f.create("images").resolve("2.png"), "");
            f.requireFiles("images", 1);
            refused(() -> f.requireFiles("images", 2), "has 1 files, but 2 were written");
            f.commit();
        }
        assertEquals(List.of("subj01", "subj01/images", "subj01/images/2.png"), files(dir));
        refused(() -> new PendingFolder(target, SILENT), target + ": exists already");
        assertEquals(3, files(dir).size());
    }

    @Test
    void aFailureLeavesNothing() throws Exception {
        new PendingFolder(dir.resolve("new/data/subj01"), SILENT).close();
        assertEquals(List.of(), files(dir));
        Path left = Files.createDirectories(dir.resolve(".subj01.partial/images"));
        Files.writeString(left.resolve("1.png"), "");
        new PendingFolder(dir.resolve("subj01"), SILENT).close();
        assertEquals(List.of(), files(dir));
        try (PendingFolder f = new PendingFolder(dir.resolve("new/subj01"), SILENT)) {
            Files.createDirectory(dir.resolve("new/subj02"));
        }
        assertEquals(List.of("new", "new/subj02"), files(dir));
        assertFalse(Files.exists(dir.resolve("new/.subj01.partial")));
    }
}
