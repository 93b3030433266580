// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.cortigan.InputException.oneLine;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.DoubleFunction;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.jspecify.annotations.Nullable;

/**
 * The table of a comparison, as Markdown, CSV and HTML. Each row has the figures of one model and one subject over
 * seeds, with Student's t intervals. Differences between models are paired by seed.
 *
 * @param about sentences about all rows
 * @param rows rows in display order
 */
public record ComparisonTable(List<String> about, List<Row> rows, List<Difference> differences) {
    private static final double CONFIDENCE = 0.95;
    /** CSV columns of the ends of the interval of mean r. */
    private static final String LOW = Metric.MEAN_R.key() + "_low", HIGH = Metric.MEAN_R.key() + "_high";

    /**
     * One row. Unknown values are null or empty.
     *
     * @param name name of the recipe
     * @param evaluatedOn the split and its size
     * @param seeds seeds of the finished runs; empty if the result does not depend on a seed
     * @param secondsPerEpoch training time without validation, for each finished run
     * @param figures values of each metric, one for each finished run that has the metric
     * @param notes runs that failed or have not run
     */
    public record Row(
            String name,
            int subject,
            Setup setup,
            String evaluatedOn,
            List<Long> seeds,
            double[] secondsPerEpoch,
            Map<Metric, double[]> figures,
            List<String> notes) {
        private double[] figures(Metric metric) {
            return figures.getOrDefault(metric, new double[0]);
        }

        /** The mean over seeds, or the single value of a metric that does not vary with the seed; null if unknown. */
        private @Nullable Double figure(Metric metric) {
            double[] all = figures(metric);
            if (all.length == 0) return null;
            return metric.comparison().variesWithSeed() ? Metrics.mean(all) : all[0];
        }

        private String shown(Metric metric) {
            Double figure = figure(metric);
            return figure == null ? "" : metric.format(figure);
        }

        private boolean isAboveBound() {
            Double meanR = figure(Metric.MEAN_R), bound = figure(Metric.BOUND);
            return meanR != null && bound != null && meanR > bound;
        }
    }

    /**
     * What was trained, in words.
     *
     * @param parameters number of the generator's parameters; null if unknown
     * @param epochs null if nothing was trained
     * @param pretrained whether training started from a pre-trained model; null if nothing was trained
     */
    public record Setup(
            String model,
            @Nullable Long parameters,
            String loss,
            @Nullable Integer epochs,
            @Nullable Boolean pretrained,
            String discriminators) {}

    /** Mean r of {@code first} minus mean r of {@code second}, for each seed that both have. */
    public record Difference(String first, String second, int subject, double[] meanR) {
        private String name() {
            return first + " minus " + second;
        }
    }

    private record Column<R, C extends @Nullable Object>(String heading, Function<R, C> cell) {}

    private static final List<Column<Row, String>> COLUMNS = columns();
    private static final List<Column<Difference, String>> DIFFERENCE_COLUMNS = differenceColumns();
    private static final List<Column<Row, @Nullable Object>> CSV_COLUMNS = csvColumns();

    private static List<Column<Row, String>> columns() {
        List<Column<Row, String>> c = new ArrayList<>();
        c.add(new Column<>("recipe", Row::name));
        c.add(new Column<>("subject", r -> Integer.toString(r.subject)));
        c.add(new Column<>("model", r -> r.setup.model));
        c.add(new Column<>(
                "parameters",
                r -> r.setup.parameters == null ? "" : String.format(Locale.ROOT, "%,d", r.setup.parameters)));
        c.add(new Column<>("loss", r -> r.setup.loss));
        c.add(new Column<>("epochs", r -> text(r.setup.epochs)));
        c.add(new Column<>("pre-trained", r -> r.setup.pretrained == null ? "" : r.setup.pretrained ? "yes" : "no"));
        c.add(new Column<>("discriminators", r -> r.setup.discriminators));
        c.add(new Column<>(
                "time per epoch", r -> r.secondsPerEpoch.length == 0 ? "" : time(Metrics.mean(r.secondsPerEpoch))));
        c.add(new Column<>("evaluated on", Row::evaluatedOn));
        c.add(new Column<>("seeds", r -> r.seeds.stream().map(String::valueOf).collect(Collectors.joining(", "))));
        for (Metric m : Metric.compared()) {
            c.add(new Column<>(m.comparison().heading(), r -> r.shown(m)));
            String interval = m.comparison().intervalHeading();
            if (interval != null) c.add(new Column<>(interval, r -> interval(r.figures(m), m::format)));
        }
        c.add(new Column<>("notes", r -> String.join("; ", r.notes)));
        return c;
    }

