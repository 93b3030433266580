// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs both calls of tools/gpu-check on the CPU, with the faults that a first run on a GPU may meet. */
@Tag("slow")
class GpuCheckTest {
    private static final Path FILES = Path.of("src/test/resources/models");

    @TempDir
    Path folder;

    /** Runs a call with its driver in this process and its pieces in child processes; returns the result lines. */
    static List<Map<String, Object>> call(Path out, boolean succeeds, String... options) throws Exception {
        List<String> a = new ArrayList<>(List.of(options));
        a.addAll(List.of(
                "--out", out.toString(), "--work", out.resolveSibling("work").toString(), "--small"));
        if (!a.contains("--files")) a.addAll(List.of("--files", FILES.toString()));
        if (!a.contains("--device")) a.addAll(List.of("--device", "cpu"));
        assertEquals(succeeds, new Driver(Options.parse(a.toArray(new String[0]))).run(), "the call succeeds");
        Set<String> files = new TreeSet<>();
        try (var s = Files.list(out)) {
            s.forEach(f -> files.add(f.getFileName().toString()));
        }
        assertTrue(
                Set.of("algorithms.json", "log.txt", "measured.jsonl", "profile.json", "report.json", "report.md")
                        .containsAll(files),
                "" + files);
        List<Map<String, Object>> lines = new ArrayList<>();
        for (String s : Files.readAllLines(out.resolve("measured.jsonl")))
            lines.add(Json.object(Json.parse(s, "line"), "line"));
        return lines;
    }

    static List<Map<String, Object>> linesWith(List<Map<String, Object>> lines, String key, Object value) {
        return lines.stream().filter(l -> value.equals(l.get(key))).toList();
    }

    private static String report(Path out) throws Exception {
        return Files.readString(out.resolve("report.md"));
    }

    @Test
    void smokeReportsCorrectnessAndWhereTheTimeGoes() throws Exception {
        Path out = folder.resolve("out");
        List<Map<String, Object>> lines =
                call(out, true, "smoke", "--families", "layernorm,slice", "--python", "no-such-python");
        for (String stage : List.of("environment", "libraries", "ceilings", "steps", "ops", "train", "took"))
            assertFalse(linesWith(lines, "stage", stage).isEmpty(), stage);
        assertEquals(
                Set.of("step none", "step vit", "step conv", "step sd 32"),
                Json.readObject(out.resolve("profile.json")).keySet());
        for (Map<String, Object> l : linesWith(lines, "stage", "ops")) {
            assertTrue(((Number) l.get("error")).doubleValue() <= 1, "" + l);
            assertTrue(Set.of("layernorm", "slice").contains(l.get("family")));
        }
        for (Map<String, Object> l : linesWith(lines, "stage", "steps")) {
            assertTrue(((Number) l.get("ms")).doubleValue() > 0);
            assertEquals(
                    ((Number) l.get("nodes")).longValue(),
                    Json.object(l.get("served"), "served").values().stream()
                            .mapToLong(v -> ((Number) v).longValue())
                            .sum());
        }
        String md = report(out);
        assertTrue(md.contains("No measured item failed.") && md.contains("| matmul | not measured |"), md);
        assertTrue(
                md.contains("**step conv**: ")
                        && md.contains("golden trajectory F32")
                        && md.contains("\"peers\":\"no-such-python does not run\""),
                md);
        assertEquals("smoke", Json.readObject(out.resolve("report.json")).get("call"));
    }

    @Test
    void aCaseThatKillsItsProcessOrHangsLosesOnlyItself() throws Exception {
        Path out = folder.resolve("out");
        List<Map<String, Object>> whole =
                call(folder.resolve("whole"), true, "smoke", "--stages", "ops", "--families", "slice");
        List<String> names = linesWith(whole, "stage", "ops").stream()
                .map(l -> (String) l.get("name"))
                .toList();
        List<Map<String, Object>> lines = call(
                out,
                false,
                "smoke",
                "--stages",
                "ops",
                "--families",
                "slice",
                "--plant",
                "dies:" + names.get(0),
                "--plant",
                "hangs:" + names.get(2));
        List<String> left = new ArrayList<>(names);
        left.removeAll(List.of(names.get(0), names.get(2)));
        assertEquals(
                left,
                linesWith(lines, "stage", "ops").stream()
                        .map(l -> l.get("name"))
                        .toList(),
                "all other cases were checked");
        List<Map<String, Object>> ended = linesWith(lines, "stage", "ended");
        assertEquals(
                List.of(names.get(0), names.get(2)),
                ended.stream().map(l -> l.get("item")).toList());
        assertTrue(ended.get(0).get("why").toString().startsWith("exit 134"), "" + ended);
        assertEquals("no progress for 6 s", ended.get(1).get("why"));
        String md = report(out);
        assertTrue(
                md.contains("- ended, ops: " + names.get(0) + ": exit 134") && md.contains(": no progress for 6 s"),
                md);
        assertTrue(
                Files.readString(out.resolve("log.txt")).contains("Full thread dump"),
                "the hung process printed its threads' stacks");
    }

