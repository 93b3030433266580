// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.names;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFilesTest {
    /** Creates the temporary file, then opens /dev/full, on which every write fails for lack of space. */
    private static final AtomicFiles.Opener FULL_DISK = new AtomicFiles.Opener() {
        @Override
        public FileChannel open(Path temp) throws IOException {
            Files.createFile(temp);
            return FileChannel.open(Path.of("/dev/full"), StandardOpenOption.WRITE);
        }

        @Override
        public long freeBytes(Path folder) {
            return -1;
        }
    };

    /** A folder of which the system tells this free space, and of which a write fails for this reason, if any. */
    private record Disk(long freeBytes, @Nullable String failure) implements AtomicFiles.Opener {
        @Override
        public FileChannel open(Path temp) throws IOException {
            if (failure != null) throw new FileSystemException(temp.toString(), null, failure);
            return NEW_FILE.open(temp);
        }

        @Override
        public long freeBytes(Path folder) {
            return freeBytes;
        }
    }

    @TempDir
    Path dir;

    @Test
    void aWriteReplacesTheFileAndLeavesNoOther() throws IOException {
        Path p = dir.resolve("a.txt");
        AtomicFiles.writeString(p, "one");
        AtomicFiles.writeString(p, "caf\u00e9");
        assertEquals("caf\u00e9", Files.readString(p));
        AtomicFiles.write(p, out -> out.write(new byte[200_000]));
        assertEquals(200_000, Files.size(p));
        assertEquals(List.of("a.txt"), names(dir));
    }

    @Test
    void aFailingWriteKeepsTheOldFile() throws IOException {
        Path p = Files.writeString(dir.resolve("a.txt"), "old");
        refused(
                () -> AtomicFiles.write(p, out -> {
                    out.write(new byte[100_000]);
                    throw new IOException("the source broke");
                }),
                "a.txt",
                "the source broke");
        assertThrows(
                IllegalStateException.class,
                () -> AtomicFiles.write(p, out -> {
                    throw new IllegalStateException();
                }));
        assertEquals("old", Files.readString(p));
        assertEquals(List.of("a.txt"), names(dir));
    }

    @Test
    void aFullDiskIsReportedWithTheNeededSpace() throws IOException {
        assumeTrue(Files.exists(Path.of("/dev/full")), "this system has no /dev/full");
        Path p = Files.writeString(dir.resolve("a.npy"), "old");
        refused(
                () -> NpyWriter.create(p, NpyType.F32, FULL_DISK, 1000),
                "a.npy",
                "disk is full",
                "4128 bytes are needed",
                "Free disk space");
        SafeTensors.Writer tensors = new SafeTensors.Writer(p).add("w", new float[1000], 1000);
        refused(() -> tensors.commit(FULL_DISK), "a.npy", "disk is full", "bytes are needed");
        refused(() -> AtomicFiles.write(p, out -> out.write(new byte[1 << 20]), FULL_DISK), "a.npy", "disk is full");
        refused(() -> AtomicFiles.write(p, out -> out.write(1), FULL_DISK), "a.npy", "disk is full"); // at the flush
        assertEquals("old", Files.readString(p));
        assertEquals(List.of("a.npy"), names(dir));
    }

    @Test
    void filesThatBelongTogetherAreReplacedTogether() throws IOException {
        Path out = dir.resolve("new/out");
        AtomicFiles.write(out, Map.of("a", new byte[] {1}, "b", new byte[] {2}));
        // The second call fails after it has written "b" under another name, because there is no folder "c".
        Map<String, byte @Nullable []> files = new LinkedHashMap<>();
        files.put("b", new byte[] {3});
        files.put("a", null);
        files.put("c/d", new byte[] {4});
        refused(() -> AtomicFiles.write(out, files), "c/d");
        assertEquals(List.of("a", "b"), names(out));
        assertArrayEquals(new byte[] {2}, Files.readAllBytes(out.resolve("b")));
        files.remove("c/d");
        AtomicFiles.write(out, files);
        assertEquals(List.of("b"), names(out));
        assertArrayEquals(new byte[] {3}, Files.readAllBytes(out.resolve("b")));
        Path other = dir.resolve("other");
        refused(() -> AtomicFiles.write(other, Map.of("c/d", new byte[1])), "c/d");
        assertFalse(Files.exists(other), "the folder was made for this");
        try (NpyWriter rows = NpyWriter.create(out.resolve("r.npy"), NpyType.F32, 1)) {
            rows.writeRow(new float[1], 0, 1);
            refused(() -> AtomicFiles.write(out, Map.of("c/d", new byte[1]), rows), "c/d");
        }
        assertEquals(List.of("b"), names(out));
        try (NpyWriter rows = NpyWriter.create(out.resolve("r.npy"), NpyType.F32, 1)) {
            rows.writeRow(new float[1], 0, 1);
            AtomicFiles.write(out, Map.of("b", new byte[] {5}), rows);
        }
        assertEquals(List.of("b", "r.npy"), names(out));
        assertArrayEquals(new byte[] {5}, Files.readAllBytes(out.resolve("b")));
    }

    @Test
    void whatDeadProcessesLeftIsDeleted() throws IOException {
        Path old = Files.createFile(dir.resolve(".a.npy.1f.tmp"));
        Files.setLastModifiedTime(old, FileTime.from(Instant.now().minusSeconds(7000)));
        for (String name : List.of(".a.npy.2f.tmp", ".b.npy.1f.tmp", "a.npy")) Files.createFile(dir.resolve(name));
        AtomicFiles.deleteAbandoned(dir, AtomicFiles.ABANDONED, "x", "a.npy.");
        assertEquals(List.of(".a.npy.2f.tmp", ".b.npy.1f.tmp", "a.npy"), names(dir));
        AtomicFiles.deleteAbandoned(dir, Duration.ZERO, "a.npy.");
        assertEquals(List.of(".b.npy.1f.tmp", "a.npy"), names(dir));
        for (String name : List.of("a.npy", "a.zip", "a.safetensors", "a.csv")) {
            Files.setLastModifiedTime(
                    Files.createFile(dir.resolve("." + name + ".3.tmp")),
                    FileTime.from(Instant.now().minusSeconds(7000)));
        }
        NpyWriter.save(dir.resolve("a.npy"), new float[1], 1);
        AtomicFiles.write(dir.resolve("a.zip"), out -> out.write(1));
        new SafeTensors.Writer(dir.resolve("a.safetensors")).commit();
        AtomicFiles.write(dir, Map.of("a.csv", new byte[1]));
        assertEquals(List.of(".b.npy.1f.tmp", "a.csv", "a.npy", "a.safetensors", "a.zip"), names(dir));
        AtomicFiles.deleteAbandoned(dir.resolve("none"), Duration.ZERO, "a");
    }

    @Test
    void textIsAppended() throws IOException {
        Path p = dir.resolve("a.csv");
        AtomicFiles.append(p, "one\n");
        AtomicFiles.append(p, "caf\u00e9\n");
        assertEquals("one\ncaf\u00e9\n", Files.readString(p));
        Path folder = Files.createDirectory(dir.resolve("folder"));
        refused(() -> AtomicFiles.append(folder, "two"), "folder");
        assertEquals(List.of("a.csv", "folder"), names(dir));
    }

    @Test
    void foldersThatTakeNoFilesAreKnownWithoutCreatingThem() throws IOException {
        assertNull(AtomicFiles.unwritable(dir.resolve("a/b"), 0));
        assertNull(AtomicFiles.unwritable(dir, 1));
        assertEquals(List.of(), names(dir));
        Path file = Files.createFile(dir.resolve("file"));
        assertEquals(file + " is no folder", AtomicFiles.unwritable(file.resolve("a"), 0));
        assumeTrue(AtomicFiles.freeBytes(dir) >= 0, "this system does not tell how much space is free");
        String full = AtomicFiles.unwritable(dir.resolve("a"), Long.MAX_VALUE);
        assertTrue(full != null && full.startsWith("the disk is full: 9223372036854775807 bytes are needed"), full);
    }

    @Test
    void aFileThatCannotFitIsRefusedAtOnce() throws IOException {
        assumeTrue(AtomicFiles.freeBytes(dir) >= 0, "this system does not tell how much space is free");
        refused(
                () -> NpyWriter.create(dir.resolve("a.npy"), NpyType.F32, 1L << 40, 1L << 20),
                "disk is full",
                "4611686018427388032 bytes are needed");
        assertEquals(List.of(), names(dir));
    }

    /** In a chroot whose root is no mount point, Java finds no file store. */
    @Test
    void aFileIsWrittenWhereTheFreeSpaceCannotBeTold() throws IOException {
        try (NpyWriter w = NpyWriter.create(dir.resolve("a.npy"), NpyType.F32, new Disk(-1, null), 3)) {
            w.writeRow(new float[3], 0, 3);
            w.commit();
        }
        assertEquals(List.of("a.npy"), names(dir));
        refused(
                () -> NpyWriter.create(dir.resolve("b.npy"), NpyType.F32, new Disk(-1, "No space left on device"), 3),
                "the disk is full: 140 bytes are needed. ");
        refused(
                () -> NpyWriter.create(dir.resolve("b.npy"), NpyType.F32, new Disk(139, null), 3),
                "140 bytes are needed, 139 are free");
    }

    @Test
    void aDiskWithFreeBytesThatTakesNoFileHasNoInodes() {
        Disk noInodes = new Disk(20_668_416, "No space left on device");
        refused(
                () -> NpyWriter.create(dir.resolve("a.npy"), NpyType.F32, noInodes, 1000),
                "a.npy: the disk takes no more files or data, though 20668416 bytes are free: its inodes");
        refused(() -> AtomicFiles.write(dir.resolve("a"), out -> {}, noInodes), "its inodes");
    }

    /** The system words its reason in the user's language. */
    @Test
    void aFullDiskIsKnownByItsFreeSpace() {
        String german = "Auf dem Ger\u00e4t ist kein Speicherplatz mehr verf\u00fcgbar";
        refused(() -> AtomicFiles.write(dir.resolve("a"), out -> {}, new Disk(0, german)), "the disk is full. Free");
        refused(() -> AtomicFiles.write(dir.resolve("a"), out -> {}, new Disk(1 << 20, german)), german);
    }

    @Test
    void aLinkToAFolderIsAFolder() throws IOException {
        Path real = Files.createDirectory(dir.resolve("real"));
        Path link = Files.createSymbolicLink(dir.resolve("link"), real);
        AtomicFiles.createFolder(link);
        AtomicFiles.createFolder(link.resolve("a/b"));
        assertEquals(List.of("a"), names(real));
        Path lost = Files.createSymbolicLink(dir.resolve("lost"), dir.resolve("nowhere"));
        refused(() -> AtomicFiles.createFolder(lost), "lost: cannot be created", lost + " is no folder");
        Path file = Files.createFile(dir.resolve("file"));
        refused(() -> AtomicFiles.createFolder(file), "file: cannot be created", file + " is no folder");
        refused(() -> AtomicFiles.createFolder(file.resolve("a/b")), "a/b: cannot be created", file + " is no folder");
    }

    @Test
    void missingFoldersAndFoldersInPlaceOfFilesAreRefused() throws IOException {
        Path lost = dir.resolve("none").resolve("a.txt");
        refused(() -> AtomicFiles.writeString(lost, "x"), "a.txt", "folder does not exist", "Create");
        refused(() -> AtomicFiles.write(lost, out -> out.write(1)), "a.txt", "folder does not exist");
        refused(() -> AtomicFiles.writeString(dir, "x"), dir.toString(), "is a folder");
        Path file = Files.writeString(dir.resolve("file"), "x");
        refused(() -> AtomicFiles.writeString(file.resolve("a.txt"), "x"), "a.txt");
        assertEquals(List.of("file"), names(dir));
    }

    @Test
    void aReadOnlyFolderIsRefused() throws IOException {
        Path locked = Files.createDirectory(dir.resolve("locked"));
        assumeTrue(locked.toFile().setWritable(false), "permissions cannot be set here");
        try {
            assumeFalse(Files.isWritable(locked), "this user may write everywhere");
            refused(() -> AtomicFiles.writeString(locked.resolve("a.txt"), "x"), "a.txt", "not writable");
        } finally {
            locked.toFile().setWritable(true);
        }
    }

    /** Checks the same code as the test above for a privileged user, by throwing the exceptions of the system. */
    @Test
    void refusedAccessNamesTheFolder() throws IOException {
        refused(
                () -> AtomicFiles.write(dir.resolve("a.txt"), out -> {}, temp -> {
                    throw new java.nio.file.AccessDeniedException(temp.toString());
                }),
                "a.txt",
                "not writable",
                "permissions");
        refused(
                () -> AtomicFiles.write(dir.resolve("a.txt"), out -> {}, temp -> {
                    throw new FileSystemException(temp.toString(), null, "Read-only file system");
                }),
                "a.txt",
                "Read-only file system");
        assertEquals(List.of(), names(dir));
    }
}