    private static List<Column<Difference, String>> differenceColumns() {
        return List.of(
                new Column<>("difference of mean r over vertices", Difference::name),
                new Column<>("subject", d -> Integer.toString(d.subject)),
                new Column<>("seeds", d -> Integer.toString(d.meanR.length)),
                new Column<>("mean", d -> d.meanR.length == 0 ? "" : signed(Metrics.mean(d.meanR))),
                new Column<>("95% interval", d -> interval(d.meanR, ComparisonTable::signed)),
                new Column<>("conclusion", ComparisonTable::conclusion));
    }

    private static List<Column<Row, @Nullable Object>> csvColumns() {
        List<Column<Row, @Nullable Object>> c = new ArrayList<>();
        c.add(new Column<>("recipe", Row::name));
        c.add(new Column<>("subject", Row::subject));
        c.add(new Column<>("model", r -> r.setup.model));
        c.add(new Column<>("parameters", r -> r.setup.parameters));
        c.add(new Column<>("loss", r -> r.setup.loss));
        c.add(new Column<>("epochs", r -> r.setup.epochs));
        c.add(new Column<>("pretrained", r -> r.setup.pretrained));
        c.add(new Column<>("discriminators", r -> r.setup.discriminators));
        c.add(new Column<>("evaluated_on", Row::evaluatedOn));
        c.add(new Column<>("seeds", r -> spaced(r.seeds.stream())));
        c.add(new Column<>("seconds_per_epoch", r -> meanOrNull(r.secondsPerEpoch)));
        for (Metric m : Metric.compared()) {
            c.add(new Column<>(m.key(), r -> r.figure(m)));
            if (m == Metric.MEAN_R) {
                c.add(new Column<>(LOW, r -> low(r.figures(m))));
                c.add(new Column<>(HIGH, r -> high(r.figures(m))));
            }
        }
        for (Metric m : Metric.compared()) {
            String bySeed = m.comparison().bySeedKey();
            if (bySeed != null) c.add(new Column<>(bySeed, r -> spaced(r.figures(m))));
        }
        c.add(new Column<>("notes", r -> String.join("; ", r.notes)));
        return c;
    }

    private static String conclusion(Difference d) {
        if (d.meanR.length == 0) return "not run yet";
        if (d.meanR.length == 1) return "one seed is not enough";
        Bootstrap.Interval i = Bootstrap.meanInterval(d.meanR, CONFIDENCE);
        if (i.low() > 0) return "the first is better";
        return i.high() < 0 ? "the second is better" : "no difference beyond the variation over seeds";
    }

    private static String interval(double[] figures, DoubleFunction<String> format) {
        if (figures.length < 2) return "";
        Bootstrap.Interval i = Bootstrap.meanInterval(figures, CONFIDENCE);
        return "[" + format.apply(i.low()) + ", " + format.apply(i.high()) + "]";
    }

    private static String signed(double difference) {
        return String.format(Locale.ROOT, "%+.4f", difference);
    }

    private static String text(@Nullable Object value) {
        return value == null ? "" : value.toString();
    }

    private static String time(double seconds) {
        double unit = seconds < 120 ? 1 : seconds < 7200 ? 60 : 3600;
        return String.format(Locale.ROOT, "%.3g %s", seconds / unit, unit == 1 ? "s" : unit == 60 ? "min" : "h");
    }

    private List<String> legend() {
        List<String> lines = new ArrayList<>(about);
        for (Metric m : Metric.compared())
            if (m.comparison().explanation() != null) lines.add(m.comparison().explanation());
        lines.add("intervals: 95% Student's t intervals of the mean over seeds; differences are paired by seed."
                + " They say nothing about other images or subjects");
        for (Row r : rows)
            if (r.isAboveBound())
                lines.add("warning: " + r.name + ", subject " + r.subject
                        + ": mean r is above its bound: check for leaked images or a wrong noise ceiling");
        return lines;
    }

