// SPDX-License-Identifier: Apache-2.0
package org.cortigan.features;

/**
 * Features of a Gabor wavelet pyramid, the field's model of early visual cortex (Kay et al. 2008; St-Yves and Naselaris
 * 2018). The luminance of a photograph is filtered by {@link GaborBank#standard()} at full size and after one, two and
 * three halvings by averaging, which stands for 1/4, 1/8, 1/16 and 1/32 cycle a pixel of the photograph. The responses
 * of each scale and orientation are summarised on a grid with cells of 4, 4, 8 and 16 pixels of the photograph. The
 * luminance itself follows, averaged over cells of 8 pixels. Edges are repeated where a filter reaches over them.
 *
 * <p>Order of the features: scale from fine to coarse, orientation (in {@link Response#LINEAR} first all even filters,
 * then all odd ones), row, column; then the luminance, row and column.
 *
 * <p>A Gabor filter is the real or imaginary part of a product of two one-dimensional filters, and orientations that
 * mirror each other share these products. That takes a tenth of the multiplications of square filters. Sums run in
 * single precision in a fixed order. Thread-safe.
 */
public final class GaborPyramid {
    /** Side of the photographs in the standard pyramid, in pixels; it has 4,800 features. */
    public static final int STANDARD_SIDE = 64;

    /** The photograph's side must be a multiple of this, so that the coarsest scale has whole cells. */
    public static final int SIDE_UNIT = 16;

    private static final GaborBank BANK = GaborBank.standard();

    /** Side of a cell, in pixels of the scale that is filtered. */
    private static final int[] CELL = {4, 2, 2, 2};

    private static final int LUMINANCE_CELL = 8;

    /** What is summarised in a cell. */
    public enum Response {
        /** Mean of sqrt(even^2 + odd^2), a complex cell. */
        AMPLITUDE,
        /** Mean of even^2 + odd^2. */
        ENERGY,
        /** Logarithm of the mean of even^2 + odd^2, plus 1e-4: contrasts of less than 1 % count as none. */
        LOG,
        /** The even and the odd response at the cell's centre, two simple cells. Twice as many features. */
        LINEAR
    }

    private final int side;
    private final Response response;
    private final Quadrature quadrature = new Quadrature(BANK);

    /**
     * Makes a pyramid.
     *
     * @param side side of the photographs, in pixels: a multiple of 16
     * @throws IllegalArgumentException for any other side
     */
    public GaborPyramid(int side, Response response) {
        if (side < SIDE_UNIT || side % SIDE_UNIT != 0)
            throw new IllegalArgumentException("side " + side + " is no multiple of " + SIDE_UNIT);
        this.side = side;
        this.response = response;
    }

    /** Side of the photographs, in pixels. */
    public int side() {
        return side;
    }

    /** What is summarised in a cell. */
    public Response response() {
        return response;
    }

    /** Number of features. */
    public int features() {
        int filters = BANK.orientations() * (response == Response.LINEAR ? 2 : 1), n = 0;
        for (int scale = 0; scale < CELL.length; scale++) n += filters * square(side / (CELL[scale] << scale));
        return n + square(side / LUMINANCE_CELL);
    }

    private static int square(int n) {
        return n * n;
    }

    /**
     * Computes the features of one photograph.
     *
     * @param rgb photograph u8 [side, side, 3]
     * @param out receives {@link #features()} values from {@code at}
     */
    public void compute(byte[] rgb, float[] out, int at) {
        if (rgb.length != 3 * square(side) || at < 0 || out.length - at < features())
            throw new IllegalArgumentException("a photograph of " + rgb.length + " bytes, " + out.length
                    + " values from " + at + ": not the photograph's side " + side + " and " + features()
                    + " features");
        float[] luminance = luminance(rgb), image = luminance;
        int next = at;
        for (int scale = 0; scale < CELL.length; scale++) {
            int n = side >> scale;
            if (scale > 0) image = average(image, 2 * n, 2);
            Maps maps = new Maps(n, CELL[scale], out, next);
            quadrature.forEach(image, n, maps);
            next += maps.count() * BANK.orientations();
        }
        float[] coarse = average(luminance, side, LUMINANCE_CELL);
        System.arraycopy(coarse, 0, out, next, coarse.length);
    }

    /** Luma of ITU-R BT.601, 0 to 1. */
    private static float[] luminance(byte[] rgb) {
        float[] y = new float[rgb.length / 3];
        for (int i = 0; i < y.length; i++)
            y[i] = (0.299f * (rgb[3 * i] & 255) + 0.587f * (rgb[3 * i + 1] & 255) + 0.114f * (rgb[3 * i + 2] & 255))
                    / 255;
        return y;
    }

    /** Means of square cells of an image [n, n]. */
    private static float[] average(float[] image, int n, int cell) {
        float[] out = new float[square(n / cell)];
        for (int i = 0; i < out.length; i++)
            out[i] = mean(image, n, i / (n / cell) * cell * n + i % (n / cell) * cell, cell);
        return out;
    }

    /** Mean of a square cell whose first pixel is {@code corner}, in an image whose rows have {@code stride} pixels. */
    private static float mean(float[] image, int stride, int corner, int cell) {
        float sum = 0;
        for (int y = 0; y < cell; y++) for (int x = 0; x < cell; x++) sum += image[corner + y * stride + x];
        return sum / (cell * cell);
    }

    /** Summarises the responses of one scale. */
    private final class Maps implements Quadrature.Body {
        private final int cell, grid, at;
        private final float[] out;

        Maps(int n, int cell, float[] out, int at) {
            this.cell = cell;
            this.grid = n / cell;
            this.out = out;
            this.at = at;
        }

        /** Features of one orientation. */
        int count() {
            return square(grid) * (response == Response.LINEAR ? 2 : 1);
        }

        @Override
        public void accept(int orientation, float[] even, float[] odd, int stride) {
            if (response == Response.LINEAR) {
                sample(even, stride, orientation);
                sample(odd, stride, BANK.orientations() + orientation);
                return;
            }
            for (int i = 0; i < even.length; i++) even[i] = even[i] * even[i] + odd[i] * odd[i];
            if (response == Response.AMPLITUDE)
                for (int i = 0; i < even.length; i++) even[i] = (float) Math.sqrt(even[i]);
            int first = at + orientation * square(grid);
            for (int i = 0; i < square(grid); i++) {
                float mean = mean(even, stride, i / grid * cell * stride + i % grid * cell, cell);
                out[first + i] = response == Response.LOG ? (float) StrictMath.log(mean + 1e-4) : mean;
            }
        }

        private void sample(float[] map, int stride, int filter) {
            for (int y = 0; y < grid; y++)
                for (int x = 0; x < grid; x++)
                    out[at + (filter * grid + y) * grid + x] =
                            map[(y * cell + cell / 2) * stride + x * cell + cell / 2];
        }
    }
}
