package org.cortigan.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.data.Json;

/** The table of tools/gpu-check: OUT/report.md and OUT/report.json from OUT/measured.jsonl. */
final class GpuReport {
    private static final List<String> KERNELS = List.of(
            "attention forward", "attention forward, wgmma", "attention forward+backward", "attention forward+backward, wgmma",
            "layernorm forward", "layernorm forward+backward", "conv2d forward", "conv2d forward+backward",
            "pearson over images forward+backward", "pearson over vertices forward+backward", "spectral norm", "adamw");
    private static final List<String> STEPS = List.of("step none", "step conv", "step vit");
    private static final String NONE = "not measured";

    private GpuReport() {}

    static void write(Path out) throws IOException {
        Path measured = out.resolve("measured.jsonl");
        List<Map<String, Object>> lines = new ArrayList<>();
        if (Files.exists(measured))
            for (String s : Files.readAllLines(measured, StandardCharsets.UTF_8))
                try {
                    lines.add(Json.object(Json.parse(s, "measured.jsonl"), "measured.jsonl"));
                } catch (InputException e) {
                    // a stage that was cut off may leave half a line
                    System.err.println(e.getMessage());
                }
        StringBuilder md = new StringBuilder("# gpu-check, " + LocalDate.now() + "\n\n");
        for (Map<String, Object> l : lines)
            if (l.get("stage").equals("environment"))
                l.forEach((k, v) -> md.append(k.equals("stage") ? "" : "- " + k + ": " + v + "\n"));
        Map<String, Object> c = last(lines, "ceilings", "ceilings", null);
        String ceilings = NONE;
        if (c != null)
            ceilings = String.format(Locale.ROOT, "%s: %.1f TFLOP/s bf16, %.1f f32, %.3f TB/s", c.get("device"),
                    number(c, "flops_bf16") / 1e12, number(c, "flops_f32") / 1e12, number(c, "bytes_per_second") / 1e12);
        md.append("- ceilings: ").append(ceilings).append("\n\n");
        md.append("| stage | result |\n|---|---|\n");
        boolean any = false;
        for (Map<String, Object> l : lines) {
            if (l.get("stage").equals("ops")) {
                List<?> failures = (List<?>) l.get("failures");
                md.append(String.format("| ops: %s | %s on %s, %s |%n", l.get("name"), l.get("cases"), l.get("device"),
                        failures.isEmpty() ? "all agree, twice the same bits" : failures.size() + " fail: " + failures));
                any = true;
            } else if (l.get("stage").equals("train") || l.get("stage").equals("sanitizer") || l.get("stage").equals("ended")) {
                Map<String, Object> rest = new LinkedHashMap<>(l);
                rest.keySet().removeAll(List.of("stage", "name"));
                md.append(String.format("| %s: %s | %s |%n", l.get("stage"), l.get("name"), Json.compact(rest)));
            }
        }
        if (!any) md.append("| ops | ").append(NONE).append(" |\n");
        if (last(lines, "train", "golden trajectory F32", null) == null) md.append("| train | ").append(NONE).append(" |\n");
        List<Object> rows = new ArrayList<>();
        md.append("\nMilliseconds; in brackets, whose kernels ours are. Floor: operations and bytes over the ceilings measured here.\n\n")
                .append("| work | ours | eager | compile | floor | eager / ours | compile / ours | ours / floor |\n")
                .append("|---|---|---|---|---|---|---|---|\n");
        for (String name : KERNELS) row(md, rows, lines, "kernels", name);
        for (String name : STEPS) row(md, rows, lines, "steps", name);
        for (Map<String, Object> l : lines)
            if (l.containsKey("failure")) md.append(String.format("%n- %s, %s: %s", l.get("name"), l.get("who"), l.get("failure")));
        md.append("\n");
        Files.writeString(out.resolve("report.md"), md);
        Json.write(out.resolve("report.json"), Map.of("date", LocalDate.now().toString(), "lines", lines, "table", rows));
        System.out.print(md);
    }

    private static void row(StringBuilder md, List<Object> rows, List<Map<String, Object>> lines, String stage, String name) {
        String peer = name.replace(", wgmma", "");  // variants of ours have the same peers
        Double ours = least(lines, stage, name, "ours"), eager = least(lines, stage, peer, "eager");
        Double compiled = least(lines, stage, peer, "compile");
        Map<String, Object> l = last(lines, stage, name, "ours");
        Double floor = l == null || !l.containsKey("floor_ms") ? null : Double.valueOf(number(l, "floor_ms"));
        Map<String, Object> r = new LinkedHashMap<>();
        r.put("name", name);
        r.put("ours_ms", ours);
        r.put("eager_ms", eager);
        r.put("compile_ms", compiled);
        r.put("floor_ms", floor);
        rows.add(r);
        String served = l == null || !l.containsKey("served") ? "" : " (" + l.get("served") + ")";
        md.append(String.format("| %s%s | %s | %s | %s | %s | %s | %s | %s |%n", name, served, text(ours), text(eager), text(compiled),
                text(floor), ratio(eager, ours), ratio(compiled, ours), ratio(ours, floor)));
    }

    private static String text(Double ms) {
        return ms == null ? NONE : String.format(Locale.ROOT, "%.4g", ms);
    }

    private static String ratio(Double a, Double b) {
        return a == null || b == null ? NONE : String.format(Locale.ROOT, "%.2f", a / b);
    }

    private static double number(Map<String, Object> m, String key) {
        return ((Number) m.get(key)).doubleValue();
    }

    /** Several rounds give several lines: the least counts. */
    private static Double least(List<Map<String, Object>> lines, String stage, String name, String who) {
        Double best = null;
        for (Map<String, Object> l : lines)
            if (is(l, stage, name, who) && l.containsKey("ms") && (best == null || number(l, "ms") < best)) best = number(l, "ms");
        return best;
    }

    private static Map<String, Object> last(List<Map<String, Object>> lines, String stage, String name, String who) {
        Map<String, Object> found = null;
        for (Map<String, Object> l : lines) if (is(l, stage, name, who)) found = l;
        return found;
    }

    private static boolean is(Map<String, Object> l, String stage, String name, String who) {
        return stage.equals(l.get("stage")) && name.equals(l.get("name")) && (who == null || who.equals(l.get("who")));
    }
}
