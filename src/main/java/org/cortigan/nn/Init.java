// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.SplittableRandom;
import org.cortigan.features.GaborBank;
import org.cortigan.graph.Shape;

/**
 * Initial contents of a parameter.
 *
 * @param kind distribution
 * @param a standard deviation of NORMAL and TRUNCATED_NORMAL, bound of UNIFORM, value of CONSTANT, exponent of
 *     FP8_STATE, cycles a pixel of GABOR
 */
public record Init(Kind kind, double a) {
    /** Distributions of initial values. */
    public enum Kind {
        CONSTANT,
        NORMAL,
        /** Normal; numbers beyond two standard deviations are drawn again. */
        TRUNCATED_NORMAL,
        /** Uniform in [-a, a). */
        UNIFORM,
        /** The state of a tensor in FP8 with the scale 2^a, its inverse before it, and no history. */
        FP8_STATE,
        /**
         * The filters of a {@link GaborBank} of the frequency a and the standard width, for every orientation the even
         * one, then the odd ones: [2 orientations, channels, size, size], divided by the number of channels.
         */
        GABOR
    }

    public static final Init ZEROS = new Init(Kind.CONSTANT, 0);
    public static final Init ONES = new Init(Kind.CONSTANT, 1);
    /** Initialisation of ViT weights in timm and Hugging Face: truncated normal, standard deviation 0.02. */
    public static final Init VIT = new Init(Kind.TRUNCATED_NORMAL, 0.02);

    /** Default of torch for weight and bias of Linear and Conv: uniform within 1 / sqrt({@code fanIn}). */
    public static Init torch(int fanIn) {
        return new Init(Kind.UNIFORM, 1 / Math.sqrt(fanIn));
    }

    /** Normal with mean 0. Spectral normalisation starts u and v from it. */
    public static Init normal(double std) {
        return new Init(Kind.NORMAL, std);
    }

    /**
     * Gabor filters for a convolution: the even ones of {@code bank}, then the odd ones, each over the mean of all
     * channels.
     */
    public static Init gabor(GaborBank bank) {
        return new Init(Kind.GABOR, bank.frequency());
    }

    /** Draws the contents. They depend only on shape, seed and name, not on the order of the parameters. */
    public float[] make(Shape shape, long seed, String name) {
        if (kind == Kind.GABOR) return filters(shape);
        long h = seed;
        for (int i = 0; i < name.length(); i++) h = h * 0x5DEECE66DL + name.charAt(i);
        SplittableRandom r = new SplittableRandom(h);
        float[] f = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < f.length; i++)
            f[i] = (float)
                    switch (kind) {
                        case CONSTANT -> a;
                        case FP8_STATE -> i == 0 ? Math.pow(2, -a) : i == 1 ? Math.pow(2, a) : 0;
                        case UNIFORM -> a * (2 * r.nextDouble() - 1);
                        case NORMAL -> a * r.nextGaussian();
                        case TRUNCATED_NORMAL -> {
                            double x;
                            do x = r.nextGaussian();
                            while (Math.abs(x) > 2);
                            yield a * x;
                        }
                        case GABOR -> throw new AssertionError("filters are not drawn");
                    };
        return f;
    }

    private float[] filters(Shape shape) {
        int pairs = shape.dim(0) / 2, channels = shape.dim(1), area = shape.dim(2) * shape.dim(3);
        GaborBank bank = new GaborBank(a, pairs, GaborBank.WIDTH);
        float[] all = new float[Math.toIntExact(shape.elements())];
        int at = 0;
        for (GaborBank.Phase phase : GaborBank.Phase.values())
            for (int k = 0; k < pairs; k++) {
                float[] filter = bank.filter(k, phase);
                for (int i = 0; i < channels * area; i++) all[at++] = filter[i % area] / channels;
            }
        return all;
    }
}
