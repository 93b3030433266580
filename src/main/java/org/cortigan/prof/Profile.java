// SPDX-License-Identifier: Apache-2.0
package org.cortigan.prof;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import org.cortigan.exec.Served;
import org.cortigan.exec.Session;
import org.cortigan.graph.Node;
import org.cortigan.io.Json;
import org.cortigan.op.Cost;
import org.cortigan.op.Op;

/** The time of every node of a session, compared with its floor. */
public final class Profile {
    /**
     * One node, or the sum over several.
     *
     * @param seconds median over the runs
     * @param floor seconds that the device needs at its ceilings for the FLOPs or the bytes, whichever takes longer
     * @param served which library or kernel computes the node
     */
    public record Line(
            String op,
            String label,
            String output,
            double seconds,
            double flops,
            double bytes,
            double floor,
            Served served) {
        /** Time divided by floor. 1 is perfect; below 1 data stayed in a cache. */
        public double ratio() {
            return floor > 0 ? seconds / floor : Double.NaN;
        }
    }

    private final List<Line> lines;
    private final List<long[]> spans;
    private final Ceilings ceilings;

    private Profile(List<Line> lines, List<long[]> spans, Ceilings ceilings) {
        this.lines = List.copyOf(lines);
        this.spans = spans;
        this.ceilings = ceilings;
    }

    /** Runs and times a session; set its inputs first. */
    public static Profile of(Session s, Ceilings c, int warmups, int repeats) {
        for (int i = 0; i < warmups; i++) s.run();
        Node[] nodes = s.launched();
        long[][] times = new long[repeats][nodes.length];
        long[] starts = new long[nodes.length];
        for (long[] t : times) s.runTimed(t, starts);
        List<Line> lines = new ArrayList<>();
        List<long[]> spans = new ArrayList<>();
        for (int i = 0; i < nodes.length; i++) {
            long[] t = new long[repeats];
            for (int k = 0; k < repeats; k++) t[k] = times[k][i];
            Arrays.sort(t);
            Node n = nodes[i];
            Cost cost = Op.of(n).cost(n);
            lines.add(new Line(
                    n.op().name(),
                    n.label(),
                    n.output(0).type().toString(),
                    t[repeats / 2] / 1e9,
                    cost.flops(),
                    cost.bytes(),
                    c.floorSeconds(n),
                    s.served(n)));
            spans.add(new long[] {starts[i] - starts[0], times[repeats - 1][i]});
        }
        return new Profile(lines, spans, c);
    }

    /** One line for each node, in the order of the launches. */
    public List<Line> lines() {
        return lines;
    }

    /** Seconds of one run, the sum over the nodes. */
    public double seconds() {
        return lines.stream().mapToDouble(Line::seconds).sum();
    }

    /** Sums over the nodes of each op, the slowest op first. */
    public List<Line> byOp() {
        return sums(Line::op);
    }

    private List<Line> sums(Function<Line, String> key) {
        Map<String, Line> m = new LinkedHashMap<>();
        for (Line l : lines)
            m.merge(
                    key.apply(l),
                    new Line(key.apply(l), "", "", l.seconds, l.flops, l.bytes, l.floor, Served.kernel()),
                    (a, b) -> new Line(
                            a.op,
                            "",
                            "",
                            a.seconds + b.seconds,
                            a.flops + b.flops,
                            a.bytes + b.bytes,
                            a.floor + b.floor,
                            Served.kernel()));
        List<Line> all = new ArrayList<>(m.values());
        all.sort((a, b) -> Double.compare(b.seconds, a.seconds));
        return all;
    }

    /** Lines that say what computes the products and convolutions; empty on a device without libraries for these. */
    public List<String> served() {
        return Served.summary(lines.stream().map(Line::served).toList());
    }

