// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.junit.jupiter.api.function.Executable;

/** Shared by the format tests: golden files and the check of an error message. */
public final class Formats {
    public static final List<String> MAPPINGS = List.of(
            "saved",
            "written",
            "p0_numpy1",
            "p0_numpy2",
            "p1_numpy1",
            "p1_numpy2",
            "p2_numpy1",
            "p2_numpy2",
            "p3_numpy1",
            "p3_numpy2",
            "p4_numpy1",
            "p4_numpy2",
            "p5_numpy1",
            "p5_numpy2");

    private Formats() {}

    /** A file of src/test/resources/formats, written by tools/golden_formats.py. */
    public static byte[] golden(String name) {
        try (InputStream in = Formats.class.getResourceAsStream("/formats/" + name)) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Copies a golden file into a folder and returns its path. */
    public static Path goldenFile(Path folder, String name) throws IOException {
        return Files.write(folder.resolve(name), golden(name));
    }

    /** Asserts that the action throws an InputException whose message is one line and contains all parts. */
    public static void refused(Executable action, String... parts) {
        String message = assertThrows(InputException.class, action).getMessage();
        for (String part : parts) {
            assertTrue(message.contains(part), () -> "'" + part + "' is missing in: " + message);
        }
        assertFalse(message.contains("\n"), message);
        assertTrue(message.length() < 1000, message);
    }

    /** Names of the files in a folder, including hidden ones, so that left-over temporary files show. */
    public static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(p -> p.getFileName().toString()).sorted().collect(Collectors.toList());
        }
    }
}
