// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class ColourmapTest {
    private static final List<Colourmap> SEQUENTIAL =
            List.of(Colourmap.INFERNO, Colourmap.VIRIDIS, Colourmap.CIVIDIS, Colourmap.MAGMA);

    private static double linear(int channel) {
        double c = channel / 255.0;
        return c <= 0.04045 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4);
    }

    private static double[] linearRgb(int rgb) {
        return new double[] {linear(rgb >> 16 & 255), linear(rgb >> 8 & 255), linear(rgb & 255)};
    }

    /** OKLab of linear sRGB; the formulas of its author, the reverse of the tested ones. */
    private static double[] oklab(double[] c) {
        double l = Math.cbrt(0.4122214708 * c[0] + 0.5363325363 * c[1] + 0.0514459929 * c[2]);
        double m = Math.cbrt(0.2119034982 * c[0] + 0.6806995451 * c[1] + 0.1073969566 * c[2]);
        double s = Math.cbrt(0.0883024619 * c[0] + 0.2817188376 * c[1] + 0.6299787005 * c[2]);
        return new double[] {
            0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
            1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s
        };
    }

    private static double[] at(Colourmap map, int i) {
        return oklab(linearRgb(map.rgb((i + 0.5) / 256)));
    }

    @Test
    void endsAreMatplotlibs() {
        assertEquals(0x000004, Colourmap.INFERNO.rgb(0));
        assertEquals(0xfcffa4, Colourmap.INFERNO.rgb(1));
        assertEquals(0x440154, Colourmap.VIRIDIS.rgb(-3));
        assertEquals(0xfde725, Colourmap.VIRIDIS.rgb(7));
        byte[] table = Colourmap.MAGMA.table();
        assertEquals(768, table.length);
        assertEquals(Colourmap.MAGMA.rgb(0.5), (table[384] & 255) << 16 | (table[385] & 255) << 8 | table[386] & 255);
    }

    /**
     * Lightness rises all the way. The maps are even in CAM02-UCS, which OKLab follows to a factor; over 32 colours the
     * rounding to 8 bits is below a tenth of a step.
     */
    @Test
    void lightnessRisesEvenly() {
        for (Colourmap map : SEQUENTIAL) {
            double mean = (at(map, 255)[0] - at(map, 0)[0]) / 255;
            for (int i = 32; i < 256; i += 32) {
                double step = (at(map, i)[0] - at(map, i - 32)[0]) / 32;
                assertTrue(step > mean / 2 && step < 2 * mean, map + " at " + i + ": " + step + " of " + mean);
            }
            for (int i = 4; i < 256; i++) assertTrue(at(map, i)[0] > at(map, i - 4)[0], map + " at " + i);
        }
    }

    /** A channel's rounding moves OKLab's lightness by less than 1/255 in the colours of the map. */
    @Test
    void theDifferenceIsSymmetric() {
        Colourmap map = Colourmap.DIFFERENCE;
        for (int i = 0; i < 128; i++) {
            double[] below = at(map, i), above = at(map, 255 - i);
            assertEquals(below[0], above[0], 2 / 255.0, "at " + i);
            assertEquals(Math.hypot(below[1], below[2]), Math.hypot(above[1], above[2]), 2 / 255.0, "at " + i);
            if (i > 3) assertTrue(below[0] > at(map, i - 4)[0], "at " + i);
        }
        assertTrue(Math.hypot(at(map, 128)[1], at(map, 128)[2]) < 0.01, "the middle is neutral");
        assertTrue(at(map, 128)[0] > 0.95, "the middle is light");
    }

    @Test
    void theDifferenceIsWithinTheScreensColours() {
        for (double far = 0; far <= 1; far += 1 / 64.0)
            for (double hue : new double[] {255, 50}) {
                double chroma = 0.105 * far * (2 - far), angle = Math.toRadians(hue);
                double[] rgb = Colourmap.rgbOfOklab(
                        0.97 + (0.42 - 0.97) * far, chroma * Math.cos(angle), chroma * Math.sin(angle));
                for (double c : rgb) assertTrue(c > -1 / 512.0 && c < 1 + 1 / 512.0, far + " " + hue + ": " + c);
            }
    }

    /** The colours that the colour-blind see, by Machado, Oliveira and Fernandes 2009 (severity 1, linear sRGB). */
    @Test
    void theColourBlindTellBlueFromOrange() {
        double[][] deuteranopia = {
            {0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}
        };
        double[][] protanopia = {
            {0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}
        };
        for (double[][] eye : List.of(deuteranopia, protanopia))
            for (int i : new int[] {0, 32, 64}) {
                double[] a = seen(eye, i), b = seen(eye, 255 - i);
                // OKLab's just noticeable difference is about 0.02.
                assertTrue(Math.hypot(a[1] - b[1], a[2] - b[2]) > 0.1, "at " + i);
            }
    }

    private static double[] seen(double[][] eye, int i) {
        double[] c = linearRgb(Colourmap.DIFFERENCE.rgb((i + 0.5) / 256)), out = new double[3];
        for (int k = 0; k < 3; k++) out[k] = Math.max(0, eye[k][0] * c[0] + eye[k][1] * c[1] + eye[k][2] * c[2]);
        return oklab(out);
    }

    @Test
    void limitsAreRound() {
        float[] values = new float[1000];
        for (int i = 0; i < values.length; i++) values[i] = i / 1000f - 0.2f;
        values[0] = Float.NaN;
        assertArrayEquals(new double[] {0, 0.79}, Scale.limits(Colourmap.INFERNO, values), 1e-9);
        assertArrayEquals(new double[] {-0.79, 0.79}, Scale.limits(Colourmap.DIFFERENCE, values), 1e-9);
        assertArrayEquals(new double[] {-4, 0}, Scale.limits(Colourmap.INFERNO, new float[] {-4, -3}), 1e-9);
        assertArrayEquals(new double[] {0, 1}, Scale.limits(Colourmap.INFERNO, new float[] {Float.NaN}), 0);
    }

    @Test
    void thresholdsHide() {
        Scale r = new Scale(Colourmap.INFERNO, 0, 1, 0.2, "r");
        assertTrue(r.shows(0.2f + 1e-6f) && !r.shows(0.19f) && !r.shows(-0.5f) && !r.shows(Float.NaN));
        Scale d = new Scale(Colourmap.DIFFERENCE, -1, 1, 0.2, "r");
        assertTrue(d.shows(0.3f) && !d.shows(0.19f) && d.shows(-0.5f));
        Scale all = new Scale(Colourmap.INFERNO, 0, 1, Double.NaN, "r");
        assertTrue(all.shows(-5));
        assertFalse(all.shows(Float.NaN));
    }

    @Test
    void ticksAreRound() {
        Scale s = new Scale(Colourmap.INFERNO, 0, 0.79, Double.NaN, "r");
        assertArrayEquals(new double[] {0, 0.2, 0.4, 0.6}, s.ticks(), 1e-9);
        assertEquals("0.6", s.text(0.6));
        Scale wide = new Scale(Colourmap.DIFFERENCE, -30, 30, Double.NaN, "r");
        assertArrayEquals(new double[] {-20, 0, 20}, wide.ticks(), 1e-9);
        assertEquals("\u221220", wide.text(-20));
    }
}
