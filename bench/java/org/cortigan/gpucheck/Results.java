// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.io.Json;

/**
 * The results folder of a call: six files without subfolders, because the machine that runs the check may return at
 * most eight files. measured.jsonl grows line by line and log.txt with every process, so an interrupted call leaves
 * what it had; the other files are rewritten after every stage. Thread-safe.
 */
final class Results {
    private final Path out;
    private final String call;
    private final List<Map<String, Object>> lines = new ArrayList<>();
    private final Map<String, Object> profiles = new LinkedHashMap<>();

    /** @param call the call's name, for the report's title; lines of an earlier call in the folder are kept */
    Results(Path out, String call) throws IOException {
        this.out = out;
        this.call = call;
        Files.createDirectories(out);
        if (!Files.exists(measured())) return;
        for (String s : Files.readAllLines(measured(), StandardCharsets.UTF_8))
            try {
                lines.add(Json.object(Json.parse(s, "measured.jsonl"), "measured.jsonl"));
            } catch (InputException e) {
                log("measured.jsonl has an incomplete line: " + s + "\n");
            }
        if (Files.exists(out.resolve("profile.json"))) profiles.putAll(Json.readObject(out.resolve("profile.json")));
    }

    Path measured() {
        return out.resolve("measured.jsonl");
    }

    /** A map of alternating keys and values that keeps their order. */
    static Map<String, Object> map(Object... pairs) {
        Map<String, Object> m = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) m.put((String) pairs[i], pairs[i + 1]);
        return m;
    }

    synchronized void add(Map<String, Object> line) {
        if ("profile".equals(line.get("stage"))) {
            profiles.put((String) line.get("name"), line);
            return;
        }
        lines.add(line);
        append(measured(), Json.compact(line) + "\n");
    }

    synchronized void log(String text) {
        append(out.resolve("log.txt"), text);
    }

    private static void append(Path file, String text) {
        try {
            Files.writeString(file, text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    synchronized List<Map<String, Object>> lines() {
        return List.copyOf(lines);
    }

    /** Writes the report and the profiles, and copies the algorithm cache. */
    synchronized void publish(Path algorithms) {
        Report r = new Report(call, lines, profiles);
        String text = r.markdown();
        replace("report.md", text);
        Json.write(out.resolve("report.json"), r.json());
        Json.write(out.resolve("profile.json"), profiles);
        if (!Files.exists(algorithms)) return;
        try {
            Files.copy(algorithms, out.resolve("algorithms.json"), StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            log("algorithms.json: " + e + "\n");
        }
    }

    private void replace(String name, String text) {
        Path part = out.resolve(name + ".part");
        try {
            Files.writeString(part, text);
            Files.move(part, out.resolve(name), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
