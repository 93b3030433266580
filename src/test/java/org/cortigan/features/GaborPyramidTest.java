// SPDX-License-Identifier: Apache-2.0
package org.cortigan.features;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.cortigan.features.GaborPyramid.Response;
import org.cortigan.io.SafeTensors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Compares the pyramid with square filters in double (tools/golden_gabor.py). */
class GaborPyramidTest {
    private static final Path FILE = Path.of("src/test/resources/features/gabor.safetensors");
    private static final int SIDE = 32;

    /**
     * A response is a sum of 13 products of sums of 13 products with weights of absolute sum 2 at most: an error of 2 *
     * 26 * 2^-24, in each of the two filters of an amplitude.
     */
    private static final double AMPLITUDE = 2 * 26 * 0x1p-24 * Math.sqrt(2);

    private static double tolerance(Response response) {
        return switch (response) {
            case AMPLITUDE, LINEAR -> AMPLITUDE;
            case ENERGY -> 2 * AMPLITUDE; // The derivative of a^2 is 2 a, with a up to 1.
            case LOG -> AMPLITUDE / 0.01; // That of log(a^2 + 1e-4) is 100 at most, at a = 0.01.
        };
    }

    @ParameterizedTest
    @EnumSource
    void featuresAreThoseOfSquareFilters(Response response) {
        GaborPyramid pyramid = new GaborPyramid(SIDE, response);
        int n = pyramid.features(), bytes = 3 * SIDE * SIDE;
        try (SafeTensors t = SafeTensors.open(FILE)) {
            float[] photographs = t.floats("photographs");
            float[] want = t.floats(response.name().toLowerCase(Locale.ROOT));
            assertEquals(want.length, 2 * n);
            float[] got = new float[2 * n];
            for (int i = 0; i < 2; i++) {
                byte[] rgb = new byte[bytes];
                for (int k = 0; k < bytes; k++) rgb[k] = (byte) (int) photographs[i * bytes + k];
                pyramid.compute(rgb, got, i * n);
            }
            assertArrayEquals(want, got, (float) tolerance(response));
        }
    }

    @Test
    void uniformPhotographsHaveNoContrast() {
        GaborPyramid pyramid = new GaborPyramid(GaborPyramid.STANDARD_SIDE, Response.AMPLITUDE);
        assertEquals(4800, pyramid.features());
        byte[] rgb = new byte[3 * 64 * 64];
        Arrays.fill(rgb, (byte) 200);
        float[] f = new float[4801];
        pyramid.compute(rgb, f, 1);
        assertEquals(0, f[0]);
        for (int i = 1; i <= 4736; i++) assertEquals(0, f[i], AMPLITUDE);
        for (int i = 4737; i <= 4800; i++) assertEquals(200 / 255f, f[i], 1e-6);
    }

    @Test
    void aGratingRespondsAtItsScaleAndOrientation() {
        GaborPyramid pyramid = new GaborPyramid(64, Response.AMPLITUDE);
        byte[] rgb = new byte[3 * 64 * 64];
        for (int i = 0; i < rgb.length; i++) { // 1/8 cycle a pixel down the columns: scale 1, orientation 4 of 8
            int row = i / (3 * 64);
            rgb[i] = (byte) Math.round(127.5 + 100 * Math.cos(2 * Math.PI / 8 * row));
        }
        float[] f = new float[4800];
        pyramid.compute(rgb, f, 0);
        int best = 0;
        for (int i = 0; i < 4736; i++) if (f[i] > f[best]) best = i;
        assertEquals(8 + 4, best / 256);
        // Averaging two pixels keeps cos(pi / 8) of the amplitude.
        assertEquals(100 / 255.0 * Math.cos(Math.PI / 8), f[(8 + 4) * 256 + 8 * 16 + 8], 0.01);
    }

    @Test
    void wrongSizesAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new GaborPyramid(40, Response.ENERGY));
        assertThrows(IllegalArgumentException.class, () -> new GaborPyramid(0, Response.ENERGY));
        GaborPyramid pyramid = new GaborPyramid(SIDE, Response.ENERGY);
        assertEquals(SIDE, pyramid.side());
        float[] out = new float[pyramid.features()];
        assertThrows(IllegalArgumentException.class, () -> pyramid.compute(new byte[3], out, 0));
        byte[] rgb = new byte[3 * SIDE * SIDE];
        assertTrue(assertThrows(IllegalArgumentException.class, () -> pyramid.compute(rgb, out, 1))
                .getMessage()
                .contains("1200 features"));
    }
}
