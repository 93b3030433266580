// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;

/** Opens input files, with a clear message for each way in which that can fail. */
public final class InputFiles {
    private static final int MAX_QUOTED = 80;
    /** The first two bytes of a text in UTF-16. */
    private static final Set<Integer> MARKS_OF_UTF_16 = Set.of(0xfeff, 0xfffe);
    /** What the JVM puts in place of bytes of a file's name that its encoding does not have. */
    private static final char UNKNOWN = '\ufffd';
    /** The JVM's encoding of names of files. */
    private static final String NAMES = System.getProperty("sun.jnu.encoding", "unknown");

    private static final int MAX_NAMES = 5;

    private InputFiles() {}

    /**
     * The path that a text of the user names.
     *
     * @throws InputException if the system's files cannot have this name, or not in this JVM's locale
     */
    public static Path path(String text) {
        if (text.isEmpty())
            throw new InputException("''", "is no name of a file or folder", "Give a name; '.' is here");
        if (text.indexOf(UNKNOWN) >= 0 && !hasUnicodeNames()) throw undecodable(text);
        try {
            return Path.of(text);
        } catch (InvalidPathException e) {
            if (text.indexOf(0) < 0 && !hasUnicodeNames()) throw undecodable(text);
            throw new InputException(quote(text), "is no name of a file: " + e.getReason(), "Give another name", e);
        }
    }

    /** Whether the JVM reads and writes names of files in UTF-8, which its locale decides. */
    private static boolean hasUnicodeNames() {
        return NAMES.equalsIgnoreCase("UTF-8");
    }

    /** A file of a listing keeps its bytes: if they cannot be decoded, its text names another file, or none. */
    private static boolean isUndecodable(Path path) {
        String text = path.toString();
        if (text.indexOf(UNKNOWN) < 0) return false;
        try {
            return !Path.of(text).equals(path);
        } catch (InvalidPathException e) {
            return true;
        }
    }

    private static InputException undecodable(String name) {
        return new InputException(
                name,
                "the JVM cannot decode or encode this name, because its locale's encoding of names is " + NAMES,
                hasUnicodeNames() ? "Rename the file in UTF-8" : "Start it with LC_ALL=C.UTF-8 in the environment");
    }

