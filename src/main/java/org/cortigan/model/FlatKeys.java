// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.io.Json;

/**
 * Keys of version 0.1, whose generator and discriminator had the keys of all networks on one level. Such a key means
 * the same key of every network that had it then. Recipes, options and checkpoints may still use them. To be removed
 * with version 0.3.
 */
public final class FlatKeys {
    private static final String MODEL = "model";

    /**
     * A key that has moved.
     *
     * @param part {@code generator} or {@code discriminator}
     * @param networks sections that have it now
     */
    private record Move(String part, String key, List<String> networks) {
        String before() {
            return String.join(".", MODEL, part, key);
        }

        String now(String network) {
            return String.join(".", MODEL, part, network, key);
        }
    }

    private static final List<Move> MOVES = moves();

    private FlatKeys() {}

    private static List<Move> moves() {
        List<Move> all = new ArrayList<>();
        for (String k : "size patch width depth heads mlp_ratio pool layers".split(" "))
            all.add(new Move("generator", k, List.of("vit")));
        for (String k : "channels hidden".split(" ")) all.add(new Move("generator", k, List.of("cnn", "unet")));
        for (String k : "norm groups decoder".split(" ")) all.add(new Move("generator", k, List.of("unet")));
        all.add(new Move("discriminator", "hidden", List.of("mlp")));
        for (String k : "channels kernel stride".split(" ")) all.add(new Move("discriminator", k, List.of("conv")));
        for (String k : "patch width depth heads mlp_ratio".split(" "))
            all.add(new Move("discriminator", k, List.of("vit")));
        return List.copyOf(all);
    }

    /**
     * Values laid over a recipe's, as {@link Settings#with(Map, String)} does; flat keys among them are laid where they
     * are now.
     *
     * @param source where the values come from
     * @throws InputException for what does not fit, and for a key that is given in both places
     */
    public static Settings lay(Settings base, Map<String, Object> values, String source) {
        Settings s = base;
        for (Move m : MOVES) {
            if (!has(values, MODEL, m.part, m.key)) continue;
            Object v = section(section(values, MODEL), m.part).get(m.key);
            for (String n : m.networks) {
                if (has(values, MODEL, m.part, n, m.key))
                    throw new InputException(
                            source + ", key '" + m.before() + "'",
                            "is given again as '" + m.now(n) + "'",
                            "Keep the latter: the other is its name in version 0.1");
                s = s.with(m.now(n), v, source + ", old key '" + m.before() + "'");
            }
        }
        return s.with(withoutFlatKeys(values), source);
    }

    private static Map<String, Object> withoutFlatKeys(Map<String, Object> values) {
        Map<String, Object> all = copy(values);
        for (Move m : MOVES)
            if (has(all, MODEL, m.part, m.key))
                section(section(all, MODEL), m.part).remove(m.key);
        return all;
    }

    /** A checkpoint's section {@code model} with its flat keys where they are now; unchanged if it has none. */
    static Map<String, Object> moved(Map<String, Object> model) {
        Map<String, Object> all = copy(model);
        for (Move m : MOVES) {
            if (!has(all, m.part, m.key)) continue;
            Map<String, Object> part = section(all, m.part);
            Object v = part.remove(m.key);
            for (String n : m.networks) {
                part.putIfAbsent(n, new LinkedHashMap<>());
                section(part, n).put(m.key, v);
            }
        }
        return all;
    }

    /** Whether all but the last of the names are sections within each other, and the last is there. */
    private static boolean has(Map<String, Object> values, String... path) {
        Object at = values;
        for (String k : path) {
            if (!(at instanceof Map<?, ?> m) || !m.containsKey(k)) return false;
            at = m.get(k);
        }
        return true;
    }

    private static Map<String, Object> section(Map<String, Object> values, String key) {
        return Json.object(values.get(key), "section '" + key + "'");
    }

    /** A deep copy that can be changed. */
    private static Map<String, Object> copy(Map<String, Object> values) {
        Map<String, Object> all = new LinkedHashMap<>(values);
        all.replaceAll((k, v) -> v instanceof Map<?, ?> ? copy(section(values, k)) : v);
        return all;
    }
}
