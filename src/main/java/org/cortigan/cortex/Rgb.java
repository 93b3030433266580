// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

/** Pixels u8 [height, width, 3]. */
public record Rgb(byte[] pixels, int height, int width) {
    /** The largest centred square. */
    public Rgb square() {
        int s = Math.min(height, width);
        return crop((width - s) / 2, (height - s) / 2, s, s);
    }

    /** The largest centred square, resampled to u8 [size, size, 3]. */
    public byte[] square(int size) {
        return square().resize(size, size).pixels();
    }

    /**
     * A rectangle of the image.
     *
     * @throws IllegalArgumentException if the rectangle does not lie inside the image
     */
    public Rgb crop(int x, int y, int w, int h) {
        if (x < 0 || y < 0 || w < 1 || h < 1 || x + w > width || y + h > height)
            throw new IllegalArgumentException(
                    w + "x" + h + " at " + x + "," + y + " is not inside " + width + "x" + height);
        if (w == width && h == height) return this;
        byte[] out = new byte[w * h * 3];
        for (int i = 0; i < h; i++) System.arraycopy(pixels, ((y + i) * width + x) * 3, out, i * w * 3, w * 3);
        return new Rgb(out, h, w);
    }

    /** Largest side that a user may choose, in pixels: a picture then still fits into an array. */
    public static final int MAX_SIDE = 8192;

    /** Resamples with an antialiasing triangle filter, as Pillow's BILINEAR does. */
    public Rgb resize(int h, int w) {
        if (h == height && w == width) return this;
        Filter fx = new Filter(width, w), fy = new Filter(height, h);
        float[] rows = new float[height * w * 3];
        for (int y = 0; y < height; y++)
            for (int x = 0; x < w; x++) {
                float r = 0, g = 0, b = 0;
                int at = (y * width + fx.first[x]) * 3;
                for (float f : fx.weights[x]) {
                    r += f * (pixels[at] & 0xff);
                    g += f * (pixels[at + 1] & 0xff);
                    b += f * (pixels[at + 2] & 0xff);
                    at += 3;
                }
                int o = (y * w + x) * 3;
                rows[o] = r;
                rows[o + 1] = g;
                rows[o + 2] = b;
            }
        byte[] out = new byte[h * w * 3];
        for (int y = 0; y < h; y++)
            for (int k = 0; k < w * 3; k++) {
                float v = 0;
                int at = fy.first[y] * w * 3 + k;
                for (float f : fy.weights[y]) {
                    v += f * rows[at];
                    at += w * 3;
                }
                out[y * w * 3 + k] = (byte) Math.max(0, Math.min(255, (int) (v + 0.5f)));
            }
        return new Rgb(out, h, w);
    }

    /** The input positions and weights of each output position. */
    private static final class Filter {
        final int[] first;
        final float[][] weights;

        Filter(int from, int to) {
            first = new int[to];
            weights = new float[to][];
            double scale = (double) from / to, reach = Math.max(scale, 1);
            for (int i = 0; i < to; i++) {
                double center = (i + 0.5) * scale, sum = 0;
                int lo = Math.max(0, (int) (center - reach + 0.5)), hi = Math.min(from, (int) (center + reach + 0.5));
                double[] w = new double[hi - lo];
                for (int k = lo; k < hi; k++) sum += w[k - lo] = Math.max(0, 1 - Math.abs((k + 0.5 - center) / reach));
                first[i] = lo;
                weights[i] = new float[w.length];
                for (int k = 0; k < w.length; k++) weights[i][k] = (float) (w[k] / sum);
            }
        }
    }
}