    /** A table of the sums by op, then of the {@code top} slowest nodes. */
    public String table(int top) {
        StringBuilder s = new StringBuilder();
        double total = seconds(),
                floor = lines.stream().mapToDouble(Line::floor).sum();
        double flops = lines.stream().mapToDouble(Line::flops).sum();
        s.append(String.format(
                Locale.ROOT,
                "%s: %.0f GFLOP/s f32, %.0f bf16, %.1f GB/s measured%n",
                ceilings.device(),
                ceilings.flopsF32() / 1e9,
                ceilings.flopsBf16() / 1e9,
                ceilings.bandwidth() / 1e9));
        s.append(String.format(
                Locale.ROOT,
                "one run: %.2f ms in %d nodes, %.1f GFLOP, floor %.2f ms, ratio %.2f%n",
                total * 1e3,
                lines.size(),
                flops / 1e9,
                floor * 1e3,
                total / floor));
        for (String l : served()) s.append(l).append('\n');
        String head = String.format(
                Locale.ROOT, "%10s %6s %10s %10s %10s %6s  ", "time (ms)", "%", "GFLOP", "MB", "floor (ms)", "ratio");
        s.append(head).append("op\n");
        for (Line l : byOp()) s.append(row(l, total)).append(l.op).append('\n');
        s.append(head).append("node\n");
        lines.stream()
                .sorted((a, b) -> Double.compare(b.seconds, a.seconds))
                .limit(top)
                .forEach(l -> s.append(row(l, total))
                        .append(l.op)
                        .append(' ')
                        .append(l.output)
                        .append("  ")
                        .append(l.label)
                        .append(l.served.text().isEmpty() ? "" : "  [" + l.served.text() + "]")
                        .append('\n'));
        return s.toString();
    }

    private static String row(Line l, double total) {
        return String.format(
                Locale.ROOT,
                "%10.3f %6.1f %10.3f %10.2f %10.3f %6.2f  ",
                l.seconds * 1e3,
                100 * l.seconds / total,
                l.flops / 1e9,
                l.bytes / 1e6,
                l.floor * 1e3,
                l.ratio());
    }

    /** Ceilings, total, and every node in launch order. */
    public Map<String, Object> json() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("device", ceilings.device());
        m.put("flops_f32", ceilings.flopsF32());
        m.put("flops_bf16", ceilings.flopsBf16());
        m.put("bytes_per_second", ceilings.bandwidth());
        m.put("seconds", seconds());
        List<Object> nodes = new ArrayList<>();
        for (Line l : lines) {
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("op", l.op);
            o.put("label", l.label);
            o.put("output", l.output);
            o.put("seconds", l.seconds);
            o.put("flops", l.flops);
            o.put("bytes", l.bytes);
            o.put("floor_seconds", l.floor);
            o.put("by", l.served.by());
            o.put("form", l.served.form());
            o.put("why", l.served.why());
            o.put("refused", l.served.refused());
            nodes.add(o);
        }
        m.put("served", served());
        m.put("nodes", nodes);
        return m;
    }

    /** Writes the last run as a trace for chrome://tracing or Perfetto, in microseconds. */
    public void writeTrace(Path file) {
        List<Object> events = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            Line l = lines.get(i);
            Map<String, Object> e = new LinkedHashMap<>();
            e.put("name", l.op);
            e.put("cat", l.label);
            e.put("ph", "X");
            e.put("ts", spans.get(i)[0] / 1e3);
            e.put("dur", spans.get(i)[1] / 1e3);
            e.put("pid", 1);
            e.put("tid", 1);
            Map<String, Object> about = new LinkedHashMap<>();
            about.put("label", l.label);
            about.put("output", l.output);
            about.put("gflop", l.flops / 1e9);
            about.put("mb", l.bytes / 1e6);
            about.put("by", l.served.by());
            about.put("form", l.served.form());
            about.put("why", l.served.why());
            e.put("args", about);
            events.add(e);
        }
        Json.write(file, Map.of("traceEvents", events));
    }
}
