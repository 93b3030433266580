// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InputFilesTest {
    /** The name is Latin-1, which neither a UTF-8 locale nor the POSIX locale decodes. */
    @Test
    void aNameThatTheLocaleCannotDecodeIsRefusedWithThatReason(@TempDir Path dir) throws Exception {
        assertEquals(
                0,
                new ProcessBuilder("sh", "-c", "> \"$0/$(printf '\\351t\\351.npy')\"", dir.toString())
                        .start()
                        .waitFor());
        List<Path> listed;
        try (Stream<Path> s = Files.list(dir)) {
            listed = s.toList();
        }
        assertEquals(1, listed.size());
        String encoding = System.getProperty("sun.jnu.encoding");
        refused(
                () -> InputFiles.open(listed.get(0)),
                "\ufffdt\ufffd.npy: the JVM cannot decode or encode this name",
                "encoding of names is " + encoding,
                encoding.equals("UTF-8") ? "Rename the file" : "LC_ALL=C.UTF-8");
    }

    /** Opening a pipe for reading would wait until something writes to it. */
    @Test
    void whatIsNoFileIsRefused(@TempDir Path dir) throws Exception {
        Path pipe = dir.resolve("a.npy");
        assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
        for (Path p : List.of(pipe, Path.of("/dev/zero"))) {
            refused(() -> InputFiles.check(p), p + ": is a pipe, a socket or a device, not a file");
            refused(() -> InputFiles.readAll(p, 9, "a text"), p + ": is a pipe");
        }
        refused(() -> InputFiles.check(dir), "is a folder");
    }

    @Test
    void textsMayBeUtf8OrMarkedUtf16(@TempDir Path dir) throws Exception {
        Path file = dir.resolve("a.txt");
        String text = "1 fr\u00fch\n";
        for (String encoding : List.of("UTF-8", "UTF-16", "x-UTF-16LE-BOM")) {
            Files.write(file, text.getBytes(encoding));
            assertEquals(text, InputFiles.readText(file, 100, "a text"), encoding);
        }
        Files.write(file, ("\ufeff" + text).getBytes(StandardCharsets.UTF_8));
        assertEquals(text, InputFiles.readText(file, 100, "a text"));
        Files.write(file, text.getBytes(StandardCharsets.ISO_8859_1));
        refused(() -> InputFiles.readText(file, 100, "a text"), "a.txt: is no text in UTF-8");
    }

    @Test
    void listsPassOverHiddenFiles(@TempDir Path dir) throws Exception {
        for (String name : List.of("b", "._b", ".DS_Store", "a.b")) Files.writeString(dir.resolve(name), "x");
        assertEquals(List.of(dir.resolve("a.b"), dir.resolve("b")), InputFiles.list(dir));
        refused(() -> InputFiles.list(dir.resolve("none")), "none: no such file");
    }

    /** In a UTF-8 locale this character is one as any other; elsewhere it stands for bytes that the JVM has lost. */
    @Test
    void theReplacementCharacterIsACharacterInUtf8(@TempDir Path dir) throws Exception {
        String name = dir.resolve("x") + "\ufffd";
        if (System.getProperty("sun.jnu.encoding").equals("UTF-8")) {
            Files.writeString(InputFiles.path(name), "text");
            assertEquals(4, InputFiles.readAll(Path.of(name), 10, "a text").length);
        } else {
            refused(() -> InputFiles.path(name), "LC_ALL=C.UTF-8");
            refused(() -> InputFiles.path("caf\u00e9"), "LC_ALL=C.UTF-8");
        }
        refused(() -> InputFiles.path("a\0b"), "'a\\u0000b': is no name of a file");
    }
}