    /**
     * Checks that a file can be read.
     *
     * @throws InputException if the file is missing, a folder or not readable
     */
    public static void check(Path path) {
        try (FileChannel c = open(path)) {
            c.size();
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    /**
     * Opens a regular file for reading.
     *
     * @throws InputException if the file is missing, not readable, a folder, a pipe or the like, or has a name that the
     *     JVM cannot decode
     */
    public static FileChannel open(Path path) {
        if (isUndecodable(path)) throw undecodable(path.toString());
        if (Files.isDirectory(path)) {
            throw new InputException(path.toString(), "is a folder, not a file", "Give a file");
        }
        if (Files.exists(path) && !Files.isRegularFile(path)) { // to open a pipe waits for a writer
            throw new InputException(
                    path.toString(), "is a pipe, a socket or a device, not a file", "Give a file on a disk");
        }
        try {
            return FileChannel.open(path, StandardOpenOption.READ);
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    /**
     * The files and folders in a folder, sorted by name. Names with a dot first are left out: they are systems' own
     * files, such as the {@code ._x} that macOS puts beside {@code x}.
     *
     * @throws InputException if the folder cannot be read
     */
    public static List<Path> list(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(p -> !p.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList();
        } catch (UncheckedIOException e) {
            throw unreadable(folder, Objects.requireNonNull(e.getCause()));
        } catch (IOException e) {
            throw unreadable(folder, e);
        }
    }

    /**
     * Reads a whole file.
     *
     * @param maxBytes size limit, checked before anything is allocated
     * @param what what the file should be, for messages
     * @throws InputException if the file cannot be read or exceeds the limit
     */
    public static byte[] readAll(Path path, int maxBytes, String what) {
        try (FileChannel channel = open(path)) {
            long size = channel.size();
            if (size > maxBytes) {
                throw new InputException(
                        path.toString(),
                        size + " bytes are too many for " + what + " (limit " + maxBytes + ")",
                        "Check that this is the right file");
            }
            return read(channel, (int) size);
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    /**
     * Reads a whole text in UTF-8, or in UTF-16 with a byte-order mark; without the mark.
     *
     * @see #readAll
     */
    public static String readText(Path path, int maxBytes, String what) {
        byte[] bytes = readAll(path, maxBytes, what);
        boolean utf16 = bytes.length > 1 && MARKS_OF_UTF_16.contains((bytes[0] & 0xff) << 8 | bytes[1] & 0xff);
        try {
            return withoutMark((utf16 ? StandardCharsets.UTF_16 : StandardCharsets.UTF_8)
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString());
        } catch (CharacterCodingException e) {
            throw new InputException(path.toString(), "is no text in UTF-8", "Save it in UTF-8", e);
        }
    }

    /** A text without the byte-order mark that some editors put first. */
    private static String withoutMark(String text) {
        return text.startsWith("\ufeff") ? text.substring(1) : text;
    }

    /** Reads the first {@code n} bytes of a channel; fewer if the file has become shorter. */
    public static byte[] read(FileChannel channel, int n) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(n);
        int got = 0;
        while (buffer.hasRemaining() && got >= 0) {
            got = channel.read(buffer, buffer.position());
        }
        return buffer.hasRemaining() ? java.util.Arrays.copyOf(buffer.array(), buffer.position()) : buffer.array();
    }

    /** The file that a path names, behind all links; the path itself if there is none. */
    public static Path real(Path path) {
        try {
            return path.toRealPath();
        } catch (IOException e) {
            return path.toAbsolutePath().normalize();
        }
    }

    /** The exception for a file that cannot be read. */
    public static InputException unreadable(Path path, IOException e) {
        if (Files.isSymbolicLink(path) && !Files.exists(path)) {
            return new InputException(
                    path.toString(),
                    "is a symbolic link to " + target(path) + ", which cannot be reached",
                    "Fetch what it points to (for example with git annex get or datalad get), or mend the link",
                    e);
        }
        if (e instanceof NoSuchFileException) {
            return new InputException(path.toString(), "no such file", "Check the path", e);
        }
        if (e instanceof AccessDeniedException) {
            return new InputException(path.toString(), "no permission to read this file", "Change its permissions", e);
        }
        return new InputException(path.toString(), "cannot be read: " + reason(e), "Check the file and its disk", e);
    }

    private static String target(Path link) {
        try {
            return quote(Files.readSymbolicLink(link).toString());
        } catch (IOException e) {
            return "another file";
        }
    }

    /** The reason of an exception, in one line. */
    public static String reason(IOException e) {
        if (e instanceof AccessDeniedException) return "permission denied"; // its message is the name alone
        String reason = e instanceof FileSystemException f && f.getReason() != null ? f.getReason() : e.getMessage();
        return reason == null || reason.isEmpty() ? e.getClass().getSimpleName() : reason.replaceAll("\\R", " ");
    }

    /** The names of some files for a message, in one line: at most {@value #MAX_NAMES}, then the number of others. */
    public static String names(Collection<Path> files) {
        String named = files.stream()
                .limit(MAX_NAMES)
                .map(p -> InputException.oneLine(String.valueOf(p.getFileName())))
                .collect(Collectors.joining(", "));
        return files.size() <= MAX_NAMES ? named : named + " and " + (files.size() - MAX_NAMES) + " more";
    }

    /** Quotes text from an untrusted file for a one-line message: shortens it and escapes characters beyond ASCII. */
    public static String quote(String text) {
        StringBuilder out = new StringBuilder("'");
        for (int i = 0; i < text.length() && i < MAX_QUOTED; i++) {
            char c = text.charAt(i);
            if (c < ' ' || c > '~') {
                out.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append(text.length() > MAX_QUOTED ? "...'" : "'").toString();
    }
}
