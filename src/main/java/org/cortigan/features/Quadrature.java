// SPDX-License-Identifier: Apache-2.0
package org.cortigan.features;

/**
 * Filters images with all pairs of a {@link GaborBank}, one axis after the other. With c = g cos(wave x cos angle) and
 * s = g sin(wave x cos angle) along a row, and C, S likewise down a column with the sine of the angle, the pair of the
 * angle is even = cC - sS, odd = sC + cS, and that of the mirrored angle pi - angle is even = cC + sS, odd = cS - sC.
 */
final class Quadrature {
    private final int orientations, radius, taps;
    private final float[][] rowCosine, rowSine; // [orientations][taps]
    private final float[][] columnCosine, columnSine;
    private final float[] envelope, scaledEnvelope;
    private final float[] mean; // [orientations], of the cosine under the envelope

    /** Work on the responses of one pair: n rows of {@code stride} pixels, of which the first n of a row count. */
    @FunctionalInterface
    interface Body {
        /** The arrays are reused for the next pair; the body may overwrite them. */
        void accept(int orientation, float[] even, float[] odd, int stride);
    }

    Quadrature(GaborBank bank) {
        orientations = bank.orientations();
        radius = bank.radius();
        taps = bank.size();
        double[] g = new double[taps];
        double sum = 0;
        for (int t = 0; t < taps; t++) {
            int x = t - radius;
            g[t] = StrictMath.exp(-x * x / (2 * bank.sigma() * bank.sigma()));
            sum += g[t];
        }
        // The columns' filters carry the scale 2 / sum of the envelope, which is a product of two equal sums.
        double scale = 2 / (sum * sum), wave = 2 * Math.PI * bank.frequency();
        rowCosine = new float[orientations][];
        rowSine = new float[orientations][];
        columnCosine = new float[orientations][];
        columnSine = new float[orientations][];
        mean = new float[orientations];
        envelope = filter(g, 1, 0, false);
        scaledEnvelope = filter(g, scale, 0, false);
        for (int k = 0; k < orientations; k++) {
            double across = wave * StrictMath.cos(bank.angle(k)), down = wave * StrictMath.sin(bank.angle(k));
            rowCosine[k] = filter(g, 1, across, false);
            rowSine[k] = filter(g, 1, across, true);
            columnCosine[k] = filter(g, scale, down, false);
            columnSine[k] = filter(g, scale, down, true);
            mean[k] = (float) (mean(g, sum, across) * mean(g, sum, down));
        }
    }

    private float[] filter(double[] g, double scale, double wave, boolean sine) {
        float[] f = new float[taps];
        for (int t = 0; t < taps; t++) {
            double phase = wave * (t - radius);
            f[t] = (float) (scale * g[t] * (sine ? StrictMath.sin(phase) : StrictMath.cos(phase)));
        }
        return f;
    }

    /**
     * Mean of a cosine under a one-dimensional envelope. The sines' means are 0, so the mean of a product is simple.
     */
    private double mean(double[] g, double sum, double wave) {
        double cosine = 0;
        for (int t = 0; t < taps; t++) cosine += g[t] * StrictMath.cos(wave * (t - radius));
        return cosine / sum;
    }

    /** Filters an image [n, n]; calls the body once for each orientation. */
    void forEach(float[] image, int n, Body body) {
        int stride = n + 2 * radius, outputs = n * stride;
        float[] padded = pad(image, n);
        float[] uniform = down(across(padded, envelope), scaledEnvelope, stride, outputs);
        for (int k = 0; k <= orientations / 2; k++) {
            float[] c = across(padded, rowCosine[k]), s = across(padded, rowSine[k]);
            float[] cc = down(c, columnCosine[k], stride, outputs), ss = down(s, columnSine[k], stride, outputs);
            float[] sc = down(s, columnCosine[k], stride, outputs), cs = down(c, columnSine[k], stride, outputs);
            float[] even = new float[outputs], odd = new float[outputs];
            for (int i = 0; i < outputs; i++) {
                even[i] = cc[i] - ss[i] - mean[k] * uniform[i];
                odd[i] = sc[i] + cs[i];
            }
            body.accept(k, even, odd, stride);
            int mirrored = orientations - k;
            if (k == 0 || mirrored == k) continue;
            for (int i = 0; i < outputs; i++) {
                even[i] = cc[i] + ss[i] - mean[k] * uniform[i];
                odd[i] = cs[i] - sc[i];
            }
            body.accept(mirrored, even, odd, stride);
        }
    }

    /** The image with a margin as wide as the filters' radius, in which its edges are repeated, and one spare row. */
    private float[] pad(float[] image, int n) {
        int side = n + 2 * radius;
        float[] p = new float[side * side + taps];
        for (int y = 0; y < side; y++) {
            int row = Math.max(0, Math.min(n - 1, y - radius)) * n;
            for (int x = 0; x < side; x++) p[y * side + x] = image[row + Math.max(0, Math.min(n - 1, x - radius))];
        }
        return p;
    }

    private float[] across(float[] padded, float[] filter) {
        return correlate(padded, filter, 1, padded.length - taps);
    }

    private float[] down(float[] rows, float[] filter, int stride, int outputs) {
        return correlate(rows, filter, stride, outputs);
    }

    /**
     * out[i] = sum over t of filter[t] * in[i + t * step]. Rows run into each other: the last 2 * radius values of a
     * row mean nothing, and nobody reads them.
     */
    private static float[] correlate(float[] in, float[] filter, int step, int outputs) {
        float[] out = new float[outputs];
        int t = 0;
        for (; t + 3 < filter.length; t += 4) {
            float a = filter[t], b = filter[t + 1], c = filter[t + 2], d = filter[t + 3];
            int i1 = t * step, i2 = i1 + step, i3 = i2 + step, i4 = i3 + step;
            for (int i = 0; i < outputs; i++)
                out[i] += a * in[i + i1] + b * in[i + i2] + c * in[i + i3] + d * in[i + i4];
        }
        for (; t < filter.length; t++) {
            float a = filter[t];
            int at = t * step;
            for (int i = 0; i < outputs; i++) out[i] += a * in[i + at];
        }
        return out;
    }
}