    /** The table as Markdown, without empty columns. */
    public String markdown() {
        StringBuilder s = new StringBuilder();
        markdown(s, COLUMNS, rows);
        if (!differences.isEmpty()) markdown(s.append('\n'), DIFFERENCE_COLUMNS, differences);
        s.append('\n');
        for (String line : legend()) s.append("- ").append(oneLine(line)).append('\n');
        return s.toString();
    }

    private static <R> void markdown(StringBuilder s, List<Column<R, String>> columns, List<R> rows) {
        List<Column<R, String>> shown = used(columns, rows);
        markdownLine(s, shown, Column::heading);
        s.append("|---".repeat(shown.size())).append("|\n");
        for (R row : rows) markdownLine(s, shown, c -> c.cell.apply(row));
    }

    private static <R> void markdownLine(
            StringBuilder s, List<Column<R, String>> columns, Function<Column<R, String>, String> cell) {
        for (Column<R, String> c : columns)
            s.append("| ").append(oneLine(cell.apply(c)).replace("|", "\\|")).append(' ');
        s.append("|\n");
    }

    /** The columns that are not empty in all rows. */
    private static <R> List<Column<R, String>> used(List<Column<R, String>> columns, List<R> rows) {
        return columns.stream()
                .filter(c -> rows.isEmpty()
                        || rows.stream().anyMatch(r -> !c.cell.apply(r).isEmpty()))
                .toList();
    }

    /** The table as CSV: a line for each row, then one for each difference, with the values of every seed. */
    public String csv() {
        StringBuilder s = new StringBuilder();
        csvLine(s, CSV_COLUMNS.stream().map(Column::heading));
        for (Row r : rows) csvLine(s, CSV_COLUMNS.stream().map(c -> c.cell.apply(r)));
        for (Difference d : differences) {
            Map<String, @Nullable Object> cells = csvCells(d);
            csvLine(s, CSV_COLUMNS.stream().map(c -> cells.get(c.heading)));
        }
        return s.toString();
    }

    /** The CSV cells of a difference, whose values are in the columns of mean r. */
    private static Map<String, @Nullable Object> csvCells(Difference d) {
        Map<String, @Nullable Object> cells = new HashMap<>();
        cells.put("recipe", d.name());
        cells.put("subject", d.subject);
        cells.put("model", "difference of mean r");
        cells.put(Metric.MEAN_R.key(), meanOrNull(d.meanR));
        cells.put(LOW, low(d.meanR));
        cells.put(HIGH, high(d.meanR));
        cells.put(Metric.MEAN_R.comparison().bySeedKey(), spaced(d.meanR));
        return cells;
    }

    private static @Nullable Double meanOrNull(double[] figures) {
        return figures.length == 0 ? null : (Double) Metrics.mean(figures);
    }

    private static @Nullable Double low(double[] figures) {
        return figures.length < 2
                ? null
                : (Double) Bootstrap.meanInterval(figures, CONFIDENCE).low();
    }

    private static @Nullable Double high(double[] figures) {
        return figures.length < 2
                ? null
                : (Double) Bootstrap.meanInterval(figures, CONFIDENCE).high();
    }

    private static String spaced(double[] figures) {
        return spaced(Arrays.stream(figures).boxed());
    }

    private static String spaced(Stream<?> values) {
        return values.map(String::valueOf).collect(Collectors.joining(" "));
    }

    private static void csvLine(StringBuilder s, Stream<?> cells) {
        s.append(Csv.line(cells.map(ComparisonTable::text).toList()));
    }

    private static final String STYLE = """
            :root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;\
            --line:#d0d7de;--soft:#f3f5f7;--mark:#0a58ca;--bound:#b35900}
            @media(prefers-color-scheme:dark){
            :root{--ink:#e6e9ed;--paper:#15181c;--line:#3a4149;--soft:#1e2328;--mark:#7ab3ff;--bound:#ffb366}}
            body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);\
            margin:2rem;max-width:110rem}
            div{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}
            th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
            th{background:var(--soft);font-weight:600;min-width:4rem}td{font-variant-numeric:tabular-nums}
            svg{display:block}.axis{stroke:var(--line)}.bound{stroke:var(--bound);stroke-width:2}
            .interval{stroke:var(--mark);stroke-width:2}.mean{fill:var(--mark)}
            li{color:var(--ink);opacity:.85}""";

