// SPDX-License-Identifier: Apache-2.0
package org.cortigan.features;

/**
 * Computes pixel features: an RGB image averaged to size x size. Each feature is the mean over the area of its cell;
 * pixels on the edge of a cell count by the part inside. So any image size works without aliasing.
 */
public final class PixelFeatures {
    private PixelFeatures() {}

    /** Number of features: size * size * 3. */
    public static int length(int size) {
        return size * size * 3;
    }

    /**
     * Computes the features of one image.
     *
     * @param rgb image [height, width, 3], unsigned bytes
     * @param rgbAt index of the image's first byte
     * @param height pixels
     * @param width pixels
     * @param size cells along each side, at least 1
     * @param out features [size, size, 3], each in 0..1
     * @param outAt index of the first feature
     */
    public static void compute(byte[] rgb, int rgbAt, int height, int width, int size, float[] out, int outAt) {
        if (height < 1
                || width < 1
                || size < 1
                || rgbAt < 0
                || rgb.length - rgbAt < 3L * height * width
                || outAt < 0
                || out.length - outAt < length(size)) {
            throw new IllegalArgumentException("image [" + height + ", " + width + ", 3] to [" + size + ", " + size
                    + ", 3] does not fit arrays of " + rgb.length + " and " + out.length + " from " + rgbAt + " and "
                    + outAt);
        }
        double cellHeight = (double) height / size;
        double cellWidth = (double) width / size;
        for (int cy = 0; cy < size; cy++) {
            double top = cy * cellHeight;
            double bottom = Math.min(height, top + cellHeight);
            for (int cx = 0; cx < size; cx++) {
                double left = cx * cellWidth;
                double right = Math.min(width, left + cellWidth);
                double red = 0;
                double green = 0;
                double blue = 0;
                double area = 0;
                for (int y = (int) top; y < bottom; y++) {
                    double h = Math.min(y + 1, bottom) - Math.max(y, top);
                    for (int x = (int) left; x < right; x++) {
                        double weight = h * (Math.min(x + 1, right) - Math.max(x, left));
                        int at = rgbAt + 3 * (y * width + x);
                        red += weight * (rgb[at] & 255);
                        green += weight * (rgb[at + 1] & 255);
                        blue += weight * (rgb[at + 2] & 255);
                        area += weight;
                    }
                }
                int at = outAt + 3 * (cy * size + cx);
                out[at] = (float) (red / (255 * area));
                out[at + 1] = (float) (green / (255 * area));
                out[at + 2] = (float) (blue / (255 * area));
            }
        }
    }
}
