// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

/**
 * Features of a photograph at 64 x 64 pixels: energy of quadrature Gabor pairs at three scales and six orientations
 * (Adelson and Bergen 1985), divided by the local energy over orientations (Heeger 1992), and colour opponency on an 8
 * x 8 grid. The features are one array: a map for each scale and orientation, then the colours. Thread-safe.
 */
final class PhotoFeatures {
    static final int SIDE = 64, ORIENTATIONS = 6, SCALES = 3;
    private static final int COLOUR_GRID = 8, POOL = 4;
    /** Side of the maps of each scale. */
    private static final int[] GRID = {32, 16, 8};
    /** Features of energy, which precede those of colour. */
    static final int ENERGIES = ORIENTATIONS * (32 * 32 + 16 * 16 + 8 * 8);

    static final int FEATURES = ENERGIES + 3 * COLOUR_GRID * COLOUR_GRID;
    /** Number of pooled features, see {@link #pool}. */
    static final int POOLED = POOL * POOL * (ORIENTATIONS * SCALES + 3);

    private final float[][][] even = new float[SCALES][ORIENTATIONS][];
    private final float[][][] odd = new float[SCALES][ORIENTATIONS][];

    PhotoFeatures() {
        for (int s = 0; s < SCALES; s++) for (int o = 0; o < ORIENTATIONS; o++) makeFilters(s, o);
    }

    /** Half width of the filters of a scale, in pixels: 4, 8, 16. */
    private static int halfWidth(int scale) {
        return 4 << scale;
    }

    private void makeFilters(int scale, int orientation) {
        int n = halfWidth(scale), w = 2 * n + 1;
        double sigma = n / 2.2, frequency = 0.9 / n;
        double a = Math.PI * orientation / ORIENTATIONS, c = StrictMath.cos(a), d = StrictMath.sin(a);
        float[] e = new float[w * w], q = new float[w * w];
        double sum = 0, norm = 0;
        for (int y = -n; y <= n; y++)
            for (int x = -n; x <= n; x++) {
                double g = StrictMath.exp(-(x * x + y * y) / (2 * sigma * sigma)),
                        p = 2 * Math.PI * frequency * (c * x + d * y);
                int i = (y + n) * w + x + n;
                e[i] = (float) (g * StrictMath.cos(p));
                q[i] = (float) (g * StrictMath.sin(p));
                sum += e[i];
                norm += g;
            }
        for (int i = 0; i < e.length; i++) { // Remove the response to uniform light.
            int y = i / w - n, x = i % w - n;
            e[i] -= (float) (sum / norm * StrictMath.exp(-(x * x + y * y) / (2 * sigma * sigma)));
            e[i] /= (float) norm;
            q[i] /= (float) norm;
        }
        even[scale][orientation] = e;
        odd[scale][orientation] = q;
    }

    /** Side of the maps of a scale. */
    static int grid(int scale) {
        return GRID[scale];
    }

    /** Index of the first feature of a scale. */
    static int base(int scale) {
        int at = 0;
        for (int s = 0; s < scale; s++) at += ORIENTATIONS * GRID[s] * GRID[s];
        return at;
    }

    /** Writes the features of a photograph u8 [64, 64, 3] to the first {@link #FEATURES} elements of {@code out}. */
    void write(byte[] rgb, float[] out) {
        float[] grey = grey(rgb);
        for (int s = 0; s < SCALES; s++) {
            energies(grey, s, out);
            normalise(s, out);
        }
        colours(rgb, out);
    }

    private static float[] grey(byte[] rgb) {
        float[] grey = new float[SIDE * SIDE];
        for (int i = 0; i < grey.length; i++)
            grey[i] =
                    (0.299f * (rgb[3 * i] & 0xff) + 0.587f * (rgb[3 * i + 1] & 0xff) + 0.114f * (rgb[3 * i + 2] & 0xff))
                            / 255;
        return grey;
    }

