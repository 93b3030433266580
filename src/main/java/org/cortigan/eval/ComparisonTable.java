// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.cortigan.data.AtomicFiles;

/**
 * The table of experiments: a row for each way of predicting and each subject, its figures over seeds with Student's t
 * intervals, and differences paired by seed. As Markdown, CSV and HTML.
 *
 * @param about what all rows have in common, a sentence each
 * @param rows in the order in which they are shown
 */
public record ComparisonTable(List<String> about, List<Row> rows, List<Difference> differences) {
    private static final double CONFIDENCE = 0.95;

    /**
     * One row. Figures that are not known are null or without elements.
     *
     * @param name of the recipe; @param loss and @param discriminators in words
     * @param evaluatedOn the split and its size
     * @param seeds of the runs that are finished; the arrays have a value for each
     * @param secondsPerEpoch of training alone
     * @param meanR Pearson's r over images for each vertex, mean over vertices
     * @param bound mean of sqrt(noise ceiling), which bounds mean r
     * @param score noise-normalised r^2 in percent, mean over vertices
     * @param notes runs that failed or are missing
     */
    public record Row(
            String name,
            int subject,
            String model,
            Long parameters,
            String loss,
            Integer epochs,
            Boolean pretrained,
            String discriminators,
            String evaluatedOn,
            List<Long> seeds,
            double[] secondsPerEpoch,
            double[] meanR,
            Double bound,
            double[] score,
            List<String> notes) {}

    /** Mean r of {@code first} less that of {@code second}, for each seed that both have. */
    public record Difference(String first, String second, int subject, double[] meanR) {}

    private static final List<String> HEAD = List.of(
            "recipe",
            "subject",
            "model",
            "parameters",
            "loss",
            "epochs",
            "pre-trained",
            "discriminators",
            "time per epoch",
            "evaluated on",
            "seeds",
            "mean r over vertices",
            "95% interval",
            "bound: mean sqrt(noise ceiling)",
            "score (%)",
            "95% interval of score",
            "notes");
    private static final List<String> DIFFERENCE_HEAD =
            List.of("difference of mean r over vertices", "subject", "seeds", "mean", "95% interval", "says");

    private static List<String> cells(Row r) {
        return List.of(
                r.name,
                Integer.toString(r.subject),
                r.model,
                r.parameters == null ? "" : String.format(Locale.ROOT, "%,d", r.parameters),
                r.loss,
                r.epochs == null ? "" : r.epochs.toString(),
                r.pretrained == null ? "" : r.pretrained ? "yes" : "no",
                r.discriminators,
                r.secondsPerEpoch.length == 0 ? "" : time(Metrics.mean(r.secondsPerEpoch)),
                r.evaluatedOn,
                r.seeds.stream().map(String::valueOf).collect(Collectors.joining(", ")),
                mean(r.meanR, "%.4f"),
                interval(r.meanR, "%.4f"),
                r.bound == null ? "" : String.format(Locale.ROOT, "%.4f", r.bound),
                mean(r.score, "%.2f"),
                interval(r.score, "%.2f"),
                String.join("; ", r.notes));
    }

    private static List<String> cells(Difference d) {
        String says = "one seed says nothing";
        if (d.meanR.length > 1) {
            Bootstrap.Interval i = Bootstrap.meanInterval(d.meanR, CONFIDENCE);
            says = i.low() > 0
                    ? "the first is better"
                    : i.high() < 0 ? "the second is better" : "no difference beyond the seeds'";
        }
        return List.of(
                d.first + " less " + d.second,
                Integer.toString(d.subject),
                Integer.toString(d.meanR.length),
                mean(d.meanR, "%+.4f"),
                interval(d.meanR, "%+.4f"),
                d.meanR.length == 0 ? "not run yet" : says);
    }

    private static String mean(double[] x, String format) {
        return x.length == 0 ? "" : String.format(Locale.ROOT, format, Metrics.mean(x));
    }

    private static String interval(double[] x, String format) {
        if (x.length < 2) return "";
        Bootstrap.Interval i = Bootstrap.meanInterval(x, CONFIDENCE);
        return String.format(Locale.ROOT, "[" + format + ", " + format + "]", i.low(), i.high());
    }

    private static String time(double seconds) {
        double unit = seconds < 120 ? 1 : seconds < 7200 ? 60 : 3600;
        return String.format(Locale.ROOT, "%.3g %s", seconds / unit, unit == 1 ? "s" : unit == 60 ? "min" : "h");
    }