    @Test
    void anEarlyDeadlineKeepsWhatWasMeasured() throws Exception {
        Path out = folder.resolve("out");
        long t = System.nanoTime();
        List<Map<String, Object>> lines = call(out, false, "smoke", "--seconds", "9", "--plant", "hangs:step none");
        double seconds = (System.nanoTime() - t) / 1e9;
        assertTrue(seconds < 9 + 8, seconds + " s"); // 8 s to kill processes on a busy machine
        assertFalse(linesWith(lines, "stage", "libraries").isEmpty()
                && linesWith(lines, "stage", "ended").isEmpty());
        String md = report(out);
        assertTrue(md.contains("| step none | not measured | not measured |"), md);
        assertTrue(md.contains("the stage ran out of time") || md.contains("no progress for"), md);
    }

    @Test
    void measureComparesOurTimesWithPyTorchs() throws Exception {
        Path out = folder.resolve("out"), python = folder.resolve("python");
        // stands for PyTorch: prints versions, then protocol lines; one variant fails, one item kills its process
        Files.writeString(python, """
                #!/bin/sh
                case "$*" in
                *importlib*) echo "python 3.12.3, torch 2.11.0, triton 3.6.0" ;;
                *steps*eager*)
                    echo "@begin step none, eager, autocast"
                    echo '@line {"stage":"steps","name":"step none","who":"PyTorch","mode":"eager","variant":"autocast","ms":40.5,"ms_unsynchronised":39}'
                    echo "@begin step none, eager, cudnn"
                    echo '@line {"stage":"steps","name":"step none","who":"PyTorch","mode":"eager","variant":"cudnn","failure":"no kernel"}' ;;
                *steps*reduce-overhead*--after*)
                    echo "@begin step vit, reduce-overhead"
                    echo '@line {"stage":"steps","name":"step vit","who":"PyTorch","mode":"reduce-overhead","variant":"flash","ms":0.001}' ;;
                *steps*reduce-overhead*) echo "@begin step none, reduce-overhead"; echo "out of luck"; exit 9 ;;
                *kernels*eager*)
                    echo "@begin adamw"
                    echo '@line {"stage":"kernels","name":"adamw","who":"PyTorch","mode":"eager","variant":"fused","ms":12}' ;;
                esac
                """);
        assertTrue(python.toFile().setExecutable(true));
        List<Map<String, Object>> lines =
                call(out, false, "measure", "--python", python.toString(), "--files", FILES.toString());
        String md = report(out);
        String ours = "[0-9.]+ \\([0-9.]+\\)",
                pyTorch = "40.50 \\(39.00\\)",
                row = String.join(" \\| ", ours, ours, pyTorch, pyTorch);
        assertTrue(md.matches("(?s).*\\| step none \\| " + row + " \\| eager, autocast \\|.*"), md);
        assertTrue(
                md.matches(
                        "(?s).*\\| step vit \\|[^|]*\\|[^|]*\\| not measured \\| 0.001000 \\| reduce-overhead, flash \\|.*"),
                md);
        assertTrue(md.matches("(?s).*\\| adamw \\| [0-9.e-]+ \\| [0-9.e-]+ \\| 12.00 \\|.*"), md);
        assertTrue(md.contains("step none, reduce-overhead: exit 9: out of luck"), md);
        assertTrue(md.contains("| step none, PyTorch, eager, cudnn | | | no kernel |"), md);
        assertTrue(md.contains("torch 2.11.0") && md.contains("## compute-sanitizer\n\nnot measured"), md);
        assertEquals(
                2,
                linesWith(linesWith(lines, "name", "layernorm forward"), "who", "ours")
                        .size(),
                "measured before and after PyTorch");
    }

    @Test
    void badOptionsAreRefusedInOneLine() {
        for (String[] bad : new String[][] {
            {},
            {"both"},
            {"smoke", "--out"},
            {"smoke", "--fast", "yes"},
            {"smoke", "--seconds", "soon"},
            {"smoke", "--seconds", "-1"},
            {"smoke", "--plant", "explodes:x"},
            {"smoke", "--families", "nonsense"},
            {"smoke", "--files", "no/such/folder"}
        }) {
            String m =
                    assertThrows(InputException.class, () -> Options.parse(bad)).getMessage();
            assertFalse(m.contains("\n"), m);
        }
        String m = assertThrows(
                        InputException.class, () -> call(folder.resolve("out"), true, "smoke", "--stages", "op"))
                .getMessage();
        assertTrue(m.contains("'op' is unknown. Use one or more of libraries, ceilings, steps, ops, train"), m);
    }
}