    private void energies(float[] grey, int scale, float[] out) {
        int g = GRID[scale], stride = SIDE / g, at = base(scale);
        int side = SIDE + 2 * halfWidth(scale);
        float[] p = pad(grey, halfWidth(scale));
        for (int o = 0; o < ORIENTATIONS; o++)
            for (int i = 0; i < g; i++)
                for (int j = 0; j < g; j++) {
                    int corner = (i * stride + stride / 2) * side + j * stride + stride / 2;
                    out[at + (o * g + i) * g + j] = energy(p, side, corner, even[scale][o], odd[scale][o]);
                }
    }

    /** Adds a margin of {@code n} pixels, with repeated edges. */
    private static float[] pad(float[] grey, int n) {
        int side = SIDE + 2 * n;
        float[] p = new float[side * side];
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) p[y * side + x] = grey[clamp(y - n) * SIDE + clamp(x - n)];
        return p;
    }

    private static int clamp(int v) {
        return Math.max(0, Math.min(SIDE - 1, v));
    }

    /** The amplitude of a quadrature pair of square filters, whose first pixel lies at {@code corner}. */
    private static float energy(float[] p, int side, int corner, float[] e, float[] q) {
        int w = (side - SIDE) + 1;
        float a = 0, b = 0;
        for (int y = 0; y < w; y++) {
            int src = corner + y * side, k = y * w;
            for (int x = 0; x < w; x++) {
                a += p[src + x] * e[k + x];
                b += p[src + x] * q[k + x];
            }
        }
        return (float) Math.sqrt(a * a + b * b);
    }

    /** Divides the energies of a scale by the local energy over orientations. */
    private static void normalise(int scale, float[] f) {
        int g = GRID[scale], at = base(scale);
        for (int k = 0; k < g * g; k++) {
            float local = 0.02f;
            for (int o = 0; o < ORIENTATIONS; o++) local += f[at + o * g * g + k];
            for (int o = 0; o < ORIENTATIONS; o++)
                f[at + o * g * g + k] = ORIENTATIONS * f[at + o * g * g + k] / (local + 0.1f);
        }
    }

    /** Opponency of red and green, opponency of yellow and blue, and brightness of each cell of the grid. */
    private static void colours(byte[] rgb, float[] f) {
        int cell = SIDE / COLOUR_GRID;
        for (int i = 0; i < COLOUR_GRID; i++)
            for (int j = 0; j < COLOUR_GRID; j++) {
                int red = 0, green = 0, blue = 0;
                for (int y = 0; y < cell; y++)
                    for (int x = 0; x < cell; x++) {
                        int k = 3 * ((i * cell + y) * SIDE + j * cell + x);
                        red += rgb[k] & 0xff;
                        green += rgb[k + 1] & 0xff;
                        blue += rgb[k + 2] & 0xff;
                    }
                float n = cell * cell * 255f;
                int k = ENERGIES + 3 * (i * COLOUR_GRID + j);
                f[k] = 0.5f + (red - green) / n;
                f[k + 1] = 0.5f + (0.5f * (red + green) - blue) / n;
                f[k + 2] = (red + green + blue) / (3 * n);
            }
    }

    /** Averages every map and every colour to a 4 x 4 grid. */
    static float[] pool(float[] f) {
        float[] p = new float[POOLED];
        int out = 0;
        for (int s = 0; s < SCALES; s++)
            for (int o = 0; o < ORIENTATIONS; o++) out = pool(f, base(s) + o * GRID[s] * GRID[s], 1, GRID[s], p, out);
        for (int c = 0; c < 3; c++) out = pool(f, ENERGIES + c, 3, COLOUR_GRID, p, out);
        return p;
    }

    private static int pool(float[] f, int at, int stride, int g, float[] p, int out) {
        int cell = g / POOL;
        for (int i = 0; i < POOL; i++)
            for (int j = 0; j < POOL; j++) {
                float s = 0;
                for (int y = 0; y < cell; y++)
                    for (int x = 0; x < cell; x++) s += f[at + stride * ((i * cell + y) * g + j * cell + x)];
                p[out++] = s / (cell * cell);
            }
        return out;
    }
}
