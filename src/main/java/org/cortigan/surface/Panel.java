// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.Arrays;
import java.util.List;
import org.cortigan.cortex.Mesh;

/**
 * One hemisphere seen from one side, as pixels: a z-buffer over the triangles that face the viewer, some samples a
 * pixel. A sample belongs to its triangle's nearest corner. If that corner has no value, the sample is grey: dark in
 * sulci, and lit. If it has one, the sample has the colour of the mean of the corners that have one, weighted by
 * nearness; so no value is mixed with none, and a colour is exactly the colour bar's, never lit.
 */
final class Panel {
    /** Brightness of grey on a crown and in a sulcus, and the share of it that light makes. */
    private static final double CROWN = 0.86, SULCUS = 0.62, LIGHT = 0.35;

    /** Depth of a plain crown; that of a plain sulcus is as far from the deepest. */
    private static final double PLAIN = 0.25;

    /** How far a point may lie behind what is seen and still count as seen, mm. */
    private static final double HIDDEN = 1.5;

    final int width, height;
    private final int samples;
    /** Right, up and near of each vertex in samples from the lower left corner; near in mm. */
    final float[] at;
    /** For each sample, row by row from the top, the nearest vertex; -1 outside. */
    final int[] nearest;

    /** The pixels, 0xAARRGGBB, row by row from the top; transparent outside the brain. */
    final int[] pixels;

    private final Mesh mesh;
    private final float[] near;

    /**
     * Draws.
     *
     * @param width in pixels
     * @param turned the mesh's points, see {@link View#turned}
     * @param left place of the left edge, mm
     * @param bottom place of the lower edge, mm
     * @param scale pixels a mm
     * @param values of the vertices; NaN has none
     * @param sulc depth of the vertices in the sulci, 0 to 1
     * @param samples along each side of a pixel
     * @param plain whether grey has two shades and no light, which takes fewer bytes
     */
    Panel(
            int width,
            int height,
            Mesh mesh,
            float[] turned,
            double left,
            double bottom,
            double scale,
            float[] values,
            float[] sulc,
            Scale colours,
            int samples,
            boolean plain) {
        this.width = width;
        this.height = height;
        this.mesh = mesh;
        this.samples = samples;
        int all = samples * width * samples * height;
        int[] drawn = new int[all];
        nearest = new int[all];
        Arrays.fill(nearest, -1);
        near = new float[all];
        Arrays.fill(near, Float.NEGATIVE_INFINITY);
        at = new float[turned.length];
        for (int i = 0; i < at.length; i += 3) {
            at[i] = (float) ((turned[i] - left) * scale * samples);
            at[i + 1] = (float) ((turned[i + 1] - bottom) * scale * samples);
            at[i + 2] = turned[i + 2];
        }
        double[] light = light(turned);
        double[] grey = new double[values.length];
        for (int v = 0; v < grey.length; v++)
            grey[v] = plain ? sulc[v] : shade(sulc[v]) * (1 - LIGHT + LIGHT * light[v]);
        for (int t = 0; t < mesh.triangles().length; t += 3) draw(t, values, grey, plain, colours, drawn);
        pixels = means(drawn);
    }

    /** The brightness of a depth, 0 to 255. */
    private static double shade(double depth) {
        return 255 * (CROWN + (SULCUS - CROWN) * depth);
    }

    /** How much each vertex faces the viewer, 0 to 1. */
    private double[] light(float[] turned) {
        double[] normals = new double[turned.length];
        int[] tri = mesh.triangles();
        for (int t = 0; t < tri.length; t += 3) {
            int a = 3 * tri[t], b = 3 * tri[t + 1], c = 3 * tri[t + 2];
            double x1 = turned[b] - turned[a], y1 = turned[b + 1] - turned[a + 1], z1 = turned[b + 2] - turned[a + 2];
            double x2 = turned[c] - turned[a], y2 = turned[c + 1] - turned[a + 1], z2 = turned[c + 2] - turned[a + 2];
            for (int k = 0; k < 3; k++) {
                int v = 3 * tri[t + k];
                normals[v] += y1 * z2 - z1 * y2;
                normals[v + 1] += z1 * x2 - x1 * z2;
                normals[v + 2] += x1 * y2 - y1 * x2;
            }
        }
        double[] light = new double[turned.length / 3];
        for (int v = 0; v < light.length; v++) {
            double x = normals[3 * v], y = normals[3 * v + 1], z = normals[3 * v + 2];
            double length = Math.sqrt(x * x + y * y + z * z);
            light[v] = length > 0 ? Math.max(0, z / length) : 0;
        }
        return light;
    }

