// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

/** Where a picture is drawn. Places in pixels from the top left; colours 0xRRGGBB. */
interface Canvas {
    int WHITE = 0xffffff;

    /** Puts a panel's pixels, drawn at {@code finer} times the canvas's resolution, with their upper left corner. */
    void panel(Panel panel, double x, double y, int finer);

    /** Draws a line through points x, y, x, y, ... */
    void line(double[] points, double width, int colour);

    /** Fills a polygon. */
    void fill(double[] points, int colour);

    /**
     * Writes a text on a base line.
     *
     * @param anchor which part of the text is at x: 0 the start, 0.5 the middle, 1 the end
     * @param halo whether the text has a white border, to be legible on colours
     */
    void text(String text, double x, double y, double size, double anchor, int colour, boolean halo);

    /** Fills a rectangle. */
    default void rectangle(double x, double y, double width, double height, int colour) {
        fill(new double[] {x, y, x + width, y, x + width, y + height, x, y + height}, colour);
    }
}
