// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

/** Interpolates position embeddings of one square grid of patches to another, as the libraries of ViTs do. */
final class PositionGrid {
    /** Forms of bicubic interpolation of torch.nn.functional.interpolate, corners not aligned. */
    enum Resampling {
        /** With antialias (a = -0.5): timm's resample_abs_pos_embed, OpenCLIP, DINOv2 with registers. */
        ANTIALIASED,
        /** Without (a = -0.75): Hugging Face's ViT, DINOv2 and CLIP. */
        BICUBIC,
        /**
         * Without, by the factor (to + 0.1) / from: the authors' DINOv2 without registers, as torch.hub builds it. The
         * offset once kept torch from rounding the size down.
         */
        OFFSET
    }

    private PositionGrid() {}

    /**
     * Interpolates embeddings [from * from, E], which begin at {@code at} in x.
     *
     * @return [to * to, E]
     */
    static float[] resample(float[] x, int at, int from, int to, int e, Resampling how) {
        double[][] w = weights(from, to, how);
        double[] rows = new double[to * from * e]; // interpolated along y
        for (int i = 0; i < to; i++)
            for (int k = 0; k < from; k++)
                if (w[i][k] != 0)
                    for (int j = 0; j < from * e; j++) rows[i * from * e + j] += w[i][k] * x[at + k * from * e + j];
        float[] out = new float[to * to * e];
        for (int i = 0; i < to; i++)
            for (int j = 0; j < to; j++)
                for (int c = 0; c < e; c++) {
                    double v = 0;
                    for (int k = 0; k < from; k++) v += w[j][k] * rows[(i * from + k) * e + c];
                    out[(i * to + j) * e + c] = (float) v;
                }
        return out;
    }

    /** Weights [to][from] of one axis. */
    static double[][] weights(int from, int to, Resampling how) {
        return switch (how) {
            case ANTIALIASED -> antialiased(from, to);
            case BICUBIC -> bicubic(from, to, (double) from / to);
            case OFFSET -> bicubic(from, to, from / (to + 0.1));
        };
    }

    private static double[][] antialiased(int from, int to) {
        double scale = (double) from / to, stretch = Math.max(scale, 1), reach = 2 * stretch;
        double[][] w = new double[to][from];
        for (int i = 0; i < to; i++) {
            double center = scale * (i + 0.5), sum = 0;
            int lo = Math.max((int) (center - reach + 0.5), 0), hi = Math.min((int) (center + reach + 0.5), from);
            for (int k = lo; k < hi; k++) sum += w[i][k] = cubic((k - center + 0.5) / stretch, -0.5);
            for (int k = lo; k < hi; k++) w[i][k] /= sum;
        }
        return w;
    }

    /** Four points at each place; those beyond an edge are the edge's. */
    private static double[][] bicubic(int from, int to, double scale) {
        double[][] w = new double[to][from];
        for (int i = 0; i < to; i++) {
            double place = scale * (i + 0.5) - 0.5;
            int below = (int) Math.floor(place);
            for (int k = below - 1; k <= below + 2; k++)
                w[i][Math.min(Math.max(k, 0), from - 1)] += cubic(place - k, -0.75);
        }
        return w;
    }

    private static double cubic(double x, double a) {
        double t = Math.abs(x);
        if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
        return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
    }
}