    private List<String> legend() {
        List<String> l = new ArrayList<>(about);
        l.add(
                "mean r over vertices: Pearson's r over the images for each vertex, mean over all vertices, mean over seeds;"
                        + " its bound is the mean of sqrt(noise ceiling)");
        l.add(
                "score: noise-normalised r^2, r < 0 as 0, at most 100, mean over vertices, in percent; by the challenge's rule a vertex of"
                        + " noise ceiling 0 counts 100 where r is above 0, so that chance alone does not score 0");
        l.add(
                "intervals: Student's t, 95%, of the mean over seeds; of differences paired by seed. They say nothing about other"
                        + " images or subjects");
        for (Row r : rows)
            if (r.bound != null && r.meanR.length > 0 && Metrics.mean(r.meanR) > r.bound)
                l.add("warning: " + r.name + ", subject " + r.subject
                        + ": mean r is above its bound: look for leaked images or a wrong noise ceiling");
        return l;
    }

    /** As Markdown. */
    public String markdown() {
        StringBuilder s = new StringBuilder();
        markdown(s, HEAD, rows.stream().map(ComparisonTable::cells).toList());
        if (!differences.isEmpty())
            markdown(
                    s.append('\n'),
                    DIFFERENCE_HEAD,
                    differences.stream().map(ComparisonTable::cells).toList());
        s.append('\n');
        for (String l : legend()) s.append("- ").append(l).append('\n');
        return s.toString();
    }

    private static void markdown(StringBuilder s, List<String> head, List<List<String>> rows) {
        List<Integer> shown = used(rows, head.size());
        for (List<String> r : concat(head, rows)) {
            for (int c : shown)
                s.append("| ").append(r.get(c).replace("|", "\\|")).append(' ');
            s.append("|\n");
            if (r == head) s.append("|---".repeat(shown.size())).append("|\n");
        }
    }

    /** Columns that have something in them. */
    private static List<Integer> used(List<List<String>> rows, int columns) {
        return java.util.stream.IntStream.range(0, columns)
                .filter(c ->
                        rows.isEmpty() || rows.stream().anyMatch(r -> !r.get(c).isEmpty()))
                .boxed()
                .toList();
    }

    private static List<List<String>> concat(List<String> head, List<List<String>> rows) {
        List<List<String>> all = new ArrayList<>(List.of(head));
        all.addAll(rows);
        return all;
    }

    /** As CSV, a line for each row and then each difference, with the figures of every seed. */
    public String csv() {
        StringBuilder s = new StringBuilder(
                "recipe,subject,model,parameters,loss,epochs,pretrained,discriminators,evaluated_on,seeds,seconds_per_epoch,mean_r,"
                        + "mean_r_low,mean_r_high,mean_sqrt_noise_ceiling,challenge_score_percent,mean_r_by_seed,challenge_score_by_seed,"
                        + "notes\n");
        for (Row r : rows)
            line(
                    s,
                    r.name,
                    r.subject,
                    r.model,
                    r.parameters,
                    r.loss,
                    r.epochs,
                    r.pretrained,
                    r.discriminators,
                    r.evaluatedOn,
                    list(r.seeds.toArray()),
                    one(r.secondsPerEpoch),
                    one(r.meanR),
                    bound(r.meanR, true),
                    bound(r.meanR, false),
                    r.bound,
                    one(r.score),
                    list(Arrays.stream(r.meanR).boxed().toArray()),
                    list(Arrays.stream(r.score).boxed().toArray()),
                    String.join("; ", r.notes));
        for (Difference d : differences)
            line(
                    s,
                    d.first + " less " + d.second,
                    d.subject,
                    "difference of mean r",
                    null,
                    null,
                    null,
                    null,
                    null,
                    null,
                    null,
                    null,
                    one(d.meanR),
                    bound(d.meanR, true),
                    bound(d.meanR, false),
                    null,
                    null,
                    list(Arrays.stream(d.meanR).boxed().toArray()),
                    null,
                    null);
        return s.toString();
    }

    private static Double one(double[] x) {
        return x.length == 0 ? null : (Double) Metrics.mean(x);
    }

    private static Double bound(double[] x, boolean low) {
        if (x.length < 2) return null;
        Bootstrap.Interval i = Bootstrap.meanInterval(x, CONFIDENCE);
        return low ? i.low() : i.high();
    }

    private static String list(Object[] all) {
        return Arrays.stream(all).map(String::valueOf).collect(Collectors.joining(" "));
    }

    private static void line(StringBuilder s, Object... cells) {
        s.append(Arrays.stream(cells)
                        .map(c -> {
                            String t = c == null ? "" : c.toString();
                            return t.matches("[^,\"\\r\\n]*") ? t : '"' + t.replace("\"", "\"\"") + '"';
                        })
                        .collect(Collectors.joining(",")))
                .append('\n');
    }

