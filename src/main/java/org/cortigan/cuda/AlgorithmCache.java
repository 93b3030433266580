// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.InflaterInputStream;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Json;
import org.jspecify.annotations.Nullable;

/**
 * The fastest algorithm for each GPU, library version and problem, in one JSON file that processes share. Entries of
 * this file override those of the file that the property {@value #MORE} names, which override those that ship with
 * CortiGAN. New entries are merged into the file under a lock, some seconds after they were found and at
 * {@link #close}: a process that is killed loses the entries of the last seconds. A file that cannot be read, or has
 * another format, is ignored with a line to the user.
 */
final class AlgorithmCache implements AutoCloseable {
    /** Property that names a file with further entries, which is only read. */
    static final String MORE = "cortigan.cuda.algorithms";

    private static final String BUNDLED = "/org/cortigan/cuda/algorithms.json";
    /** Also to be raised when candidates are chosen or timed in another way, so that old choices are made again. */
    private static final long FORMAT = 4;

    private static final long DELAY_MILLIS = 5000;
    /** A file lock belongs to the whole process, so two caches in one process need this lock too. */
    private static final Object WRITING = new Object();

    /**
     * An algorithm.
     *
     * @param words the algorithm as the library describes it
     * @param form what surrounds the library call; the caller defines its meaning
     * @param plan the algorithm as the library's text, compressed in the file; empty if the words say all
     */
    record Entry(long[] words, long workspaceBytes, int form, String plan) {
        Entry(long[] words, long workspaceBytes, int form) {
            this(words, workspaceBytes, form, "");
        }

        private static Entry parse(String text) {
            String[] s = text.split(" ");
            if (s.length != 10 && s.length != 11) throw new IllegalArgumentException("'" + text + "'");
            long[] words = new long[8];
            for (int i = 0; i < 8; i++) words[i] = Long.parseUnsignedLong(s[i], 16);
            return new Entry(words, Long.parseLong(s[8]), Integer.parseInt(s[9]), s.length == 10 ? "" : unpack(s[10]));
        }

        private String format() {
            StringBuilder s = new StringBuilder();
            for (long w : words) s.append(Long.toHexString(w)).append(' ');
            s.append(workspaceBytes).append(' ').append(form);
            return plan.isEmpty()
                    ? s.toString()
                    : s.append(' ').append(pack(plan)).toString();
        }

        private static String pack(String text) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (DeflaterOutputStream out = new DeflaterOutputStream(bytes)) {
                out.write(text.getBytes(UTF_8));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return Base64.getEncoder().encodeToString(bytes.toByteArray());
        }

        private static String unpack(String packed) {
            byte[] bytes = Base64.getDecoder().decode(packed);
            try (InflaterInputStream in = new InflaterInputStream(new ByteArrayInputStream(bytes))) {
                return new String(in.readAllBytes(), UTF_8);
            } catch (IOException e) {
                throw new IllegalArgumentException("a plan cannot be unpacked", e);
            }
        }

        /** The words in hexadecimal, without trailing zeros. */
        String text() {
            StringBuilder s = new StringBuilder();
            for (long w : words) s.append(s.isEmpty() ? "" : ".").append(Long.toHexString(w));
            return s.toString().replaceAll("(\\.0)+$", "");
        }
    }

    private final Path file;
    private final Consumer<String> note;
    private final long delayMillis;
    private final Map<String, Entry> known = new HashMap<>();
    private final Map<String, Entry> found = new HashMap<>();
    private final ScheduledThreadPoolExecutor writer = new ScheduledThreadPoolExecutor(1, work -> {
        Thread t = new Thread(work, "algorithms.json");
        t.setDaemon(true);
        return t;
    });
    private boolean scheduled;
    private int writes;

    AlgorithmCache(Path file, long delayMillis, Consumer<String> note) {
        this.file = file;
        this.delayMillis = delayMillis;
        this.note = note;
        try (InputStream in = AlgorithmCache.class.getResourceAsStream(BUNDLED)) {
            if (in != null) known.putAll(entries(Json.object(Json.parse(in.readAllBytes(), BUNDLED), BUNDLED)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        String more = System.getProperty(MORE, "");
        if (!more.isEmpty()) {
            if (!Files.exists(Path.of(more)))
                throw new InputException(
                        "-D" + MORE + "=" + more, "does not exist", "Leave the property out, or name a file");
            known.putAll(read(Path.of(more), note));
        }
        known.putAll(read(file, note));
    }

    /** The cache in the folder that the property {@code cortigan.cuda.cache} names, or in XDG's cache folder. */
    static AlgorithmCache standard(Consumer<String> note) {
        String folder = System.getProperty("cortigan.cuda.cache"), xdg = System.getenv("XDG_CACHE_HOME");
        Path home = xdg == null || xdg.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(xdg);
        Path file = folder != null ? Path.of(folder, "algorithms.json") : home.resolve("cortigan/algorithms.json");
        return new AlgorithmCache(file, DELAY_MILLIS, note);
    }

    private static Map<String, Entry> entries(Map<String, Object> m) {
        if (!(m.get("format") instanceof Number f) || f.longValue() != FORMAT)
            throw new IllegalArgumentException("its format is not " + FORMAT);
        Map<String, Entry> all = new LinkedHashMap<>();
        Json.object(m.get("algorithms"), "algorithms").forEach((k, v) -> all.put(k, Entry.parse((String) v)));
        return all;
    }

    private static Map<String, Entry> read(Path file, Consumer<String> note) {
        if (!Files.exists(file)) return Map.of();
        try {
            return entries(Json.readObject(file));
        } catch (RuntimeException e) {
            note.accept(file + " is not used, so algorithms are measured again: " + e.getMessage());
            return Map.of();
        }
    }

    synchronized @Nullable Entry get(String problem) {
        return known.get(problem);
    }

    @SuppressWarnings("FutureReturnValueIgnored") // write() handles its own errors
    synchronized void put(String problem, Entry e) {
        known.put(problem, e);
        found.put(problem, e);
        if (scheduled) return;
        scheduled = true;
        writer.schedule(this::write, delayMillis, TimeUnit.MILLISECONDS);
    }

    /** How often the file was written. */
    synchronized int writes() {
        return writes;
    }

    private synchronized void write() {
        scheduled = false;
        if (found.isEmpty()) return;
        try {
            Path folder = Objects.requireNonNull(file.toAbsolutePath().getParent(), "the file has no folder");
            AtomicFiles.createFolder(folder);
            synchronized (WRITING) {
                try (FileChannel c = FileChannel.open(
                                folder.resolve(file.getFileName() + ".lock"),
                                StandardOpenOption.CREATE,
                                StandardOpenOption.WRITE);
                        FileLock lock = c.lock()) {
                    merge();
                }
            }
            writes++;
            found.clear();
        } catch (IOException | RuntimeException x) {
            note.accept(file + " cannot be written, so algorithms are measured again next time: " + x.getMessage());
        }
    }

    private void merge() {
        Map<String, Entry> all = new TreeMap<>(read(file, s -> {}));
        all.putAll(found);
        Map<String, Object> text = new LinkedHashMap<>(), m = new LinkedHashMap<>();
        all.forEach((k, e) -> text.put(k, e.format()));
        m.put("format", FORMAT);
        m.put("algorithms", text);
        Json.write(file, m);
    }

    @Override
    public void close() {
        writer.shutdownNow();
        write();
    }
}
