// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.io.ByteArrayOutputStream;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.Deflater;

/**
 * Packs arrays for the page: integers in planes of bytes, deflated, as base64. {@code report.js} unpacks them. The
 * planes (the lowest bytes of all elements, then the next) and the codings make most bytes small or equal, so that they
 * deflate well.
 */
final class Blob {
    /** The largest integer of coarse numbers. */
    private static final int COARSE = 254;

    /** The integer that stands for NaN. */
    private static final int NAN = Short.MIN_VALUE;

    /** Coordinates need no more than this, mm: an edge of fsaverage is about 1 mm long. */
    private static final double LEAST_SCALE = 0.02;

    /** Integer of the largest coordinate; a distance is at most twice as large. */
    private static final int LARGEST_COORDINATE = Short.MAX_VALUE / 2;

    private Blob() {}

    /** Bytes, 0 to 255. */
    static Map<String, Object> bytes(byte[] values) {
        int[] integers = new int[values.length];
        for (int i = 0; i < integers.length; i++) integers[i] = values[i] & 0xff;
        return blob("u8", 1, "plain", integers);
    }

    /** Integers as they are. */
    static Map<String, Object> integers(int[] values) {
        return blob("i32", 4, "plain", values);
    }

    /** Ascending integers, each as its distance from the one before. */
    static Map<String, Object> ascending(int[] values) {
        int[] delta = new int[values.length];
        for (int i = 0; i < delta.length; i++) delta[i] = zigzag(values[i] - (i == 0 ? 0 : values[i - 1]));
        return blob("i32", 4, "delta", delta);
    }

    /**
     * Numbers as 16-bit multiples of a scale.
     *
     * @param values NaN, or at most 32,767 times the scale in size; larger ones become that
     */
    static Map<String, Object> numbers(float[] values, double scale) {
        int[] integers = new int[values.length];
        for (int i = 0; i < integers.length; i++) {
            long rounded = Math.round(values[i] / scale);
            integers[i] =
                    Float.isNaN(values[i]) ? NAN : (int) Math.max(-Short.MAX_VALUE, Math.min(Short.MAX_VALUE, rounded));
        }
        Map<String, Object> blob = blob("i16", 2, "plain", integers);
        blob.put("scale", scale);
        blob.put("nan", NAN);
        return blob;
    }

    /**
     * Numbers from one limit to another in 255 steps; 255 is NaN.
     *
     * @param low of all values
     * @param high of all values
     */
    static Map<String, Object> coarse(float[] values, double low, double high) {
        double scale = Math.max(high - low, 1e-12) / COARSE;
        int[] integers = new int[values.length];
        for (int i = 0; i < integers.length; i++)
            integers[i] = Float.isNaN(values[i])
                    ? COARSE + 1
                    : (int) Math.max(0, Math.min(COARSE, Math.round((values[i] - low) / scale)));
        Map<String, Object> blob = blob("u8", 1, "plain", integers);
        blob.put("scale", scale);
        blob.put("offset", low);
        blob.put("nan", COARSE + 1);
        return blob;
    }

    /**
     * Coordinates of a surface, each as its distance from the middle of its parents.
     *
     * @param points [vertices][3], mm
     * @param parents of {@link org.cortigan.surface.Fsaverage#parents}
     */
    static Map<String, Object> surface(float[] points, int[] parents) {
        float largest = 0;
        for (float p : points) largest = Math.max(largest, Math.abs(p));
        double scale = Math.max(largest / LARGEST_COORDINATE, LEAST_SCALE);
        int[] integers = new int[points.length], coded = new int[points.length];
        for (int i = 0; i < points.length; i++) integers[i] = (int) Math.round(points[i] / scale);
        for (int i = 0; i < points.length; i++) {
            int v = i / 3, k = i % 3;
            boolean first = parents[2 * v + 1] == 0;
            int middle = first ? 0 : integers[3 * parents[2 * v] + k] + integers[3 * parents[2 * v + 1] + k] >> 1;
            coded[i] = zigzag(integers[i] - middle);
        }
        Map<String, Object> blob = blob("i16", 2, "midpoint", coded);
        blob.put("scale", scale);
        return blob;
    }

    /** Small integers of both signs as small integers of one. */
    private static int zigzag(int d) {
        return d << 1 ^ d >> 31;
    }

    private static Map<String, Object> blob(String type, int width, String coding, int[] integers) {
        byte[] planes = new byte[width * integers.length];
        for (int plane = 0; plane < width; plane++)
            for (int i = 0; i < integers.length; i++)
                planes[plane * integers.length + i] = (byte) (integers[i] >> 8 * plane);
        Map<String, Object> blob = new LinkedHashMap<>();
        blob.put("type", type);
        blob.put("n", integers.length);
        blob.put("coding", coding);
        blob.put("data", deflated(planes));
        return blob;
    }

    /** The bytes in the zlib format (RFC 1950), as base64. */
    static String deflated(byte[] bytes) {
        Deflater deflater = new Deflater();
        try {
            deflater.setInput(bytes);
            deflater.finish();
            ByteArrayOutputStream out = new ByteArrayOutputStream(bytes.length / 2 + 64);
            byte[] buffer = new byte[1 << 15];
            while (!deflater.finished()) out.write(buffer, 0, deflater.deflate(buffer));
            return Base64.getEncoder().encodeToString(out.toByteArray());
        } finally {
            deflater.end();
        }
    }
}