    private void draw(int t, float[] values, double[] grey, boolean plain, Scale scale, int[] colours) {
        int a = mesh.triangles()[t], b = mesh.triangles()[t + 1], c = mesh.triangles()[t + 2];
        double ax = at[3 * a], ay = at[3 * a + 1], bx = at[3 * b], by = at[3 * b + 1], cx = at[3 * c];
        double cy = at[3 * c + 1], area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
        if (!(area > 0)) return; // seen from behind
        int columns = samples * width, rows = samples * height;
        int x0 = Math.max(0, (int) Math.ceil(Math.min(ax, Math.min(bx, cx)) - 0.5));
        int x1 = Math.min(columns - 1, (int) Math.floor(Math.max(ax, Math.max(bx, cx)) - 0.5));
        int y0 = Math.max(0, (int) Math.ceil(Math.min(ay, Math.min(by, cy)) - 0.5));
        int y1 = Math.min(rows - 1, (int) Math.floor(Math.max(ay, Math.max(by, cy)) - 0.5));
        double stepA = (by - cy) / area, stepB = (cy - ay) / area;
        for (int y = y0; y <= y1; y++) {
            double px = x0 + 0.5, py = y + 0.5;
            double startA = ((bx - px) * (cy - py) - (cx - px) * (by - py)) / area;
            double startB = ((cx - px) * (ay - py) - (ax - px) * (cy - py)) / area;
            for (int x = x0; x <= x1; x++) {
                double wa = startA + (x - x0) * stepA, wb = startB + (x - x0) * stepB, wc = 1 - wa - wb;
                if (wa < 0 || wb < 0 || wc < 0) continue;
                float depth = (float) (wa * at[3 * a + 2] + wb * at[3 * b + 2] + wc * at[3 * c + 2]);
                int i = (rows - 1 - y) * columns + x;
                if (depth <= near[i]) continue;
                near[i] = depth;
                nearest[i] = wa >= wb && wa >= wc ? a : wb >= wc ? b : c;
                float value =
                        Float.isNaN(values[nearest[i]]) ? Float.NaN : mean(values[a], wa, values[b], wb, values[c], wc);
                double level = wa * grey[a] + wb * grey[b] + wc * grey[c];
                if (plain) level = shade(level < 0.5 ? PLAIN : 1 - PLAIN);
                colours[i] = scale.shows(value) ? scale.rgb(value) : 0x10101 * (int) (level + 0.5);
            }
        }
    }

    /** The mean of those values that are not NaN. */
    private static float mean(float a, double wa, float b, double wb, float c, double wc) {
        double sum = 0, weight = 0;
        if (!Float.isNaN(a)) {
            sum += wa * a;
            weight += wa;
        }
        if (!Float.isNaN(b)) {
            sum += wb * b;
            weight += wb;
        }
        if (!Float.isNaN(c)) {
            sum += wc * c;
            weight += wc;
        }
        return (float) (sum / weight);
    }

    /** The means of the samples. */
    private int[] means(int[] colours) {
        int[] out = new int[width * height];
        int columns = samples * width;
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                int n = 0, r = 0, g = 0, b = 0;
                for (int row = 0; row < samples; row++)
                    for (int column = 0; column < samples; column++) {
                        int i = (samples * y + row) * columns + samples * x + column;
                        if (nearest[i] < 0) continue;
                        n++;
                        r += colours[i] >> 16 & 255;
                        g += colours[i] >> 8 & 255;
                        b += colours[i] & 255;
                    }
                if (n == 0) continue;
                int alpha = 255 * n / (samples * samples), half = n / 2;
                out[y * width + x] = alpha << 24 | (r + half) / n << 16 | (g + half) / n << 8 | (b + half) / n;
            }
        return out;
    }

    /** Where the vertices of a region are seen: number of samples, and their mean place in pixels from the top left. */
    double[] centre(boolean[] inside) {
        long n = 0, sumX = 0, sumY = 0;
        int columns = samples * width;
        for (int i = 0; i < nearest.length; i++)
            if (nearest[i] >= 0 && inside[nearest[i]]) {
                n++;
                sumX += i % columns;
                sumY += i / columns;
            }
        return new double[] {n, ((double) sumX / n + 0.5) / samples, ((double) sumY / n + 0.5) / samples};
    }

    /**
     * The visible parts of a region's border, which runs through the middles of the edges that leave it.
     *
     * @return lines as x, y, x, y, ... in pixels from the top left
     */
    List<double[]> border(boolean[] inside) {
        Chains chains = new Chains();
        int[] tri = mesh.triangles();
        for (int t = 0; t < tri.length; t += 3) {
            int a = tri[t], b = tri[t + 1], c = tri[t + 2];
            if (inside[a] == inside[b] && inside[b] == inside[c]) continue;
            // One corner differs from the other two: the border crosses its two edges.
            int odd = inside[b] == inside[c] ? a : inside[a] == inside[c] ? b : c;
            int left = odd == a ? b : a, right = odd == c ? b : c;
            if (seen(odd, left) && seen(odd, right)) chains.add(edge(odd, left), edge(odd, right));
        }
        return chains.lines(e -> {
            int u = (int) (e >>> 32), v = (int) e;
            return new double[] {
                (at[3 * u] + at[3 * v]) / 2 / samples, height - (at[3 * u + 1] + at[3 * v + 1]) / 2 / samples
            };
        });
    }

    private static long edge(int u, int v) {
        return (long) Math.min(u, v) << 32 | Math.max(u, v);
    }

    /** Whether the middle of an edge is seen. */
    private boolean seen(int u, int v) {
        int x = (int) ((at[3 * u] + at[3 * v]) / 2), y = (int) ((at[3 * u + 1] + at[3 * v + 1]) / 2);
        int columns = samples * width, rows = samples * height;
        if (x < 0 || x >= columns || y < 0 || y >= rows) return false;
        double depth = (at[3 * u + 2] + at[3 * v + 2]) / 2;
        return depth >= near[(rows - 1 - y) * columns + x] - HIDDEN;
    }
}
