// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

/**
 * A photograph as its file stores it.
 *
 * @param orientation how it is to be turned for looking at it, as {@link Orientation} finds it: 1 (upright) to 8
 */
public record Photograph(Rgb stored, int orientation) {
    /** The photograph turned upright. */
    public Rgb upright() {
        if (orientation == 1) return stored;
        int h = stored.height(), w = stored.width();
        boolean transposed = orientation > 4;
        boolean upsideDown = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
        boolean mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
        byte[] out = new byte[stored.pixels().length];
        int oh = transposed ? w : h, ow = transposed ? h : w;
        for (int y = 0, o = 0; y < oh; y++)
            for (int x = 0; x < ow; x++) {
                int row = transposed ? x : y, column = transposed ? y : x;
                int at = ((upsideDown ? h - 1 - row : row) * w + (mirrored ? w - 1 - column : column)) * 3;
                for (int c = 0; c < 3; c++) out[o++] = stored.pixels()[at + c];
            }
        return new Rgb(out, oh, ow);
    }
}
