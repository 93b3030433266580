// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.cortigan.cortex.Mesh;
import org.cortigan.surface.Surfaces.Kind;

/**
 * A picture of values on both hemispheres, the left one at the left: views of the inflated or pial surface and the flat
 * map, outlines of regions, a colour bar and a title. {@link Panel} says which colour a point has. Equal input gives
 * equal pixels.
 */
public final class BrainPicture {
    /** Colours: text, quiet text, and points without a value in the legend. */
    private static final int BLACK = 0x111111, QUIET = 0x666666, NO_VALUE = 0xbebebe;

    /** The widest row, mm of brain, and the height of a flat map beside other views. */
    private static final double ROW = 960, FLAT_HEIGHT = 200;

    private static final double GAP = 8;

    /** Wider pictures have 2 x 2 samples a pixel, others 3 x 3, pixels. */
    private static final int WIDE = 1200;

    private final Surfaces surfaces;
    private final Kind kind;
    private final List<View> views;
    private final float[][] values, sulc;
    private final Scale scale;
    private final String title;
    private final List<Outline> outlines;

    /**
     * A picture of the inflated surface and the flat map, where the surfaces have them.
     *
     * @param values [2][vertices of the level]; NaN has no value and is grey
     * @param title may be empty
     */
    public BrainPicture(Surfaces surfaces, float[][] values, Scale scale, String title, List<Outline> outlines) {
        this(
                surfaces,
                surfaces.has(Kind.INFLATED) ? Kind.INFLATED : Kind.PIAL,
                views(surfaces),
                values,
                scale,
                title,
                outlines);
    }

    /**
     * A picture of chosen views.
     *
     * @param kind the surface of all views but the flat one
     * @param views at least one, in the order of the picture
     * @param values [2][vertices of the level]; NaN has no value and is grey
     * @param title may be empty
     */
    public BrainPicture(
            Surfaces surfaces,
            Kind kind,
            List<View> views,
            float[][] values,
            Scale scale,
            String title,
            List<Outline> outlines) {
        for (float[] hemisphere : values)
            if (hemisphere.length != surfaces.vertices())
                throw new IllegalArgumentException(
                        hemisphere.length + " values for " + surfaces.vertices() + " vertices");
        this.surfaces = surfaces;
        this.kind = kind;
        this.views = List.copyOf(views);
        this.values = values;
        this.scale = scale;
        this.title = title;
        this.outlines = List.copyOf(outlines);
        sulc = surfaces.shades();
    }

    /** The views of the default picture. */
    public static List<View> views(Surfaces surfaces) {
        List<View> views = new ArrayList<>(List.of(View.LATERAL, View.MEDIAL, View.VENTRAL, View.POSTERIOR));
        if (surfaces.has(Kind.FLAT)) views.add(View.FLAT);
        return views;
    }

    /** Both hemispheres in one view; all in mm. */
    private record Group(View view, Mesh[] meshes, float[][] turned, float[][] extents, double scale) {
        double width(int h) {
            return scale * (extents[h][1] - extents[h][0]);
        }

        double width() {
            return width(0) + GAP + width(1);
        }

        double height(int h) {
            return scale * (extents[h][3] - extents[h][2]);
        }

        double height() {
            return Math.max(height(0), height(1));
        }
    }

    private Group group(View view) {
        Mesh[] meshes = new Mesh[2];
        float[][] turned = new float[2][], extents = new float[2][];
        for (int h = 0; h < 2; h++) {
            meshes[h] = surfaces.mesh(view == View.FLAT ? Kind.FLAT : kind, h);
            turned[h] = view.turned(meshes[h].points(), h);
            extents[h] = View.extent(meshes[h], turned[h]);
        }
        Group full = new Group(view, meshes, turned, extents, 1);
        boolean fits = view != View.FLAT || views.size() == 1;
        return fits ? full : new Group(view, meshes, turned, extents, FLAT_HEIGHT / full.height());
    }

    /** The groups of each row. */
    private List<List<Group>> rows() {
        List<List<Group>> rows = new ArrayList<>();
        double used = Double.MAX_VALUE;
        for (View view : views) {
            Group group = group(view);
            if (used + 3 * GAP + group.width() > ROW) {
                rows.add(new ArrayList<>());
                used = -3 * GAP;
            }
            rows.get(rows.size() - 1).add(group);
            used += 3 * GAP + group.width();
        }
        return rows;
    }

    private static double width(List<Group> row) {
        return row.stream().mapToDouble(Group::width).sum() + 3 * GAP * (row.size() - 1);
    }

    /** What is where, in pixels. */
    private record Layout(int width, int height, double font, double scale, List<List<Group>> rows) {
        double rowHeight(List<Group> row) {
            return scale * row.stream().mapToDouble(Group::height).max().orElse(0) + 2.2 * font;
        }
    }

