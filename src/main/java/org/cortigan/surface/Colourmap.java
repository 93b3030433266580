// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Objects;

/**
 * Colours of values, 256 of each map. Equal steps look equally large, also to colour-blind readers and in grey print;
 * dark is low. {@link #DIFFERENCE} is light in the middle, and equally dark at both ends: blue below, orange above.
 * Source: matplotlib's tables (CC0), which tools/colourmaps.py writes; the difference is made in OKLab (Ottosson 2020,
 * bottosson.github.io/posts/oklab).
 */
public enum Colourmap {
    INFERNO,
    VIRIDIS,
    CIVIDIS,
    MAGMA,
    DIFFERENCE;

    private static final int COLOURS = 256;

    /** OKLab of the difference: lightness of middle and ends, chroma of the ends, and hues in degrees. */
    private static final double MIDDLE = 0.97, END = 0.42, CHROMA = 0.105, BLUE = 255, ORANGE = 50;

    private final byte[] table = new byte[3 * COLOURS];

    Colourmap() {
        String key = key();
        if (!key.equals("difference")) {
            String line = resource()
                    .lines()
                    .filter(l -> l.startsWith(key + " "))
                    .findFirst()
                    .orElseThrow();
            System.arraycopy(HexFormat.of().parseHex(line.substring(key.length() + 1)), 0, table, 0, table.length);
        } else for (int i = 0; i < COLOURS; i++) difference(2.0 * i / (COLOURS - 1) - 1, i);
    }

    private static String resource() {
        try (InputStream in = Colourmap.class.getResourceAsStream("/org/cortigan/surface/colourmaps.txt")) {
            return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.US_ASCII);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Writes a colour of the difference; {@code position} is -1 to 1. */
    private void difference(double position, int at) {
        double far = Math.abs(position), lightness = MIDDLE + (END - MIDDLE) * far;
        // Colour comes faster than darkness, so that small differences have a hue.
        double chroma = CHROMA * far * (2 - far), hue = Math.toRadians(position < 0 ? BLUE : ORANGE);
        double[] rgb = rgbOfOklab(lightness, chroma * Math.cos(hue), chroma * Math.sin(hue));
        for (int k = 0; k < 3; k++) table[3 * at + k] = (byte) Math.round(255 * Math.max(0, Math.min(1, rgb[k])));
    }

    /** sRGB of a colour in OKLab, 0 to 1; outside that if the screen cannot show it. */
    static double[] rgbOfOklab(double lightness, double a, double b) {
        double l = Math.pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
        double m = Math.pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
        double s = Math.pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
        return new double[] {
            encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
            encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
            encoded(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)
        };
    }

    private static double encoded(double linear) {
        return linear <= 0.0031308 ? 12.92 * linear : 1.055 * Math.pow(linear, 1 / 2.4) - 0.055;
    }

    /** Name in options and reports, such as {@code inferno}. */
    public String key() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Red, green and blue of 256 colours, lowest value first: 768 bytes. */
    public byte[] table() {
        return table.clone();
    }

    /** The colour 0xRRGGBB of a position from 0, lowest, to 1, highest; positions beyond take the end's colour. */
    public int rgb(double position) {
        int at = 3 * Math.max(0, Math.min(COLOURS - 1, (int) (position * COLOURS)));
        return (table[at] & 255) << 16 | (table[at + 1] & 255) << 8 | table[at + 2] & 255;
    }
}
