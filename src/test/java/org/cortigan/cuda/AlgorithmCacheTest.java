// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.cortigan.InputException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AlgorithmCacheTest {
    @TempDir
    Path folder;

    private final List<String> said = new ArrayList<>();

    private AlgorithmCache open(long delayMillis) {
        return new AlgorithmCache(folder.resolve("sub/algorithms.json"), delayMillis, said::add);
    }

    private static AlgorithmCache.Entry entry(int i) {
        String plan = i % 2 == 0 ? "" : "{\"plan\": \"of " + i + " engines\"}";
        return new AlgorithmCache.Entry(new long[] {i, 2, 0, -1, 0, 0, 0, 0}, 4096, 3, plan);
    }

    private static void same(AlgorithmCache.Entry want, AlgorithmCache.Entry got, String problem) {
        assertNotNull(got, problem);
        assertEquals(
                want.text() + want.workspaceBytes() + want.form() + want.plan(),
                got.text() + got.workspaceBytes() + got.form() + got.plan(),
                problem);
    }

    @Test
    void manyEntriesAreSavedByFewWrites() {
        try (AlgorithmCache c = open(5000)) {
            for (int i = 0; i < 500; i++) c.put("problem " + i, entry(i));
            assertEquals(0, c.writes());
            assertTrue(Files.notExists(folder.resolve("sub/algorithms.json")));
            c.close();
            assertEquals(1, c.writes());
        }
        try (AlgorithmCache c = open(5000)) {
            for (int i = 0; i < 500; i++) same(entry(i), c.get("problem " + i), "problem " + i);
            assertEquals("1.2.0.ffffffffffffffff", c.get("problem 1").text());
        }
        assertEquals(List.of(), said);
    }

    @Test
    void entriesAreSavedAfterADelayEvenIfNoMoreFollow() throws Exception {
        try (AlgorithmCache c = open(50)) {
            c.put("a", entry(1));
            for (int i = 0; i < 200 && c.writes() == 0; i++) Thread.sleep(50);
            assertEquals(1, c.writes());
            try (AlgorithmCache other = open(50)) {
                same(entry(1), other.get("a"), "a");
            }
            c.put("b", entry(2));
        }
        try (AlgorithmCache c = open(50)) {
            same(entry(2), c.get("b"), "b");
        }
    }

    @Test
    void entriesOfOtherProcessesAreKept() {
        try (AlgorithmCache a = open(5000);
                AlgorithmCache b = open(5000)) {
            a.put("both", entry(1));
            a.put("a", entry(1));
            b.put("both", entry(2));
            b.put("b", entry(2));
        }
        try (AlgorithmCache c = open(5000)) {
            for (String k : List.of("a", "b")) assertNotNull(c.get(k), k);
            same(entry(1), c.get("both"), "the entry written last");
        }
    }

    /** A process that adds one entry every few milliseconds. */
    static final class Writer {
        public static void main(String[] a) throws Exception {
            try (AlgorithmCache c = new AlgorithmCache(Path.of(a[0]), 1, s -> {
                throw new IllegalStateException(s);
            })) {
                for (int i = 0; i < 60; i++) {
                    c.put(a[1] + i, entry(i));
                    Thread.sleep(3);
                }
                if (a[1].equals("killed ")) {
                    for (int i = 0; i < 200 && c.writes() == 0; i++) Thread.sleep(50);
                    Runtime.getRuntime().halt(9);
                }
            }
        }
    }

    @Test
    @Tag("slow")
    void concurrentProcessesLoseNoEntries() throws Exception {
        Path file = folder.resolve("sub/algorithms.json");
        List<Process> all = new ArrayList<>();
        for (String name : List.of("one ", "two ", "killed "))
            all.add(new ProcessBuilder(
                            Path.of(System.getProperty("java.home"), "bin", "java")
                                    .toString(),
                            "-cp",
                            System.getProperty("java.class.path"),
                            Writer.class.getName(),
                            file.toString(),
                            name)
                    .inheritIO()
                    .start());
        for (Process p : all) assertTrue(p.waitFor(60, TimeUnit.SECONDS));
        assertEquals(List.of(0, 0, 9), all.stream().map(Process::exitValue).toList());
        try (AlgorithmCache c = open(5000)) {
            for (String name : List.of("one ", "two "))
                for (int i = 0; i < 60; i++) same(entry(i), c.get(name + i), name + i);
            assertNotNull(c.get("killed 0"));
        }
    }

    @Test
    void theUsersEntriesOverrideThoseOfANamedFile() throws Exception {
        try (AlgorithmCache c = open(5000)) {
            c.put("a", entry(1));
            c.put("b", entry(2));
        }
        Path more = Files.move(folder.resolve("sub/algorithms.json"), folder.resolve("more.json"));
        String text = Files.readString(more);
        System.setProperty(AlgorithmCache.MORE, more.toString());
        try {
            try (AlgorithmCache c = open(5000)) {
                same(entry(1), c.get("a"), "a");
                c.put("a", entry(7));
            }
            try (AlgorithmCache c = open(5000)) {
                same(entry(7), c.get("a"), "a");
                same(entry(2), c.get("b"), "b");
            }
            assertEquals(text, Files.readString(more), "the named file is only read");
            assertTrue(
                    !Files.readString(folder.resolve("sub/algorithms.json")).contains("\"b\""),
                    "entries of the named file are not copied");
            Files.writeString(more, "{");
            try (AlgorithmCache c = open(5000)) {
                assertNull(c.get("b"));
            }
            assertTrue(said.size() == 1 && said.get(0).startsWith(more + " is not used"), said.toString());
            Files.delete(more);
            assertThrows(InputException.class, () -> open(5000));
        } finally {
            System.clearProperty(AlgorithmCache.MORE);
        }
    }
}
