// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.cortigan.InputException;

/** Tables as comma-separated values (RFC 4180), with lines that end in LF alone, as Python's csv module reads them. */
public final class Csv {
    /** Largest table that is read, in bytes. */
    public static final int MAX_BYTES = 1 << 28;

    private Csv() {}

    /**
     * The cells of each line of a file, as {@link #parse} reads them.
     *
     * @throws InputException if the file cannot be read, or is no text in UTF-8 or UTF-16
     */
    public static List<List<String>> read(Path file) {
        return parse(InputFiles.readText(file, MAX_BYTES, "a table"));
    }

    /** A line with its end. A cell with a comma, a quote or a line's end is quoted. */
    public static String line(List<String> cells) {
        return cells.stream()
                .map(c -> c.matches("[^,\"\\r\\n]*") ? c : '"' + c.replace("\"", "\"\"") + '"')
                .collect(Collectors.joining(",", "", "\n"));
    }

    /**
     * The cells of each line that is not empty. A line ends in LF or CR LF. A last line without an end is left out,
     * because a run may have died while it wrote it.
     */
    public static List<List<String>> parse(String text) {
        List<List<String>> lines = new ArrayList<>();
        List<String> cells = new ArrayList<>();
        StringBuilder cell = new StringBuilder();
        boolean quoted = false, fresh = true;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (quoted && c == '"') {
                quoted = i + 1 < text.length() && text.charAt(i + 1) == '"';
                if (quoted) cell.append(text.charAt(++i));
            } else if (quoted || c != ',' && c != '\n' && !(c == '"' && fresh)) {
                if (!quoted && c == '\r' && text.startsWith("\n", i + 1)) continue;
                cell.append(c);
                fresh = false;
            } else if (c == '"') {
                quoted = true;
                fresh = false;
            } else {
                cells.add(cell.toString());
                cell.setLength(0);
                fresh = true;
                if (c == '\n') {
                    if (!cells.equals(List.of(""))) lines.add(cells);
                    cells = new ArrayList<>();
                }
            }
        }
        return lines;
    }
}
