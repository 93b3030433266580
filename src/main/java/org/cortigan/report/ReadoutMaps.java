// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.cortigan.InputException;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;

/** The readout.safetensors of an evaluation: what a readout has learned of each vertex, and where its queries look. */
final class ReadoutMaps {
    private static final String[] HEMISPHERES = {"lh", "rh"};
    /** Photographs whose attention is shown. */
    private static final int PHOTOGRAPHS = 4;
    /** More layers have no number in a byte; more cells of one side, queries or photographs are damage. */
    private static final int MOST_LAYERS = 255, MOST_CELLS = 1 << 12;

    private ReadoutMaps() {}

    /**
     * Packs the file for the page.
     *
     * @param subject whose vertices the file has
     * @param files photographs by name
     * @param thumbnails receives those whose attention is shown
     * @throws InputException if the file is damaged
     */
    static Map<String, Object> json(Path file, SubjectMap subject, Map<String, Path> files, Thumbnails thumbnails) {
        Map<String, Object> json = new LinkedHashMap<>();
        try (SafeTensors t = SafeTensors.open(file)) {
            if (t.names().contains("positions.lh"))
                json.put("positions", Geometry.pair(positions(t, subject, 0), positions(t, subject, 1)));
            if (t.names().contains("layers.lh")) {
                Map<String, Object> layers = Geometry.pair(strongest(t, subject, 0), strongest(t, subject, 1));
                layers.put("names", list(t, "layers", columns(t, "layers.lh", subject, 0)));
                json.put("layers", layers);
            }
            if (t.names().contains("attention")) json.put("attention", attention(t, files, thumbnails));
        }
        return json;
    }

    private static InputException damaged(SafeTensors t, String problem) {
        return new InputException(t.path().toString(), problem, "Evaluate the run again, or remove the file");
    }

    /** The columns of a tensor [vertices, columns] of a hemisphere. */
    private static int columns(SafeTensors t, String name, SubjectMap subject, int hemisphere) {
        long[] shape = t.names().contains(name) ? t.entry(name).shape() : new long[0];
        int vertices = subject.vertices(hemisphere);
        if (shape.length != 2 || shape[0] != vertices || shape[1] < 1 || shape[1] > MOST_LAYERS)
            throw damaged(
                    t,
                    "has " + name + " of shape " + Arrays.toString(shape) + ", but that hemisphere has " + vertices
                            + " vertices");
        return (int) shape[1];
    }

    private static Map<String, Object> positions(SafeTensors t, SubjectMap subject, int hemisphere) {
        String name = "positions." + HEMISPHERES[hemisphere];
        if (columns(t, name, subject, hemisphere) != 2) throw damaged(t, "has " + name + " of other than 2 columns");
        float[] xy = t.floats(name);
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("x", Blob.coarse(column(xy, 2, 0), -1, 1));
        json.put("y", Blob.coarse(column(xy, 2, 1), -1, 1));
        return json;
    }

    private static float[] column(float[] values, int columns, int column) {
        float[] one = new float[values.length / columns];
        for (int v = 0; v < one.length; v++) one[v] = values[v * columns + column];
        return one;
    }

    /** The layer with the largest share of each vertex; 255 of a vertex without responses. */
    private static Map<String, Object> strongest(SafeTensors t, SubjectMap subject, int hemisphere) {
        String name = "layers." + HEMISPHERES[hemisphere];
        int layers = columns(t, name, subject, hemisphere);
        float[] shares = t.floats(name);
        byte[] strongest = new byte[shares.length / layers];
        for (int v = 0; v < strongest.length; v++) {
            int best = 0;
            for (int l = 1; l < layers; l++) if (shares[v * layers + l] > shares[v * layers + best]) best = l;
            strongest[v] = (byte) (Float.isNaN(shares[v * layers]) ? 255 : best);
        }
        return Blob.bytes(strongest);
    }

    /** @param n entries that the list must have */
    private static List<?> list(SafeTensors t, String key, int n) {
        Object list = Json.parse(Objects.requireNonNullElse(t.metadata().get(key), "null"), t.path() + ", " + key);
        if (list instanceof List<?> l && l.size() == n) return l;
        throw damaged(t, "has no list of " + n + " " + key + " in its metadata");
    }

    private static List<Object> attention(SafeTensors t, Map<String, Path> files, Thumbnails thumbnails) {
        long[] shape = t.entry("attention").shape();
        if (shape.length != 4 || Arrays.stream(shape).anyMatch(n -> n < 1 || n > MOST_CELLS))
            throw damaged(t, "has attention of shape " + Arrays.toString(shape) + ", not [photographs, queries, h, w]");
        int queries = (int) shape[1], height = (int) shape[2], width = (int) shape[3], cells = height * width;
        float[] all = t.floats("attention");
        List<?> names = list(t, "queries", queries), photographs = list(t, "photographs", (int) shape[0]);
        List<Object> maps = new ArrayList<>();
        int shown = 0;
        for (int p = 0; p < photographs.size() && shown < PHOTOGRAPHS; p++) {
            Path file = files.get(String.valueOf(photographs.get(p)));
            String id = file == null ? null : thumbnails.add(file);
            if (id == null) continue;
            shown++;
            for (int q = 0; q < queries; q++) {
                float[] map = new float[cells];
                float largest = 0;
                for (int c = 0; c < cells; c++) {
                    map[c] = all[(p * queries + q) * cells + c];
                    largest = Math.max(largest, map[c]);
                }
                Map<String, Object> o = new LinkedHashMap<>();
                o.put("roi", String.valueOf(names.get(q)));
                o.put("photograph", id);
                o.put("name", String.valueOf(photographs.get(p)));
                o.put("grid", List.of(height, width));
                o.put("values", Blob.coarse(map, 0, largest));
                maps.add(o);
            }
        }
        return maps;
    }
}