    private Layout layout(int width) {
        List<List<Group>> rows = rows();
        double font = Math.max(8, width / 75.0), widest = 0;
        for (List<Group> row : rows) widest = Math.max(widest, width(row));
        // A picture of one view leaves space for the colour bar.
        Layout l = new Layout(width, 0, font, (width - 3 * font) / Math.max(widest, 300), rows);
        double height = font * ((title.isEmpty() ? 1 : 3) + 5.5);
        for (List<Group> row : rows) height += l.rowHeight(row);
        return new Layout(width, (int) Math.ceil(height), font, l.scale, rows);
    }

    /** The picture as PNG, {@code width} pixels wide. */
    public byte[] png(int width) {
        Layout l = layout(width);
        PixelCanvas canvas = new PixelCanvas(l.width, l.height);
        draw(canvas, l, 1, false);
        return PixelCanvas.png(canvas.image, 4);
    }

    /** The picture as PNG of fewer bytes: grey of two shades, and 128 colours. */
    public byte[] smallPng(int width) {
        Layout l = layout(width);
        PixelCanvas canvas = new PixelCanvas(l.width, l.height);
        draw(canvas, l, 1, true);
        return PixelCanvas.png(canvas.reduced(scale.colourmap()), 9);
    }

    /** The picture as SVG, {@code width} units wide; the brains have two pixels a unit. */
    public String svg(int width) {
        Layout l = layout(width);
        SvgCanvas canvas = new SvgCanvas(l.width, l.height, title.isEmpty() ? scale.label() : title);
        draw(canvas, l, 2, false);
        return canvas.toString();
    }

    /** Where a hemisphere in a view goes: the place of its upper left corner. */
    private record Spot(Group group, int hemisphere, double x, double y) {}

    /** A hemisphere in a view, and the place of its upper left corner. */
    private record Placed(View view, int hemisphere, Panel panel, double x, double y) {}

    /** @param finer pixels of a panel for one of the canvas */
    private void draw(Canvas canvas, Layout l, int finer, boolean plain) {
        double y = l.font;
        if (!title.isEmpty()) {
            canvas.text(title, l.width / 2.0, y + l.font, 1.3 * l.font, 0.5, BLACK, false);
            y += 2 * l.font;
        }
        List<Spot> spots = new ArrayList<>();
        for (List<Group> row : l.rows) {
            spots.addAll(row(canvas, l, row, y));
            y += l.rowHeight(row);
        }
        List<Placed> placed = spots.parallelStream()
                .map(s ->
                        new Placed(s.group.view, s.hemisphere, panel(s.group, s.hemisphere, l, finer, plain), s.x, s.y))
                .toList();
        for (Placed p : placed) canvas.panel(p.panel, p.x, p.y, finer);
        List<Label> labels = new ArrayList<>();
        for (Outline o : outlines) outline(canvas, l, o, placed, finer, labels);
        for (Label label : labels) canvas.text(label.text, label.x, label.y, 0.85 * l.font, 0.5, BLACK, true);
        bar(canvas, l, Math.rint(y + 0.5 * l.font));
    }

    /** Places the panels of a row and writes what they show. */
    private static List<Spot> row(Canvas canvas, Layout l, List<Group> row, double y) {
        List<Spot> spots = new ArrayList<>();
        double x = (l.width - l.scale * width(row)) / 2, middle = (l.rowHeight(row) - 2.2 * l.font) / 2;
        for (Group g : row) {
            canvas.text(g.view.heading(), x + l.scale * g.width() / 2, y + l.font, l.font, 0.5, QUIET, false);
            for (int h = 0; h < 2; h++) {
                double top = y + 1.5 * l.font + middle - l.scale * g.height(h) / 2;
                spots.add(new Spot(g, h, Math.round(x), Math.round(top)));
                double side = h == 0 ? x : x + l.scale * g.width(1);
                canvas.text(h == 0 ? "L" : "R", side, y + l.font, l.font, h, BLACK, false);
                x += l.scale * (g.width(h) + (h == 0 ? GAP : 3 * GAP));
            }
        }
        return spots;
    }

    private Panel panel(Group g, int h, Layout l, int finer, boolean plain) {
        double scale = l.scale * finer * g.scale;
        float[] e = g.extents[h];
        int width = (int) Math.ceil(scale * (e[1] - e[0])) + 1, height = (int) Math.ceil(scale * (e[3] - e[2])) + 1;
        return new Panel(
                width,
                height,
                g.meshes[h],
                g.turned[h],
                e[0],
                e[2],
                scale,
                values[h],
                sulc[h],
                this.scale,
                l.width * finer > WIDE ? 2 : 3,
                plain);
    }

