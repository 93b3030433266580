// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.cortigan.cortex.Mesh;
import org.cortigan.surface.Fsaverage;
import org.cortigan.surface.Surfaces;

/** The surfaces, packed for the page. The page makes the triangles itself, as {@link Fsaverage} does. */
final class Geometry {
    private Geometry() {}

    static Map<String, Object> json(Surfaces surfaces) {
        int level = surfaces.level();
        int[] parents = Fsaverage.parents(level);
        Map<String, Object> all = new LinkedHashMap<>();
        for (Surfaces.Kind kind : Surfaces.Kind.values())
            if (surfaces.has(kind))
                all.put(
                        kind.key(),
                        pair(
                                Blob.surface(surfaces.mesh(kind, 0).points(), parents),
                                Blob.surface(surfaces.mesh(kind, 1).points(), parents)));
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("mesh", Fsaverage.name(level));
        json.put("level", level);
        json.put("surfaces", all);
        if (surfaces.has(Surfaces.Kind.FLAT)) {
            int[] triangles = Fsaverage.triangles(level);
            json.put(
                    "flat_triangles",
                    pair(
                            Blob.ascending(indices(surfaces.mesh(Surfaces.Kind.FLAT, 0), triangles)),
                            Blob.ascending(indices(surfaces.mesh(Surfaces.Kind.FLAT, 1), triangles))));
        }
        float[][] shades = surfaces.shades();
        json.put("sulc", pair(Blob.bytes(grey(shades[0])), Blob.bytes(grey(shades[1]))));
        return json;
    }

    static Map<String, Object> pair(Object left, Object right) {
        Map<String, Object> pair = new LinkedHashMap<>();
        pair.put("lh", left);
        pair.put("rh", right);
        return pair;
    }

    /** Which of all triangles a flat surface has, ascending. */
    private static int[] indices(Mesh flat, int[] triangles) {
        Map<Long, Integer> index = new HashMap<>();
        for (int t = 0; t < triangles.length / 3; t++) index.put(key(triangles, t), t);
        int[] own = flat.triangles(), indices = new int[own.length / 3];
        for (int t = 0; t < indices.length; t++) indices[t] = index.getOrDefault(key(own, t), -1);
        // Triangles that fsaverage lacks would connect what is apart.
        return Arrays.stream(indices).filter(i -> i >= 0).sorted().toArray();
    }

    /** A number of the corners of a triangle, in any order. */
    private static long key(int[] triangles, int t) {
        int a = triangles[3 * t], b = triangles[3 * t + 1], c = triangles[3 * t + 2];
        long least = Math.min(a, Math.min(b, c)), most = Math.max(a, Math.max(b, c));
        return (least << 18 | most) << 18 | a + b + c - least - most;
    }

    /** Depth in the sulci as a grey value: 0 deep, 255 the crown of a gyrus. */
    private static byte[] grey(float[] shades) {
        byte[] grey = new byte[shades.length];
        for (int v = 0; v < grey.length; v++) grey[v] = (byte) Math.round(255 * (1 - shades[v]));
        return grey;
    }
}
