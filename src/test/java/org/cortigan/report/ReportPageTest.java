// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.function.IntToDoubleFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import javax.imageio.ImageIO;
import org.cortigan.Browser;
import org.cortigan.ReportPages;
import org.cortigan.io.Json;
import org.cortigan.surface.Fsaverage;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Looks at a report in a browser: what the page shows is compared with the numbers in its file, which the test decodes
 * itself.
 */
@Tag("slow")
class ReportPageTest {
    private static final Path EXPECTED = Path.of("src/test/resources/report/surface.png");
    private static final List<String> HEMISPHERES = List.of("lh", "rh");
    /** Vertices of a hemisphere that are tried. */
    private static final int TRIED = 40;

    private static Path file;
    private static Report report;
    private static Browser browser;

    @BeforeAll
    static void start(@TempDir Path folder) throws IOException {
        browser = Browser.start();
        file = ReportPages.quickstartLike(folder);
        report = new Report(Files.readString(file));
    }

    @AfterAll
    static void end() {
        if (browser != null) browser.close();
    }

    /** A report's file, and the numbers in it. */
    private record Report(String html, Map<String, Object> data) {
        private static final String BEGIN = "<script type=\"application/json\" id=\"report-data\">", END = "</script>";

        Report(String html) {
            this(html, Json.object(Json.parse(html.substring(begin(html), end(html)), "report-data"), "report-data"));
        }

        private static int begin(String html) {
            return html.indexOf(BEGIN) + BEGIN.length();
        }

        private static int end(String html) {
            return html.indexOf(END, begin(html));
        }

        /** The same page with other data. */
        String with(Map<String, Object> data) {
            String json = Json.compact(data).replace("<", "\\u003c");
            return html.substring(0, begin(html)) + json + html.substring(end(html));
        }

        int level() {
            return ((Long) object(data, "geometry").get("level")).intValue();
        }

        Map<String, Object> run(Object id) {
            return ((List<?>) data.get("runs"))
                    .stream()
                            .map(r -> Json.object(r, "runs"))
                            .filter(r -> r.get("id").equals(id))
                            .findFirst()
                            .orElseThrow();
        }

        Map<String, Object> subject(Object run) {
            return object(object(data, "subjects"), (String) run(run).get("subject"));
        }

        double[] lut(String colourmap) {
            return decode(object(object(data, "colourmaps"), colourmap));
        }

        /** The challenge vertex that each vertex of the mesh shows; -1 for none. */
        int[] shown(Object run, String hemisphere) {
            return ints(decode(object(object(subject(run), "shown"), hemisphere)));
        }

        /** A map by vertex of the mesh; NaN where there is no value. */
        double[] onMesh(Object run, String hemisphere, double[] values) {
            return Arrays.stream(shown(run, hemisphere))
                    .mapToDouble(v -> v < 0 ? Double.NaN : values[v])
                    .toArray();
        }

        double[] r(Object run, String hemisphere) {
            return decode(object(object(object(run(run), "maps"), "r"), hemisphere));
        }

        /** The noise-normalised score of each vertex, in percent. */
        double[] score(Object run, String hemisphere) {
            double[] r = r(run, hemisphere), ceiling = decode(object(object(subject(run), "ceiling"), hemisphere));
            Arrays.setAll(r, v -> r[v] < 0 ? 0 : Math.min(100, 100 * r[v] * r[v] / Math.max(ceiling[v], 1e-14)));
            return r;
        }

        /** Names of the ROIs with the vertices of each. */
        Map<String, Set<Integer>> rois(Object run, String hemisphere) {
            Map<String, Set<Integer>> rois = new HashMap<>();
            for (Object o : (List<?>) subject(run).get("rois")) {
                Map<String, Object> roi = Json.object(o, "rois");
                Set<Integer> members = new HashSet<>();
                for (int v : ints(decode(object(roi, hemisphere)))) members.add(v);
                rois.put((String) roi.get("name"), members);
            }
            return rois;
        }
    }

    private static Map<String, Object> object(Map<String, Object> in, String key) {
        return Json.object(in.get(key), key);
    }

    private static int[] ints(double[] values) {
        return Arrays.stream(values).mapToInt(x -> (int) x).toArray();
    }