    private static final String STYLE = """
            :root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#d0d7de;--soft:#f3f5f7;--mark:#0a58ca;--bound:#b35900}
            @media(prefers-color-scheme:dark){
            :root{--ink:#e6e9ed;--paper:#15181c;--line:#3a4149;--soft:#1e2328;--mark:#7ab3ff;--bound:#ffb366}}
            body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem;max-width:110rem}
            div{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}
            th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
            th{background:var(--soft);font-weight:600;min-width:4rem}td{font-variant-numeric:tabular-nums}
            svg{display:block}.axis{stroke:var(--line)}.bound{stroke:var(--bound);stroke-width:2}
            .interval{stroke:var(--mark);stroke-width:2}.mean{fill:var(--mark)}
            li{color:var(--ink);opacity:.85}""";

    /** As one HTML file that needs nothing else and follows the reader's light or dark theme. */
    public String html() {
        StringBuilder s = new StringBuilder(
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        + "<meta name=\"viewport\" content=\"width=device-width\"><title>Comparison of models</title>\n<style>\n");
        s.append(STYLE).append("\n</style></head><body>\n<h1>Comparison of models</h1>\n");
        double top = 0.1; // the pictures' scale ends here
        for (Row r : rows) {
            if (r.bound != null) top = Math.max(top, r.bound);
            for (double x : r.meanR) top = Math.max(top, x);
        }
        double scale = 140 / (1.05 * top);
        html(
                s,
                HEAD,
                rows.stream().map(ComparisonTable::cells).toList(),
                rows.stream().map(r -> picture(r, scale)).toList());
        if (!differences.isEmpty()) {
            s.append("<h2>Differences, paired by seed</h2>\n");
            html(
                    s,
                    DIFFERENCE_HEAD,
                    differences.stream().map(ComparisonTable::cells).toList(),
                    null);
        }
        s.append("<ul>\n");
        for (String l : legend()) s.append("<li>").append(escape(l)).append("</li>\n");
        return s.append("</ul>\n</body></html>\n").toString();
    }

    private static void html(StringBuilder s, List<String> head, List<List<String>> rows, List<String> pictures) {
        List<Integer> shown = used(rows, head.size());
        s.append("<div><table>\n<thead><tr>");
        for (int c : shown)
            s.append("<th scope=\"col\">").append(escape(head.get(c))).append("</th>");
        s.append(pictures == null ? "" : "<th scope=\"col\">mean r, interval, bound</th>")
                .append("</tr></thead>\n<tbody>\n");
        for (int i = 0; i < rows.size(); i++) {
            s.append("<tr>");
            for (int c : shown)
                s.append("<td>").append(escape(rows.get(i).get(c))).append("</td>");
            s.append(pictures == null ? "" : "<td>" + pictures.get(i) + "</td>").append("</tr>\n");
        }
        s.append("</tbody></table></div>\n");
    }

    /** A point with its interval on a line from 0, and where the bound is. */
    private static String picture(Row r, double scale) {
        if (r.meanR.length == 0) return "";
        StringBuilder s = new StringBuilder(
                "<svg width=\"150\" height=\"16\" role=\"img\">"
                        + "<title>mean r with its 95% interval and its bound</title><line class=\"axis\" x1=\"4\" y1=\"8\" x2=\"146\" y2=\"8\"/>");
        if (r.bound != null) vertical(s, "bound", 4 + scale * r.bound);
        if (r.meanR.length > 1) {
            Bootstrap.Interval i = Bootstrap.meanInterval(r.meanR, CONFIDENCE);
            s.append(String.format(
                    Locale.ROOT,
                    "<line class=\"interval\" x1=\"%.1f\" y1=\"8\" x2=\"%.1f\" y2=\"8\"/>",
                    clip(4 + scale * i.low()),
                    clip(4 + scale * i.high())));
        }
        return s.append(String.format(
                        Locale.ROOT,
                        "<circle class=\"mean\" cx=\"%.1f\" cy=\"8\" r=\"3.5\"/></svg>",
                        clip(4 + scale * Metrics.mean(r.meanR))))
                .toString();
    }

    private static void vertical(StringBuilder s, String type, double x) {
        s.append(String.format(
                Locale.ROOT, "<line class=\"%s\" x1=\"%.1f\" y1=\"2\" x2=\"%.1f\" y2=\"14\"/>", type, x, x));
    }

    private static double clip(double x) {
        return Math.max(0, Math.min(150, x));
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }

    /** Writes table.md, table.csv and table.html, each complete or as it was. */
    public void write(Path folder) {
        AtomicFiles.writeString(folder.resolve("table.md"), markdown());
        AtomicFiles.writeString(folder.resolve("table.csv"), csv());
        AtomicFiles.writeString(folder.resolve("table.html"), html());
    }
}
