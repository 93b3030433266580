// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.time.LocalDate;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.cortigan.io.Json;

/** Renders the lines of a call as tables. Whatever has no line is "not measured". */
final class Report {
    private static final String NONE = "not measured";
    private static final int SLOWEST = 15;

    private final String call;
    private final List<Map<String, Object>> lines;
    private final Map<String, Object> profiles;
    private final StringBuilder md = new StringBuilder();

    /** @param profiles node profiles by the name of the step */
    Report(String call, List<Map<String, Object>> lines, Map<String, Object> profiles) {
        this.call = call;
        this.lines = lines;
        this.profiles = profiles;
    }

    /** Whether a line reports a failure. What could not be measured is not a failure. */
    static boolean wrong(Map<String, Object> l) {
        if (l.get("stage").equals("ended")) return !("" + l.get("why")).startsWith(NONE);
        if (l.get("stage").equals("sanitizer"))
            return !("" + l.get("result")).matches("(ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards).*");
        return l.containsKey("failure") && !"PyTorch".equals(l.get("who"));
    }

    String markdown() {
        md.setLength(0);
        md.append("# gpu-check ")
                .append(call)
                .append(", ")
                .append(LocalDate.now(ZoneId.systemDefault()))
                .append("\n\n");
        for (String stage : List.of("environment", "libraries", "ceilings"))
            for (Map<String, Object> l : linesOf(stage))
                md.append("- ")
                        .append(stage)
                        .append(": ")
                        .append(otherFields(l))
                        .append('\n');
        if (linesOf("ceilings").isEmpty())
            md.append("- ceilings: ").append(NONE).append('\n');
        failures();
        notes();
        if (call.equals("smoke")) {
            ops();
            train();
        }
        steps();
        if (call.equals("smoke")) profiles();
        else {
            kernels();
            sanitizer();
        }
        stages();
        return md.toString();
    }

    /** The report for programs. */
    Map<String, Object> json() {
        List<Object> rows = new ArrayList<>();
        for (String stage : List.of("steps", "kernels")) for (String name : names(stage)) rows.add(row(stage, name));
        return map(
                "date",
                LocalDate.now(ZoneId.systemDefault()).toString(),
                "call",
                call,
                "wrong",
                lines.stream().filter(Report::wrong).toList(),
                "families",
                new ArrayList<>(families().values()),
                "comparisons",
                rows);
    }

    private void failures() {
        md.append("\n## Failures\n\n");
        int n = 0;
        for (Map<String, Object> l : lines) {
            if (!wrong(l)) continue;
            n++;
            md.append("- ")
                    .append(l.get("stage"))
                    .append(", ")
                    .append(l.get("name"))
                    .append(": ");
            if (l.containsKey("item")) md.append(l.get("item")).append(": ");
            md.append(l.getOrDefault("failure", l.getOrDefault("why", l.get("result"))))
                    .append('\n');
        }
        if (n == 0) md.append("No measured item failed.\n");
    }

    private void notes() {
        Set<String> all = new LinkedHashSet<>();
        int ops = 0;
        for (Map<String, Object> l : linesOf("note"))
            if ("ops".equals(l.get("name"))) ops++;
            else all.add(l.get("name") + ": " + l.get("text"));
        if (all.isEmpty() && ops == 0) return;
        md.append("\n## Notes\n\n");
        for (String s : all) md.append("- ").append(s).append('\n');
        if (ops > 0) md.append("- ops: ").append(ops).append(" notes on odd shapes, in measured.jsonl\n");
    }

    private Map<String, Map<String, Object>> families() {
        Map<String, Map<String, Object>> all = new TreeMap<>();
        for (Map<String, Object> l : linesOf("ops")) {
            Map<String, Object> f = family(all, (String) l.get("family"));
            f.put("cases", (Integer) f.get("cases") + 1);
            if (l.containsKey("failure")) f.put("failed", (Integer) f.get("failed") + 1);
            if (l.containsKey("error") && number(l, "error") > (Double) f.get("worst")) {
                f.put("worst", number(l, "error"));
                f.put("of", l.get("name"));
            }
        }
        for (Map<String, Object> l : linesOf("ended"))
            if ("ops".equals(l.get("name")) && l.containsKey("item")) {
                Map<String, Object> f = family(all, l.get("item").toString().split(" ")[0]);
                f.put("ended", (Integer) f.get("ended") + 1);
            }
        return all;
    }

    private static Map<String, Object> family(Map<String, Map<String, Object>> all, String name) {
        return all.computeIfAbsent(
                name, k -> map("family", k, "cases", 0, "failed", 0, "ended", 0, "worst", 0.0, "of", ""));
    }

