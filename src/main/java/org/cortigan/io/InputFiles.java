// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.cortigan.InputException;

/** Opening of input files with one clear message for each way it can fail. */
public final class InputFiles {
    private static final int MAX_QUOTED = 80;

    private InputFiles() {}

    /** A missing file, a folder or a refused access is an InputException. */
    public static void check(Path path) {
        try (FileChannel c = open(path)) {
            c.size();
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    /** Opens a regular file for reading; a missing file, a folder or a refused access is an InputException. */
    public static FileChannel open(Path path) {
        if (Files.isDirectory(path)) {
            throw new InputException(path.toString(), "this is a folder, not a file", "Name a file");
        }
        try {
            return FileChannel.open(path, StandardOpenOption.READ);
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    /** The whole file; one longer than {@code maxBytes} is refused before anything is allocated. */
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

    /** The first {@code n} bytes of a channel, fewer only where the file shrank meanwhile. */
    public static byte[] read(FileChannel channel, int n) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(n);
        int got = 0;
        while (buffer.hasRemaining() && got >= 0) {
            got = channel.read(buffer, buffer.position());
        }
        return buffer.hasRemaining() ? java.util.Arrays.copyOf(buffer.array(), buffer.position()) : buffer.array();
    }

    public static InputException unreadable(Path path, IOException e) {
        if (e instanceof NoSuchFileException) {
            return new InputException(path.toString(), "no such file", "Check the path", e);
        }
        if (e instanceof AccessDeniedException) {
            return new InputException(path.toString(), "no permission to read it", "Change its permissions", e);
        }
        return new InputException(path.toString(), "cannot be read: " + reason(e), "Check the file and its disk", e);
    }

    public static String reason(IOException e) {
        String reason = e instanceof FileSystemException f && f.getReason() != null ? f.getReason() : e.getMessage();
        return reason == null || reason.isEmpty() ? e.getClass().getSimpleName() : reason.replaceAll("\\R", " ");
    }

    /** Text from an untrusted file made fit for a one-line message: quoted, shortened, control characters escaped. */
    public static String quote(String text) {
        StringBuilder out = new StringBuilder("'");
        for (int i = 0; i < text.length() && i < MAX_QUOTED; i++) {
            char c = text.charAt(i);
            if (c < ' ' || c > '~') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append(text.length() > MAX_QUOTED ? "...'" : "'").toString();
    }
}