    /** The table as one self-contained HTML file that follows the reader's light or dark theme. */
    public String html() {
        StringBuilder s = new StringBuilder("""
                <!DOCTYPE html>
                <html lang="en"><head><meta charset="utf-8">\
                <meta name="viewport" content="width=device-width"><title>Comparison of models</title>
                <style>
                """);
        s.append(STYLE).append("\n</style></head><body>\n<h1>Comparison of models</h1>\n");
        double scale = 140 / (1.05 * largestFigure());
        html(s, COLUMNS, rows, r -> picture(r, scale));
        if (!differences.isEmpty()) {
            s.append("<h2>Differences, paired by seed</h2>\n");
            html(s, DIFFERENCE_COLUMNS, differences, null);
        }
        s.append("<ul>\n");
        for (String line : legend()) s.append("<li>").append(escape(line)).append("</li>\n");
        return s.append("</ul>\n</body></html>\n").toString();
    }

    /** The largest mean r or bound, which sets the scale of the pictures. */
    private double largestFigure() {
        return Stream.concat(
                        Stream.of(0.1),
                        rows.stream()
                                .flatMap(r -> Stream.of(Metric.MEAN_R, Metric.BOUND)
                                        .flatMap(
                                                m -> Arrays.stream(r.figures(m)).boxed())))
                .max(Double::compare)
                .orElseThrow();
    }

    /** @param picture content of an additional last column; null for none */
    private static <R> void html(
            StringBuilder s, List<Column<R, String>> columns, List<R> rows, @Nullable Function<R, String> picture) {
        List<Column<R, String>> shown = used(columns, rows);
        s.append("<div><table>\n<thead><tr>");
        for (Column<R, String> c : shown)
            s.append("<th scope=\"col\">").append(escape(c.heading)).append("</th>");
        if (picture != null) s.append("<th scope=\"col\">mean r, interval, bound</th>");
        s.append("</tr></thead>\n<tbody>\n");
        for (R row : rows) {
            s.append("<tr>");
            for (Column<R, String> c : shown)
                s.append("<td>").append(escape(c.cell.apply(row))).append("</td>");
            if (picture != null) s.append("<td>").append(picture.apply(row)).append("</td>");
            s.append("</tr>\n");
        }
        s.append("</tbody></table></div>\n");
    }

    /** An SVG picture: mean r with its interval on an axis from 0, and the bound. */
    private static String picture(Row r, double scale) {
        double[] meanR = r.figures(Metric.MEAN_R);
        if (meanR.length == 0) return "";
        StringBuilder s = new StringBuilder("<svg width=\"150\" height=\"16\" role=\"img\">"
                + "<title>mean r with its 95% interval and its bound</title>"
                + "<line class=\"axis\" x1=\"4\" y1=\"8\" x2=\"146\" y2=\"8\"/>");
        Double bound = r.figure(Metric.BOUND);
        if (bound != null) vertical(s, "bound", 4 + scale * bound);
        if (meanR.length > 1) {
            Bootstrap.Interval i = Bootstrap.meanInterval(meanR, CONFIDENCE);
            s.append(String.format(
                    Locale.ROOT,
                    "<line class=\"interval\" x1=\"%.1f\" y1=\"8\" x2=\"%.1f\" y2=\"8\"/>",
                    clip(4 + scale * i.low()),
                    clip(4 + scale * i.high())));
        }
        return s.append(String.format(
                        Locale.ROOT,
                        "<circle class=\"mean\" cx=\"%.1f\" cy=\"8\" r=\"3.5\"/></svg>",
                        clip(4 + scale * Metrics.mean(meanR))))
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

    /** Writes table.md, table.csv and table.html, each atomically. */
    public void write(Path folder) {
        AtomicFiles.writeString(folder.resolve("table.md"), markdown());
        AtomicFiles.writeString(folder.resolve("table.csv"), csv());
        AtomicFiles.writeString(folder.resolve("table.html"), html());
    }
}
