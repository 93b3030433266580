// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.ChildJvm;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FolderLockTest {
    private static final Consumer<String> SILENT = line -> {
        throw new AssertionError(line);
    };

    /** Takes the lock of the folder args[0], says so, and keeps it until it is killed. */
    public static final class Other {
        public static void main(String[] args) throws Exception {
            FolderLock.take(Path.of(args[0]), Other.class, SILENT);
            System.out.println("locked");
            Thread.sleep(60_000);
        }
    }

    @Test
    void anotherProcessIsNamedAndItsDeathFreesTheFolder(@TempDir Path dir) throws Exception {
        Process p = ChildJvm.start(Other.class, dir, "locked");
        InputException e = assertThrows(InputException.class, () -> FolderLock.take(dir, FolderLockTest.class, SILENT));
        assertTrue(e.getMessage().startsWith(dir + ": is in use by process " + p.pid() + " on "), e.getMessage());
        p.destroyForcibly().waitFor();
        FolderLock.take(dir, FolderLockTest.class, SILENT).close();
    }

    @Test
    void holdersOfDifferentKindsShareTheLockOfTheirProcess(@TempDir Path dir) throws Exception {
        Path link = Files.createSymbolicLink(dir.resolve("link"), dir);
        FolderLock a = FolderLock.take(dir, FolderLockTest.class, SILENT);
        FolderLock b = FolderLock.take(link, Other.class, SILENT);
        for (Path path : List.of(dir, link))
            assertThrows(InputException.class, () -> FolderLock.take(path, FolderLockTest.class, SILENT));
        a.close();
        a.close();
        assertThrows(InputException.class, () -> FolderLock.take(dir, Other.class, SILENT));
        FolderLock.take(dir, FolderLockTest.class, SILENT).close();
        b.close();
        FolderLock.take(dir, Other.class, SILENT).close();
    }

    @Test
    void aFileLeftOverOrOfAnotherKindReservesNothing(@TempDir Path dir) throws Exception {
        Files.writeString(dir.resolve(".lock"), "process 1 on elsewhere since 2026-01-01T00:00:00Z and more text");
        FolderLock.take(dir, FolderLockTest.class, SILENT).close();
        String owner = Files.readString(dir.resolve(".lock"));
        assertTrue(owner.matches("process " + ProcessHandle.current().pid() + " on \\S+ since \\S+"), owner);
        Files.delete(dir.resolve(".lock"));
        Files.createDirectory(dir.resolve(".lock"));
        List<String> said = new ArrayList<>();
        FolderLock held = FolderLock.take(dir, FolderLockTest.class, said::add);
        assertTrue(said.get(0).contains(".lock cannot be locked ("), said.get(0));
        assertThrows(InputException.class, () -> FolderLock.take(dir, FolderLockTest.class, SILENT));
        held.close();
    }

    @Test
    void aFolderThatWasMadeForTheLockGoesWithItIfItIsEmpty(@TempDir Path dir) throws Exception {
        Path run = dir.resolve("runs/a");
        FolderLock a = FolderLock.take(run, FolderLockTest.class, SILENT);
        FolderLock b = FolderLock.take(run, Other.class, SILENT);
        a.close();
        assertTrue(Files.exists(run.resolve(".lock")));
        b.close();
        assertFalse(Files.exists(dir.resolve("runs")));
        try (FolderLock lock = FolderLock.take(run, FolderLockTest.class, SILENT)) {
            Files.writeString(run.resolve("recipe.yaml"), "");
        }
        FolderLock.take(run, FolderLockTest.class, SILENT).close();
        assertTrue(Files.exists(run.resolve("recipe.yaml")) && Files.exists(run.resolve(".lock")));
    }
}
