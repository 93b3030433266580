// SPDX-License-Identifier: Apache-2.0
package org.cortigan.features;

/**
 * A bank of Gabor wavelets of one frequency (Gabor 1946, Daugman 1985): quadrature pairs at evenly spaced orientations.
 *
 * <p>Orientation k has the angle pi * k / orientations; its wave runs along (cos angle, sin angle), with x to the right
 * and y down. With the distance t = x * cos angle + y * sin angle from the centre of the filter, in pixels, and the
 * envelope g = exp(-(x^2 + y^2) / (2 sigma^2)), sigma = width / frequency, the two filters of a pair are
 *
 * <pre>
 * even = scale * g * (cos(2 pi * frequency * t) - mean),   odd = scale * g * sin(2 pi * frequency * t)
 * </pre>
 *
 * where {@code mean} is the average of the cosine under the envelope, so that neither filter responds to uniform light,
 * and {@code scale} = 2 / sum of g, so that a grating of amplitude A at the bank's frequency and orientation has the
 * amplitude sqrt(even^2 + odd^2) = A. The envelope ends at 3 sigma.
 *
 * <p>A pyramid needs one bank for all scales: filtering an image that was halved n times by averaging stands for
 * filtering the image itself at frequency / 2^n.
 *
 * @param frequency cycles a pixel, above 0 and at most 0.5
 * @param orientations number of orientations, at least 1
 * @param width sigma of the envelope in wavelengths; 0.45 gives a bandwidth of 1.3 octaves at half the amplitude
 */
public record GaborBank(double frequency, int orientations, double width) {
    /** The width of the standard bank. */
    public static final double WIDTH = 0.45;

    /** Where the envelope ends, in sigma: its values beyond are below 1.2 % of the peak. */
    private static final double CUT = 3;

    /** The two filters of a quadrature pair. */
    public enum Phase {
        /** The cosine, symmetric about the centre. */
        EVEN,
        /** The sine, antisymmetric about the centre. */
        ODD
    }

    public GaborBank {
        if (!(frequency > 0 && frequency <= 0.5) || orientations < 1 || !(width > 0 && width <= 8))
            throw new IllegalArgumentException("frequency " + frequency + ", orientations " + orientations + ", width "
                    + width + ": not in (0, 0.5], at least 1 and in (0, 8]");
    }

    /** The bank of the standard pyramid: 1/4 cycle a pixel, 8 orientations, sigma 0.45 wavelengths; 13 x 13 pixels. */
    public static GaborBank standard() {
        return new GaborBank(0.25, 8, WIDTH);
    }

    /** Standard deviation of the envelope, in pixels. */
    double sigma() {
        return width / frequency;
    }

    /** Pixels from the centre of a filter to its edge. */
    public int radius() {
        return (int) Math.ceil(CUT * sigma());
    }

    /** Side of the filters, in pixels; odd. */
    public int size() {
        return 2 * radius() + 1;
    }

    /** Angle of an orientation, in radians. */
    double angle(int orientation) {
        return Math.PI * orientation / orientations;
    }

    /**
     * A filter, to be correlated with the image (not flipped).
     *
     * @param orientation 0 to orientations - 1
     * @return [size, size], row by row from the top, computed in double and rounded once
     */
    public float[] filter(int orientation, Phase phase) {
        if (orientation < 0 || orientation >= orientations)
            throw new IndexOutOfBoundsException("orientation " + orientation + " of " + orientations);
        int n = radius(), size = size();
        double wave = 2 * Math.PI * frequency, cos = StrictMath.cos(angle(orientation));
        double sin = StrictMath.sin(angle(orientation)), sum = 0, mean = 0;
        double[] envelope = new double[size * size], carrier = new double[size * size];
        for (int i = 0; i < envelope.length; i++) {
            int x = i % size - n, y = i / size - n;
            double t = wave * (cos * x + sin * y);
            envelope[i] = StrictMath.exp(-(x * x + y * y) / (2 * sigma() * sigma()));
            carrier[i] = phase == Phase.EVEN ? StrictMath.cos(t) : StrictMath.sin(t);
            sum += envelope[i];
            mean += envelope[i] * carrier[i];
        }
        mean = phase == Phase.EVEN ? mean / sum : 0; // The sine's is 0 by symmetry.
        float[] filter = new float[size * size];
        for (int i = 0; i < filter.length; i++) filter[i] = (float) (2 / sum * envelope[i] * (carrier[i] - mean));
        return filter;
    }
}