    /** The elements of a packed array: planes of bytes, the lowest first; of surfaces' coding only the test of Java. */
    private static double[] decode(Map<String, Object> blob) {
        int n = ((Long) blob.get("n")).intValue();
        int width = Map.of("u8", 1, "i16", 2, "i32", 4).get((String) blob.get("type"));
        byte[] bytes = new byte[n * width + 1];
        Inflater inflater = new Inflater();
        try {
            inflater.setInput(Base64.getDecoder().decode((String) blob.get("data")));
            assertEquals(n * width, inflater.inflate(bytes));
        } catch (DataFormatException e) {
            throw new IllegalStateException(e);
        } finally {
            inflater.end();
        }
        boolean delta = blob.get("coding").equals("delta");
        Number nan = (Number) blob.get("nan"), scale = (Number) blob.get("scale");
        double[] values = new double[n];
        int last = 0;
        for (int i = 0; i < n; i++) {
            int x = 0;
            for (int plane = 0; plane < width; plane++) x |= (bytes[plane * n + i] & 0xff) << 8 * plane;
            if (delta) x = last += x >>> 1 ^ -(x & 1);
            else if (width > 1) x = x << 32 - 8 * width >> 32 - 8 * width;
            boolean missing = nan != null && nan.intValue() == x;
            values[i] = missing ? Double.NaN : x * (scale == null ? 1 : scale.doubleValue());
        }
        return values;
    }

    /** Opens the report and waits for its first picture; the surface is in the window. */
    private static void open(Browser b) {
        b.open(file);
        b.evaluate(
                "cortigan.ready.then(() => document.getElementById('surface').scrollIntoView({block: 'center', behavior: 'instant'}))");
        frame(b);
    }

    private static void open() {
        open(browser);
        set("{surface: 'inflated', view: 'posterior', map: 'r', rois: []}");
    }