    private void ops() {
        md.append("\n## Ops against the double reference\n\nEnded: cases that killed their process or hung; ")
                .append("worst: the largest error, as a fraction of the tolerance of the case.\n\n")
                .append("| family | cases | failed | ended | worst | worst case |\n|---|---|---|---|---|---|\n");
        Map<String, Map<String, Object>> all = families();
        int cases = 0, failed = 0;
        for (Map<String, Object> f : all.values()) {
            cases += (Integer) f.get("cases");
            failed += (Integer) f.get("failed");
            md.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %s | %.2g | %s |%n",
                    f.get("family"),
                    f.get("cases"),
                    f.get("failed"),
                    f.get("ended"),
                    (Double) f.get("worst"),
                    f.get("of")));
        }
        for (String f : Piece.families())
            if (!all.containsKey(f))
                md.append("| ").append(f).append(" | ").append(NONE).append(" | | | | |\n");
        md.append(String.format(Locale.ROOT, "| all | %d | %d | | | |%n", cases, failed));
    }

    private void train() {
        md.append("\n## The golden training run\n\n");
        for (Map<String, Object> l : linesOf("train"))
            md.append("- ")
                    .append(l.get("name"))
                    .append(": ")
                    .append(otherFields(l))
                    .append('\n');
        if (linesOf("train").isEmpty()) md.append(NONE).append('\n');
    }

    private void steps() {
        md.append(
                "\n## Training steps, milliseconds\n\nMedian with a synchronisation after every step; in brackets, the mean of steps in a row. "
                        + "Floor: FLOPs or bytes over the measured ceilings, the larger for each node.\n\n");
        comparison("steps", List.of("step none", "step vit", "step conv", "step sd 32"));
        for (Map<String, Object> l : linesOf("steps"))
            if ("ours".equals(l.get("who")))
                md.append(String.format(
                        Locale.ROOT,
                        "%n- %s: %s, %s nodes, served by %s",
                        l.get("name"),
                        l.get("precision"),
                        l.get("nodes"),
                        Json.compact(l.get("served"))));
        md.append('\n');
    }

    private void kernels() {
        md.append(
                        "\n## Kernels, milliseconds\n\nCopies in one replayed graph, timed by events; median per copy. Our precision: ")
                .append(linesOf("kernels").stream()
                        .filter(l -> l.containsKey("precision"))
                        .map(l -> "" + l.get("precision"))
                        .findFirst()
                        .orElse(NONE))
                .append(".\n\n");
        comparison("kernels", List.of());
    }

    private void comparison(String stage, List<String> expected) {
        md.append(
                        "| work | ours | ours again | PyTorch eager | PyTorch best | best mode | floor | best / ours | ours / floor |\n")
                .append("|---|---|---|---|---|---|---|---|---|\n");
        Set<String> all = new LinkedHashSet<>(expected);
        all.addAll(names(stage));
        if (all.isEmpty()) md.append("| all | ").append(NONE).append(" | | | | | | | |\n");
        for (String name : all) {
            Map<String, Object> r = row(stage, name);
            md.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %s | %s | %s | %s | %s | %s |%n",
                    name,
                    ms(r, "ours"),
                    ms(r, "again"),
                    ms(r, "eager"),
                    ms(r, "best"),
                    r.getOrDefault("which", ""),
                    ms(r, "floor"),
                    ratio(r, "best", "ours"),
                    ratio(r, "ours", "floor")));
        }
    }

    /** Names measured in a stage, by us or by PyTorch, in the order of measurement. */
    private Set<String> names(String stage) {
        Set<String> n = new LinkedHashSet<>();
        for (Map<String, Object> l : linesOf(stage)) n.add((String) l.get("name"));
        return n;
    }

    /** One row of a comparison: our first and second time, PyTorch's eager and best time. */
    private Map<String, Object> row(String stage, String name) {
        // all variants of our kernels have the same PyTorch peer
        String peer = name.replace(", wgmma", "").replace(" wgmma", "").replace(" fp8", "");
        Map<String, Object> r = map("stage", stage, "name", name);
        for (Map<String, Object> l : linesOf(stage)) {
            if (!l.containsKey("ms")) continue;
            if ("ours".equals(l.get("who")) && name.equals(l.get("name"))) {
                String key = r.containsKey("ours") ? "again" : "ours";
                r.put(key, number(l, "ms"));
                if (l.containsKey("ms_unsynchronised")) r.put(key + "_row", number(l, "ms_unsynchronised"));
                r.put("floor", number(l, "floor_ms"));
            } else if ("PyTorch".equals(l.get("who")) && peer.equals(l.get("name"))) {
                if ("eager".equals(l.get("mode"))) keepFaster(r, "eager", l);
                if (keepFaster(r, "best", l)) r.put("which", l.get("mode") + ", " + l.getOrDefault("variant", ""));
            }
        }
        return r;
    }

    private static boolean keepFaster(Map<String, Object> r, String key, Map<String, Object> l) {
        if (r.containsKey(key) && (Double) r.get(key) <= number(l, "ms")) return false;
        r.put(key, number(l, "ms"));
        r.remove(key + "_row");
        if (l.containsKey("ms_unsynchronised")) r.put(key + "_row", number(l, "ms_unsynchronised"));
        return true;
    }

    private static String ms(Map<String, Object> r, String key) {
        if (!r.containsKey(key)) return NONE;
        String s = String.format(Locale.ROOT, "%.4g", (Double) r.get(key));
        return r.containsKey(key + "_row")
                ? s + String.format(Locale.ROOT, " (%.4g)", (Double) r.get(key + "_row"))
                : s;
    }

    private static String ratio(Map<String, Object> r, String a, String b) {
        return r.containsKey(a) && r.containsKey(b)
                ? String.format(Locale.ROOT, "%.2f", (Double) r.get(a) / (Double) r.get(b))
                : NONE;
    }

    /** Where a step's time goes: sums over the nodes with the same op, output and library, slowest first. */
    private void profiles() {
        md.append("\n## Where the time goes\n");
        if (profiles.isEmpty()) md.append('\n').append(NONE).append('\n');
        for (Map.Entry<String, Object> e : profiles.entrySet()) {
            Map<String, Map<String, Object>> sums = new LinkedHashMap<>();
            double total = 0;
            for (Object o : (List<?>) Json.object(e.getValue(), "profile").get("nodes")) {
                Map<String, Object> n = Json.object(o, "node");
                String key = n.get("op") + " " + n.get("output") + " | " + n.get("by")
                        + (Boolean.TRUE.equals(n.get("refused")) ? ", refused" : "");
                Map<String, Object> s =
                        sums.computeIfAbsent(key, k -> map("work", k, "nodes", 0, "ms", 0.0, "floor", 0.0));
                s.put("nodes", (Integer) s.get("nodes") + 1);
                s.put("ms", (Double) s.get("ms") + 1e3 * number(n, "seconds"));
                s.put("floor", (Double) s.get("floor") + 1e3 * number(n, "floor_seconds"));
                total += 1e3 * number(n, "seconds");
            }
            md.append(String.format(
                            Locale.ROOT,
                            "%n**%s**: %.2f ms, measured node by node with events between nodes%n%n",
                            e.getKey(),
                            total))
                    .append("| work | computed by | nodes | ms | % | floor | ratio |\n|---|---|---|---|---|---|---|\n");
            List<Map<String, Object>> all = new ArrayList<>(sums.values());
            all.sort(Comparator.comparingDouble(s -> -(Double) s.get("ms")));
            for (Map<String, Object> s : all.subList(0, Math.min(SLOWEST, all.size()))) {
                double ms = (Double) s.get("ms"), floor = (Double) s.get("floor");
                md.append(String.format(
                        Locale.ROOT,
                        "| %s | %s | %.3f | %.1f | %.3f | %s |%n",
                        s.get("work"),
                        s.get("nodes"),
                        ms,
                        100 * ms / total,
                        floor,
                        floor > 0 ? String.format(Locale.ROOT, "%.2f", ms / floor) : ""));
            }
        }
    }

    private void sanitizer() {
        md.append("\n## compute-sanitizer\n\n");
        for (Map<String, Object> l : linesOf("sanitizer"))
            md.append("- ")
                    .append(l.get("name"))
                    .append(": ")
                    .append(l.get("result"))
                    .append('\n');
        if (linesOf("sanitizer").isEmpty()) md.append(NONE).append('\n');
    }

    private void stages() {
        md.append(
                "\n## Stages\n\n| stage | seconds | limit | clocks, power, temperature: minimum, median, maximum |\n|---|---|---|---|\n");
        List<Map<String, Object>> clocks = linesOf("clocks");
        for (Map<String, Object> l : linesOf("took")) {
            String c = NONE;
            for (Map<String, Object> k : clocks) if (k.get("name").equals(l.get("name"))) c = otherFields(k);
            md.append(String.format(
                    Locale.ROOT, "| %s | %s | %s | %s |%n", l.get("name"), l.get("seconds"), l.get("share"), c));
        }
        for (Map<String, Object> l : linesOf("ended"))
            if (!wrong(l))
                md.append(String.format(
                        Locale.ROOT,
                        "| %s | | | %s: %s |%n",
                        l.get("name"),
                        l.getOrDefault("item", "whole stage"),
                        l.get("why")));
        for (Map<String, Object> l : lines)
            if ("PyTorch".equals(l.get("who")) && !l.containsKey("ms"))
                md.append(String.format(
                        Locale.ROOT,
                        "| %s, PyTorch, %s, %s | | | %s |%n",
                        l.get("name"),
                        l.get("mode"),
                        l.getOrDefault("variant", ""),
                        l.getOrDefault("failure", NONE + ": " + l.get("not_measured"))));
        md.append("\nThe output of ncu and compute-sanitizer is in log.txt.\n");
    }

    private List<Map<String, Object>> linesOf(String stage) {
        return lines.stream().filter(l -> stage.equals(l.get("stage"))).toList();
    }

    private static String otherFields(Map<String, Object> l) {
        Map<String, Object> m = new LinkedHashMap<>(l);
        m.keySet().removeAll(List.of("stage", "name"));
        return Json.compact(m);
    }

    private static double number(Map<String, Object> m, String key) {
        return ((Number) m.get(key)).doubleValue();
    }
}
