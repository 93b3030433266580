// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.awt.Shape;
import java.awt.geom.AffineTransform;
import java.awt.geom.Path2D;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.StringTokenizer;

/**
 * The outlines of DejaVu Sans, so that pictures have letters, and the same ones, on systems without fonts. Letters that
 * tools/colourmaps.py does not list are drawn as the font's mark for unknown ones.
 */
final class Letters {
    private static final int UNITS = 2048, UNKNOWN = 0xfffd;

    private record Letter(double width, String outline) {}

    private static final Map<Integer, Letter> ALL = read();

    private Letters() {}

    private static Map<Integer, Letter> read() {
        Map<Integer, Letter> all = new HashMap<>();
        try (InputStream in = Letters.class.getResourceAsStream("/org/cortigan/surface/letters.txt");
                BufferedReader lines = new BufferedReader(
                        new InputStreamReader(Objects.requireNonNull(in), StandardCharsets.US_ASCII))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                int first = line.indexOf(' '), second = line.indexOf(' ', first + 1);
                all.put(
                        Integer.parseInt(line.substring(0, first), 16),
                        new Letter(
                                Integer.parseInt(line.substring(first + 1, second)) / (double) UNITS,
                                line.substring(second + 1)));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return all;
    }

    private static Letter letter(int code) {
        return Objects.requireNonNull(ALL.getOrDefault(code, ALL.get(UNKNOWN)));
    }

    /** Width of a text. */
    static double width(String text, double size) {
        return size * text.codePoints().mapToDouble(c -> letter(c).width).sum();
    }

    /** The outline of a text that begins at x on the base line y; y grows downwards. */
    static Shape shape(String text, double x, double y, double size) {
        Path2D all = new Path2D.Double();
        for (int code : text.codePoints().toArray()) {
            Letter letter = letter(code);
            AffineTransform place = new AffineTransform(size / UNITS, 0, 0, -size / UNITS, x, y);
            all.append(outline(letter.outline).getPathIterator(place), false);
            x += size * letter.width;
        }
        return all;
    }

    /** Reads M x y, L x y, Q x y x y and Z. */
    private static Path2D outline(String text) {
        Path2D path = new Path2D.Double();
        StringTokenizer tokens = new StringTokenizer(text, "MLQZ ", true);
        double[] p = new double[4];
        char command = 0;
        int n = 0;
        while (tokens.hasMoreTokens()) {
            String token = tokens.nextToken();
            char c = token.charAt(0);
            if (c == 'Z') path.closePath();
            else if (c == 'M' || c == 'L' || c == 'Q') {
                command = c;
                n = 0;
            } else if (c != ' ') {
                p[n++] = Double.parseDouble(token);
                if (command == 'M' && n == 2) path.moveTo(p[0], p[1]);
                else if (command == 'L' && n == 2) path.lineTo(p[0], p[1]);
                else if (command == 'Q' && n == 4) path.quadTo(p[0], p[1], p[2], p[3]);
            }
        }
        return path;
    }
}