    private static void frame(Browser b) {
        b.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))");
    }

    private static void set(String options) {
        browser.evaluate("cortigan.set(" + options + ")");
    }

    private static Map<String, Object> state() {
        return Json.object(browser.evaluate("cortigan.state()"), "state");
    }

    private static String hover() {
        frame(browser);
        // A minus sign, not a hyphen.
        return ((String) browser.evaluate("document.getElementById('hover').textContent")).replace('\u2212', '-');
    }

    private static void noErrors(Browser b) {
        assertEquals(List.of(), b.errors());
        assertEquals(List.of(), b.requests());
    }

    /** A vertex of the mesh and its place in the window. */
    private record Place(String hemisphere, int vertex, double x, double y) {}

    /** The places of vertices that face the reader; null for the others. */
    private static List<Place> project(String hemisphere, int[] vertices) {
        List<?> points = (List<?>)
                browser.evaluate(Arrays.toString(vertices) + ".map(v => cortigan.project('" + hemisphere + "', v))");
        List<Place> places = new ArrayList<>();
        for (int i = 0; i < vertices.length; i++) {
            if (points.get(i) == null) {
                places.add(null);
                continue;
            }
            Map<String, Object> p = Json.object(points.get(i), "project");
            places.add(new Place(
                    hemisphere, vertices[i], ((Number) p.get("x")).doubleValue(), ((Number) p.get("y")).doubleValue()));
        }
        return places;
    }

    /**
     * A vertex whose pixel is all its own: it and its neighbours face the reader, and no triangle around it is less
     * than 2 pixels high. The middle of the vertex's pixel is within 0.71 pixels, so that it lies in one of these
     * triangles.
     *
     * @param height the least height of the triangles around the vertex, in pixels
     */
    private record Inner(Place place, double height) {}

    /** Inner vertices among some that have values. */
    private static List<Inner> inner(String hemisphere) {
        List<Inner> inner = inner(hemisphere, true);
        assertTrue(inner.size() >= 10, hemisphere + ": " + inner.size() + " vertices with values");
        return inner;
    }

    /** @param known whether to try vertices that have values, or those that have none */
    private static List<Inner> inner(String hemisphere, boolean known) {
        int[] triangles = Fsaverage.triangles(report.level());
        int[] shown = report.shown(state().get("run"), hemisphere);
        int[] tried = IntStream.range(0, shown.length)
                .filter(v -> shown[v] >= 0 == known)
                .toArray();
        List<Place> front = facing(hemisphere, some(tried));
        Map<Integer, Place> at = new HashMap<>();
        for (Place p : facing(
                hemisphere,
                front.stream().flatMapToInt(ReportPageTest::star).distinct().toArray())) at.put(p.vertex, p);
        List<Inner> inner = new ArrayList<>();
        for (Place p : front) {
            if (!star(p, at::containsKey)) continue;
            double least = Double.POSITIVE_INFINITY;
            for (int t = 0; t < triangles.length; t += 3)
                for (int corner = 0; corner < 3; corner++) {
                    if (triangles[t + corner] != p.vertex) continue;
                    Place a = at.get(triangles[t + (corner + 1) % 3]), b = at.get(triangles[t + (corner + 2) % 3]);
                    for (double height : new double[] {distance(p, a, b), distance(a, b, p), distance(b, p, a)})
                        least = Math.min(least, height);
                }
            if (least >= 2) inner.add(new Inner(p, least));
        }
        return inner;
    }

    /** At most {@link #TRIED} of some vertices, evenly spread. */
    private static int[] some(int[] vertices) {
        int n = Math.min(TRIED, vertices.length);
        return IntStream.range(0, n)
                .map(i -> vertices[(int) ((long) i * vertices.length / n)])
                .toArray();
    }

    private static List<Place> facing(String hemisphere, int[] vertices) {
        return project(hemisphere, vertices).stream().filter(p -> p != null).toList();
    }

    /** The distance of a point from the line through two others, in pixels. */
    private static double distance(Place p, Place a, Place b) {
        double area = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
        return Math.abs(area) / Math.hypot(b.x - a.x, b.y - a.y);
    }

    /** The neighbours of a vertex, found when first asked for. */
    private static final class NeighbourLists {
        private Fsaverage.Neighbours all;

        int[] get(int vertex) {
            int level = report.level();
            if (all == null) all = Fsaverage.Neighbours.of(Fsaverage.vertices(level), Fsaverage.triangles(level));
            return Arrays.copyOfRange(all.all(), all.first()[vertex], all.first()[vertex + 1]);
        }
    }

    private static final NeighbourLists NEIGHBOURS = new NeighbourLists();

    private static boolean star(Place p, IntPredicate holds) {
        return holds.test(p.vertex) && Arrays.stream(NEIGHBOURS.get(p.vertex)).allMatch(holds);
    }

    private static IntStream star(Place p) {
        return IntStream.concat(IntStream.of(p.vertex), Arrays.stream(NEIGHBOURS.get(p.vertex)));
    }

    /** The colours of the drawn surfaces at places, [r, g, b] each. */
    private static List<int[]> pixels(List<Place> places) {
        String points =
                places.stream().map(p -> "[" + p.x + "," + p.y + "]").collect(Collectors.joining(",", "[", "]"));
        List<?> all = (List<?>) browser.evaluate("cortigan.pixels(" + points + ")");
        return all.stream()
                .map(c -> ((List<?>) c)
                        .stream()
                                .limit(3)
                                .mapToInt(x -> ((Number) x).intValue())
                                .toArray())
                .toList();
    }

    @Test
    void thePageIsOneFileWithoutFaults() throws IOException {
        assertTrue(Files.size(file) < 5_000_000, Files.size(file) + " bytes");
        open();
        noErrors(browser);
        BufferedImage shot = browser.screenshot();
        Set<Integer> colours = new HashSet<>();
        int[] at = box();
        for (int y = Math.max(0, at[1]); y < Math.min(Browser.HEIGHT, at[1] + at[3]); y++)
            for (int x = at[0]; x < at[0] + at[2]; x++) colours.add(shot.getRGB(x, y));
        // Black and white text on one colour has less than 256.
        assertTrue(colours.size() > 256, colours.size() + " colours");
    }

    /** Left, top, width and height of the surface's canvas in the window, in whole pixels. */
    private static int[] box() {
        List<?> box = (List<?>) browser.evaluate("(b => [b.x, b.y, b.width, b.height])("
                + "document.getElementById('surface').getBoundingClientRect())");
        return box.stream()
                .mapToInt(x -> (int) Math.round(((Number) x).doubleValue()))
                .toArray();
    }

    @Test
    void theHemispheresAreNotMirrored() {
        open();
        for (String view : List.of("lateral", "medial", "ventral", "posterior", "dorsal", "together")) {
            set("{view: '" + view + "'}");
            double left = middle("lh"), right = middle("rh");
            assertTrue(left < right, view + ": the left hemisphere is at " + left + ", the right at " + right);
        }
    }

    /** Seen from below, the places area lies nearer to the middle of the brain than the face area. */
    @Test
    void theVentralViewHasItsAreasInPlace() {
        open();
        set("{view: 'ventral'}");
        Object run = state().get("run");
        double middle = (middle("lh") + middle("rh")) / 2;
        for (String h : HEMISPHERES) {
            double ppa = Math.abs(middle(run, h, "PPA") - middle), ffa = Math.abs(middle(run, h, "FFA-1") - middle);
            assertTrue(ppa < ffa, h + ": PPA is " + ppa + " pixels from the middle, FFA-1 " + ffa);
        }
    }

    /** The mean x of the visible vertices of an ROI. */
    private static double middle(Object run, String hemisphere, String roi) {
        int[] shown = report.shown(run, hemisphere);
        Set<Integer> members = report.rois(run, hemisphere).get(roi);
        int[] vertices = IntStream.range(0, shown.length)
                .filter(v -> members.contains(shown[v]))
                .toArray();
        return facing(hemisphere, vertices).stream()
                .mapToDouble(Place::x)
                .average()
                .orElseThrow();
    }

    private static double middle(String hemisphere) {
        int n = Fsaverage.vertices(report.level());
        int[] some =
                IntStream.range(0, TRIED).map(i -> (int) ((long) i * n / TRIED)).toArray();
        return project(hemisphere, some).stream()
                .filter(p -> p != null)
                .mapToDouble(Place::x)
                .average()
                .orElseThrow();
    }

    @Test
    void theMouseTellsAVertexItsRoisAndItsValue() {
        open();
        Object run = state().get("run");
        boolean ceilings = report.subject(run).get("ceiling") != null;
        int inRois = 0;
        for (String h : HEMISPHERES) {
            int[] shown = report.shown(run, h);
            double[] r = report.r(run, h);
            for (Inner i : inner(h)) {
                Place p = i.place;
                browser.move(p.x, p.y);
                String text = hover();
                int vertex = shown[p.vertex];
                assertTrue(has(text, Integer.toString(vertex)), vertex + ": " + text);
                assertTrue(has(text, h.equals("lh") ? "Left" : "Right"), text);
                Set<String> rois = new LinkedHashSet<>(), named = new LinkedHashSet<>();
                report.rois(run, h).forEach((name, members) -> {
                    if (members.contains(vertex)) rois.add(name);
                    if (has(text, name)) named.add(name);
                });
                assertEquals(rois, named, text);
                inRois += rois.size();
                if (Double.isNaN(r[vertex])) assertTrue(text.contains("not measured"), text);
                else printed(text, "\\br (-?\\d+\\.(\\d+))", r[vertex]);
                if (ceilings && !Double.isNaN(r[vertex]))
                    printed(text, "score (-?\\d+\\.(\\d+))", report.score(run, h)[vertex]);
            }
            List<Inner> grey = inner(h, false);
            assertTrue(grey.size() >= 5, h + ": " + grey.size() + " grey vertices");
            for (Inner i : grey) {
                browser.move(i.place.x, i.place.y);
                String text = hover();
                assertTrue(has(text, Integer.toString(i.place.vertex)) && !text.matches(".*\\br -?\\d.*"), text);
            }
        }
        assertTrue(inRois > 0, "no vertex of an ROI was seen");
        noErrors(browser);
    }

    /** Whether a text has a word, which may be a number or the name of an ROI. */
    private static boolean has(String text, String word) {
        return Pattern.compile("(?<![\\w-])" + Pattern.quote(word) + "(?![\\w-])")
                .matcher(text)
                .find();
    }

    /** The first number of a form is a value rounded to the digits that are printed, from float32. */
    private static void printed(String text, String form, double value) {
        Matcher m = Pattern.compile(form).matcher(text);
        assertTrue(m.find(), text);
        double unit = Math.pow(10, -m.group(2).length()), rounding = Math.ulp((float) value);
        assertEquals(value, Double.parseDouble(m.group(1)), unit / 2 + rounding, text);
    }

    @Test
    void theThresholdHidesWhatIsBelowAndNothingElse() {
        open();
        Object run = state().get("run");
        for (String h : HEMISPHERES) {
            double[] r = report.onMesh(run, h, report.r(run, h));
            List<Place> inner = inner(h).stream().map(Inner::place).toList();
            List<int[]> before = pixels(inner);
            double[] sorted =
                    Arrays.stream(r).filter(x -> !Double.isNaN(x)).sorted().toArray();
            int hidden = 0, kept = 0;
            for (double quantile : new double[] {0.02, 0.98}) {
                double threshold = sorted[(int) (quantile * sorted.length)] + 1e-6;
                set("{threshold: " + threshold + "}");
                List<int[]> after = pixels(inner);
                for (int i = 0; i < inner.size(); i++) {
                    Place p = inner.get(i);
                    String what = p + " " + r[p.vertex] + " " + Arrays.toString(after.get(i));
                    if (star(p, v -> !(r[v] >= threshold))) {
                        assertTrue(isGrey(after.get(i)), what);
                        if (star(p, v -> !Double.isNaN(r[v]))) hidden++;
                    } else if (star(p, v -> r[v] >= threshold)) {
                        same(before.get(i), after.get(i), what);
                        assertFalse(isGrey(after.get(i)), what);
                        kept++;
                    }
                }
            }
            assertTrue(hidden >= 3 && kept >= 3, h + ": " + hidden + " hidden, " + kept + " kept");
            set("{threshold: null}");
            same(before.get(0), pixels(inner.subList(0, 1)).get(0), "without the threshold");
        }
    }

    private static void same(int[] want, int[] got, String what) {
        assertEquals(Arrays.toString(want), Arrays.toString(got), what);
    }

    /** Grey up to the rounding of each channel. */
    private static boolean isGrey(int[] rgb) {
        return IntStream.of(rgb).max().orElseThrow() - IntStream.of(rgb).min().orElseThrow() <= 1;
    }

    @Test
    void theColoursAreThoseOfTheColourBar() {
        open();
        Object run = state().get("run"), other = state().get("against");
        int told = colours("r", "inferno", h -> report.r(run, h)) + colours("r", "viridis", h -> report.r(run, h));
        if (report.subject(run).get("ceiling") != null) told += colours("score", "cividis", h -> report.score(run, h));
        if (other != null)
            told += colours("difference", "difference", h -> {
                double[] a = report.r(run, h), b = report.r(other, h);
                Arrays.setAll(a, v -> a[v] - b[v]);
                return a;
            });
        assertTrue(told >= 10, told + " vertices tell a scale from one that is upside down");
        noErrors(browser);
    }

    private interface Values {
        /** @return by challenge vertex */
        double[] of(String hemisphere);
    }

    /**
     * The colour of a pixel lies between those of the vertices around it, none darkened by the light. Beyond that are
     * allowed one step of the colour map, for the rounding of the value, and one level of a channel, for the rounding
     * of colours. A triangle that covers the pixel but not its middle is coloured as it would be there, up to 0.71
     * pixels outside: two of the weights of its corners may be negative, each by at most 0.71 over the height. The
     * scale is the middle half of the values, so that both of its ends are seen.
     *
     * @return vertices whose colours tell the scale from one that is upside down
     */
    private static int colours(String map, String colourmap, Values values) {
        Object run = state().get("run");
        double[] sorted = HEMISPHERES.stream()
                .flatMapToDouble(h -> Arrays.stream(values.of(h)))
                .filter(x -> !Double.isNaN(x))
                .sorted()
                .toArray();
        double min = sorted[sorted.length / 4], max = sorted[sorted.length * 3 / 4];
        set("{map: '" + map + "', colourmap: '" + colourmap + "', min: " + min + ", max: " + max + "}");
        double[] lut = report.lut(colourmap);
        int seen = 0, told = 0;
        for (String h : HEMISPHERES) {
            double[] mesh = report.onMesh(run, h, values.of(h));
            List<Inner> inner = inner(h).stream()
                    .filter(i -> star(i.place, v -> !Double.isNaN(mesh[v])))
                    .toList();
            List<int[]> pixels = pixels(inner.stream().map(Inner::place).toList());
            for (int k = 0; k < inner.size(); k++) {
                Inner i = inner.get(k);
                IntToDoubleFunction step = v -> 255 * position(colourmap, mesh[v], min, max);
                assertTrue(
                        fits(pixels.get(k), lut, i, step),
                        map + " in " + colourmap + " at " + i + " of " + mesh[i.place.vertex] + ": "
                                + Arrays.toString(pixels.get(k)));
                seen++;
                if (!fits(pixels.get(k), lut, i, v -> 255 - step.applyAsDouble(v))) told++;
            }
        }
        assertTrue(seen >= 6, map + ": " + seen + " vertices");
        return told;
    }

    /** Place of a value on the colour bar; 0 is in the middle of a difference's. */
    private static double position(String colourmap, double value, double min, double max) {
        if (!colourmap.equals("difference")) return (value - min) / (max - min);
        double end = value < 0 ? min < 0 ? -min : max : max > 0 ? max : -min;
        return 0.5 + 0.5 * value / end;
    }

    private static boolean fits(int[] rgb, double[] lut, Inner i, IntToDoubleFunction step) {
        for (int c = 0; c < 3; c++) {
            int channel = c;
            double[] near = star(i.place)
                    .mapToDouble(v -> Math.max(0, Math.min(255, step.applyAsDouble(v))))
                    .flatMap(s -> DoubleStream.of(Math.max(0, s - 1), s, Math.min(255, s + 1)))
                    .map(s -> lut[3 * (int) Math.round(s) + channel])
                    .toArray();
            double least = DoubleStream.of(near).min().orElseThrow();
            double most = DoubleStream.of(near).max().orElseThrow();
            double beyond = 2 * Math.sqrt(0.5) / i.height * (most - least);
            double low = least - beyond - 1, high = most + beyond + 1;
            if (rgb[c] < low || rgb[c] > high) return false;
        }
        return true;
    }

    @Test
    void everythingCanBeReachedByKeys() {
        browser.open(file);
        browser.evaluate("cortigan.ready");
        Set<Object> ids = new LinkedHashSet<>();
        List<Object> nameless = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            browser.press("Tab");
            Map<String, Object> focus = Json.object(
                    browser.evaluate("(e => ({id: e.id, tag: e.tagName, name: e.getAttribute('aria-label')"
                            + " || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent"
                            + " || [...(e.labels ?? [])].map(l => l.textContent).join(' ') || e.textContent.trim(),"
                            + " html: e.outerHTML.slice(0, 120)}))(document.activeElement)"),
                    "focus");
            if (focus.get("tag").equals("BODY")) break;
            ids.add(focus.get("id"));
            if (String.valueOf(focus.get("name")).isBlank()) nameless.add(focus.get("html"));
        }
        assertEquals(List.of(), nameless, "elements without a name for screen readers");
        assertTrue(ids.containsAll(List.of("surface", "map", "threshold")), ids.toString());
        browser.evaluate("document.getElementById('surface').focus()");
        Set<String> told = new HashSet<>();
        for (String key : List.of("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowDown")) {
            browser.press(key);
            assertTrue(hover().contains("vertex"), hover());
            told.add(hover());
        }
        assertTrue(told.size() >= 4, "the walk went to " + told);
        browser.press("Escape");
        assertFalse(told.contains(hover()), hover());
        browser.evaluate("document.getElementById('map').focus()");
        Object before = state().get("map");
        browser.press("ArrowDown");
        frame(browser);
        assertNotEquals(before, state().get("map"));
        noErrors(browser);
    }

    /**
     * Compares the drawn surface with a stored picture; -Dcortigan.expected=write stores it anew. Every pixel must lie
     * between the least and the greatest of the nine stored pixels around it, in each channel: a rasteriser may put an
     * edge up to a pixel elsewhere. Beyond that, 2 levels are allowed for two roundings, that of the interpolated
     * colour and that of the light.
     */
    @Test
    void theSurfaceLooksAsItDid() throws IOException {
        browser.open(file);
        browser.size(700, 800);
        browser.evaluate("cortigan.ready");
        set("{surface: 'inflated', view: 'posterior', map: 'r', colourmap: 'inferno', rois: [], min: 0, max: 0.8}");
        // Letters on the surface are of the machine's fonts.
        browser.evaluate("document.getElementById('overlay').style.visibility = 'hidden'");
        browser.evaluate("document.getElementById('surface').scrollIntoView({block: 'center', behavior: 'instant'})");
        frame(browser);
        int[] box = box();
        BufferedImage now = browser.screenshot().getSubimage(box[0], box[1], box[2], box[3]);
        if ("write".equals(System.getProperty("cortigan.expected"))) {
            Files.createDirectories(EXPECTED.getParent());
            ImageIO.write(now, "png", EXPECTED.toFile());
        }
        BufferedImage before = ImageIO.read(EXPECTED.toFile());
        assertEquals(before.getWidth(), now.getWidth());
        assertEquals(before.getHeight(), now.getHeight());
        assertEquals(0, different(before, now), "pixels that differ");
        BufferedImage mirrored = new BufferedImage(now.getWidth(), now.getHeight(), BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < now.getHeight(); y++)
            for (int x = 0; x < now.getWidth(); x++) mirrored.setRGB(x, y, now.getRGB(now.getWidth() - 1 - x, y));
        assertTrue(different(before, mirrored) > 1000, "the comparison sees a mirrored picture");
    }

    private static int different(BufferedImage expected, BufferedImage got) {
        int n = 0;
        for (int y = 0; y < got.getHeight(); y++)
            for (int x = 0; x < got.getWidth(); x++) {
                boolean fits = true;
                for (int shift = 0; shift < 24; shift += 8) {
                    int low = 255, high = 0;
                    for (int v = Math.max(0, y - 1); v <= Math.min(got.getHeight() - 1, y + 1); v++)
                        for (int u = Math.max(0, x - 1); u <= Math.min(got.getWidth() - 1, x + 1); u++) {
                            int c = expected.getRGB(u, v) >> shift & 0xff;
                            low = Math.min(low, c);
                            high = Math.max(high, c);
                        }
                    int c = got.getRGB(x, y) >> shift & 0xff;
                    fits &= c >= low - 2 && c <= high + 2;
                }
                if (!fits) n++;
            }
        return n;
    }

    @Test
    void thePagePrints() {
        open();
        String pdf = new String(browser.pdf(), StandardCharsets.ISO_8859_1);
        assertTrue(pdf.startsWith("%PDF-"), pdf.substring(0, 8));
        int pages = pdf.split("/Type /Page\\b").length - 1;
        assertTrue(pages >= 2 && pages <= 40, pages + " pages");
        noErrors(browser);
    }

    @Test
    void aBrowserWithoutWebGlShowsThePictures() {
        try (Browser without = Browser.start("--disable-gpu", "--disable-3d-apis")) {
            open(without);
            assertEquals(true, without.evaluate("document.createElement('canvas').getContext('webgl2') === null"));
            noErrors(without);
            String loaded =
                    "[...document.images].filter(i => i.src.startsWith('data:image/png') && i.naturalWidth > 100"
                            + " && i.checkVisibility()).length";
            assertTrue((Long) without.evaluate(loaded) > 0, "no picture is shown");
            without.evaluate("cortigan.set({threshold: 0.2})");
            without.evaluate("cortigan.set({run: '" + run(without, "at(-1)") + "'})");
            assertTrue((Long) without.evaluate(loaded) > 0, "no picture of another run is shown");
            noErrors(without);
        }
    }

    private static Object run(Browser b, String which) {
        return b.evaluate("JSON.parse(document.getElementById('report-data').textContent).runs." + which + ".id");
    }

    @Test
    void aLiveReportFollowsTheTraining() {
        Map<String, Object> data = new HashMap<>(report.data);
        data.put("live", Map.of("url", "data.json", "interval_ms", 50));
        byte[] page = report.with(data).getBytes(StandardCharsets.UTF_8);
        LiveServer s = new LiveServer(0, () -> page, () -> bytes(data), line -> {});
        try (s) {
            browser.open(URI.create(s.url()));
            browser.evaluate("cortigan.ready");
            set("{view: 'medial', threshold: 0.25}");
            Map<String, Object> before = state();
            Map<String, Object> later = new HashMap<>(data);
            later.put("title", "after another epoch");
            later.put("created", "2031-01-01T00:00:00Z");
            s.update(() -> bytes(later));
            until("document.body.textContent.includes('after another epoch')");
            assertEquals(before, state());
            assertEquals(List.of(), browser.errors());
            assertEquals(Set.of(s.url() + "data.json"), Set.copyOf(browser.requests()));
        }
        until("/ended or cannot be reached/.test(document.body.innerText)");
        assertEquals("medial", state().get("view"));
        assertEquals(
                List.of(),
                browser.errors().stream().filter(e -> !e.startsWith("network:")).toList(),
                "the browser itself tells of requests that fail");
    }

    private static byte[] bytes(Map<String, Object> data) {
        return Json.compact(data).getBytes(StandardCharsets.UTF_8);
    }

    /** Waits in the page until a condition holds. */
    private static void until(String condition) {
        browser.evaluate("new Promise(done => { const look = () => " + condition
                + " ? done() : setTimeout(look, 20); look(); })");
    }
}
