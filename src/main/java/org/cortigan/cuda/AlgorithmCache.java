package org.cortigan.cuda;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.cortigan.data.AtomicFiles;
import org.cortigan.data.Json;

/**
 * Which algorithm was the fastest for a problem, by card, library version and problem: one JSON file that processes share.
 * It is replaced as a whole; of two that write at once one's findings are measured again some day. A file that cannot be read,
 * or is not of this format, is left out with a line to the user.
 */
final class AlgorithmCache {
    private static final long FORMAT = 2;

    /** @param words the algorithm as the library gave it; @param form what is done around it, of the caller's meaning */
    record Entry(long[] words, long workspaceBytes, int form) {}

    private final Path file;
    private final Consumer<String> note;
    private final Map<String, Entry> entries = new TreeMap<>();

    AlgorithmCache(Path file, Consumer<String> note) {
        this.file = file;
        this.note = note;
        entries.putAll(read(note));
    }

    /** In the folder of the property {@code cortigan.cuda.cache}, or XDG's cache folder. */
    static Path standard() {
        String folder = System.getProperty("cortigan.cuda.cache"), xdg = System.getenv("XDG_CACHE_HOME");
        if (folder != null) return Path.of(folder, "algorithms.json");
        Path caches = xdg == null || xdg.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(xdg);
        return caches.resolve("cortigan/algorithms.json");
    }

    private Map<String, Entry> read(Consumer<String> note) {
        Map<String, Entry> all = new LinkedHashMap<>();
        if (!Files.exists(file)) return all;
        try {
            Map<String, Object> m = Json.readObject(file);
            if (!(m.get("format") instanceof Number f) || f.longValue() != FORMAT) throw new IllegalArgumentException("it has another format");
            Json.object(m.get("algorithms"), "algorithms").forEach((k, v) -> {
                String[] s = ((String) v).split(" ");
                long[] words = new long[8];
                if (s.length != 10) throw new IllegalArgumentException("'" + k + "'");
                for (int i = 0; i < 8; i++) words[i] = Long.parseUnsignedLong(s[i], 16);
                all.put(k, new Entry(words, Long.parseLong(s[8]), Integer.parseInt(s[9])));
            });
            return all;
        } catch (RuntimeException e) {
            note.accept(file + " is not used, algorithms are measured anew: " + e.getMessage());
            return Map.of();
        }
    }

    Entry get(String problem) {
        return entries.get(problem);
    }

    void put(String problem, Entry e) {
        entries.put(problem, e);
        Map<String, Entry> all = new TreeMap<>(read(s -> {}));
        all.putAll(entries);
        Map<String, Object> out = new LinkedHashMap<>();
        all.forEach((k, v) -> {
            StringBuilder s = new StringBuilder();
            for (long w : v.words) s.append(Long.toHexString(w)).append(' ');
            out.put(k, s.append(v.workspaceBytes).append(' ').append(v.form).toString());
        });
        try {
            Files.createDirectories(file.toAbsolutePath().getParent());
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("format", FORMAT);
            m.put("algorithms", out);
            Json.write(file, m);
        } catch (java.io.IOException | RuntimeException x) {
            note.accept(file + " cannot be written, algorithms are measured anew next time: " + x.getMessage());
        }
    }
}