    private record Label(String text, double x, double y) {}

    /**
     * Draws an outline everywhere, and chooses the places of its name: the flat map, and the best view of each side.
     */
    private static void outline(
            Canvas canvas, Layout l, Outline o, List<Placed> placed, int finer, List<Label> labels) {
        for (int h = 0; h < 2; h++) {
            Placed best = null;
            double most = 0;
            List<Placed> named = new ArrayList<>();
            for (Placed p : placed) {
                if (p.hemisphere != h) continue;
                for (double[] line : p.panel.border(o.inside()[h])) {
                    double[] at = new double[line.length];
                    for (int i = 0; i < at.length; i++) at[i] = line[i] / finer + (i % 2 == 0 ? p.x : p.y);
                    canvas.line(at, l.font / 5, 0);
                    canvas.line(at, l.font / 10, Canvas.WHITE);
                }
                double seen = p.panel.centre(o.inside()[h])[0];
                if (p.view == View.FLAT) named.add(p);
                else if (seen > most) {
                    most = seen;
                    best = p;
                }
            }
            if (best != null) named.add(best);
            for (Placed p : named) label(l, o, p, finer, labels);
        }
    }

    /** Adds a name in the middle of a region, or a little beside it if another name is there. */
    private static void label(Layout l, Outline o, Placed p, int finer, List<Label> labels) {
        double[] centre = p.panel.centre(o.inside()[p.hemisphere]);
        if (o.name().isEmpty() || centre[0] == 0) return;
        double size = 0.85 * l.font, width = Letters.width(o.name(), size);
        double x = p.x + centre[1] / finer, y = p.y + centre[2] / finer + size / 3;
        double[] steps = {0, -1, 1, -2, 2, -3, 3};
        double free = y;
        for (double step : steps) {
            double at = y + step * size;
            if (labels.stream()
                    .noneMatch(k -> Math.abs(k.y - at) < size
                            && Math.abs(k.x - x) < (width + Letters.width(k.text, size)) / 2)) {
                free = at;
                break;
            }
        }
        labels.add(new Label(o.name(), x, free));
    }

    /** The colour bar with its ends, numbers and label, and what grey means. */
    private void bar(Canvas canvas, Layout l, double y) {
        double width = Math.rint(Math.min(0.4 * l.width, 40 * l.font)), x = Math.rint((l.width - width) / 2);
        double height = Math.rint(0.9 * l.font);
        int parts = 256;
        for (int i = 0; i < parts; i++) {
            double value = scale.min() + (i + 0.5) / parts * (scale.max() - scale.min());
            int colour = scale.shows((float) value) ? scale.rgb((float) value) : NO_VALUE;
            // Each part reaches under the next, so that no gap shows.
            double from = x + width * i / parts, to = Math.min(x + width, x + width * (i + 1.5) / parts);
            canvas.rectangle(from, y, to - from, height, colour);
        }
        boolean below = has(v -> scale.shows(v) && v < scale.min()), above = has(v -> v > scale.max());
        if (below) end(canvas, x, -height, y, height, scale.rgb((float) scale.min()));
        if (above) end(canvas, x + width, height, y, height, scale.rgb((float) scale.max()));
        for (double tick : scale.ticks()) {
            double at = x + width * (tick - scale.min()) / (scale.max() - scale.min());
            canvas.line(new double[] {at, y + height, at, y + height + l.font / 3}, l.font / 12, BLACK);
            canvas.text(scale.text(tick), at, y + height + 1.3 * l.font, 0.9 * l.font, 0.5, BLACK, false);
        }
        canvas.text(scale.label(), l.width / 2.0, y + height + 2.7 * l.font, l.font, 0.5, BLACK, false);
        double side = x + width + 3 * l.font;
        canvas.rectangle(side, y, height, height, NO_VALUE);
        canvas.text("no value", side + 1.3 * l.font, y + 0.8 * l.font, 0.9 * l.font, 0, BLACK, false);
        if (!Double.isNaN(scale.threshold()))
            canvas.text("or below the threshold", side + 1.3 * l.font, y + 2.0 * l.font, 0.9 * l.font, 0, BLACK, false);
    }

    /** A pointed end of the bar: values go beyond. */
    private static void end(Canvas canvas, double x, double length, double y, double height, int colour) {
        canvas.fill(new double[] {x, y, x + length, y + height / 2, x, y + height}, colour);
    }

    private boolean has(Predicate<Float> test) {
        return Arrays.stream(values).anyMatch(h -> IntStream.range(0, h.length).anyMatch(v -> test.test(h[v])));
    }
}
