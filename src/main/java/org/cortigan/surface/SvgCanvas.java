// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.Base64;
import java.util.Locale;

/** A picture as SVG: brains as PNG in it, all else as lines and text. */
final class SvgCanvas implements Canvas {
    private static final String[] ANCHORS = {"start", "middle", "end"};

    private final StringBuilder svg = new StringBuilder();

    SvgCanvas(int width, int height, String title) {
        add(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\""
                        + " font-family=\"DejaVu Sans, Verdana, sans-serif\">%n<title>%s</title>%n",
                width, height, width, height, escaped(title));
        rectangle(0, 0, width, height, WHITE);
    }

    private void add(String format, Object... args) {
        svg.append(String.format(Locale.ROOT, format.replace("%n", "\n"), args));
    }

    private static String escaped(String text) {
        StringBuilder out = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (c < ' ' || c == '<' || c == '>' || c == '&' || c == '"') out.append(c < ' ' ? " " : "&#" + c + ";");
            else out.appendCodePoint(c);
        });
        return out.toString();
    }

    @Override
    public void panel(Panel panel, double x, double y, int finer) {
        add(
                "<image x=\"%d\" y=\"%d\" width=\"%.2f\" height=\"%.2f\" href=\"data:image/png;base64,%s\"/>%n",
                Math.round(x),
                Math.round(y),
                panel.width / (double) finer,
                panel.height / (double) finer,
                Base64.getEncoder().encodeToString(PixelCanvas.png(PixelCanvas.image(panel), 5)));
    }

    @Override
    public void line(double[] points, double width, int colour) {
        add(
                "<polyline points=\"%s\" fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.2f\" stroke-linejoin=\"round\""
                        + " stroke-linecap=\"round\"/>%n",
                places(points), colour, width);
    }

    @Override
    public void fill(double[] points, int colour) {
        add("<polygon points=\"%s\" fill=\"#%06x\"/>%n", places(points), colour);
    }

    private static String places(double[] points) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < points.length; i++)
            out.append(i == 0 ? "" : i % 2 == 0 ? " " : ",").append(Math.round(10 * points[i]) / 10.0);
        return out.toString();
    }

    @Override
    public void text(String text, double x, double y, double size, double anchor, int colour, boolean halo) {
        add(
                "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"%s\" fill=\"#%06x\"%s>%s</text>%n",
                x,
                y,
                size,
                ANCHORS[(int) (2 * anchor)],
                colour,
                halo
                        ? String.format(
                                Locale.ROOT,
                                " stroke=\"#ffffff\" stroke-width=\"%.1f\" stroke-linejoin=\"round\""
                                        + " paint-order=\"stroke\"",
                                size / 4)
                        : "",
                escaped(text));
    }

    @Override
    public String toString() {
        return svg + "</svg>\n";
    }
}
