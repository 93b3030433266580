// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.imageio.ImageIO;
import org.cortigan.InputException;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.Rgb;
import org.jspecify.annotations.Nullable;

/** Small copies of the photographs that a report shows, each once. */
final class Thumbnails {
    private static final int SIDE = 96;
    /** Text of all thumbnails together, about a fifth of the largest report. */
    private static final int MOST_CHARACTERS = 1_000_000;

    private final Map<String, Object> byId = new LinkedHashMap<>();
    private final Map<Path, String> ids = new HashMap<>();
    /** What is wrong with the photographs that cannot be read. */
    private final Map<Path, String> unreadable = new LinkedHashMap<>();

    private int characters;

    /** Whether there is space for more. */
    boolean hasSpace() {
        return characters < MOST_CHARACTERS;
    }

    /** Adds a photograph; returns its id, or null if it cannot be read. */
    @Nullable
    String add(Path file) {
        String known = ids.get(file);
        if (known != null) return known;
        if (unreadable.containsKey(file)) return null;
        byte[] jpeg;
        try {
            jpeg = jpeg(file);
        } catch (InputException e) {
            unreadable.put(file, String.valueOf(e.getMessage()));
            return null;
        }
        String id = "p" + ids.size(),
                url = "data:image/jpeg;base64," + Base64.getEncoder().encodeToString(jpeg);
        characters += url.length();
        ids.put(file, id);
        byId.put(id, url);
        return id;
    }

    private static byte[] jpeg(Path file) {
        Rgb image = Images.read(file).upright().square();
        byte[] rgb = image.resize(SIDE, SIDE).pixels();
        BufferedImage small = new BufferedImage(SIDE, SIDE, BufferedImage.TYPE_INT_RGB);
        for (int i = 0; i < SIDE * SIDE; i++)
            small.setRGB(
                    i % SIDE,
                    i / SIDE,
                    (rgb[3 * i] & 0xff) << 16 | (rgb[3 * i + 1] & 0xff) << 8 | rgb[3 * i + 2] & 0xff);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try {
            ImageIO.setUseCache(false);
            if (!ImageIO.write(small, "jpeg", out)) throw new IllegalStateException("this Java writes no JPEG");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    /** Why photographs are missing. */
    Collection<String> problems() {
        return unreadable.values();
    }

    /** The thumbnails as data URLs, by id. */
    Map<String, Object> json() {
        return byId;
    }
}
