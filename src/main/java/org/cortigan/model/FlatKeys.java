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
 * Translates the flat keys of version 0.1, which had the keys of all networks on one level of the generator's and the
 * discriminator's section. A flat key sets the key of that name in the section of every network that had it then.
 * Recipes, options and checkpoints may still use flat keys. To be removed with version 0.3.
 */
public final class FlatKeys {
    private static final String MODEL = "model";

    /**
     * A key that has moved.
     *
     * @param part {@code generator} or {@code discriminator}
     * @param networks sections that have the key now
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
     * Lays values over a recipe's, like {@link Settings#with(Map, String)}; flat keys among them set the keys that
     * replaced them.
     *
     * @param source where the values come from
     * @throws InputException for an invalid value, and for a key that is given in both forms
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
                            "Keep the latter; the former is its name in version 0.1");
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

    /** A checkpoint's section {@code model} with its flat keys replaced by today's; unchanged if it has none. */
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

    /** Whether the path exists: every name but the last names a nested section, and the last a key there. */
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

    /** A deep copy that may be modified. */
    private static Map<String, Object> copy(Map<String, Object> values) {
        Map<String, Object> all = new LinkedHashMap<>(values);
        all.replaceAll((k, v) -> v instanceof Map<?, ?> ? copy(section(values, k)) : v);
        return all;
    }
}
