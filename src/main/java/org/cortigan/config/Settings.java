// SPDX-License-Identifier: Apache-2.0
package org.cortigan.config;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.jspecify.annotations.Nullable;

/**
 * An immutable tree of named values with typed readers. A tree starts with all keys and their defaults; values laid
 * over it must name existing keys and be of the same kind.
 */
public final class Settings {
    private final String where;
    private final String path;
    private final Map<String, Object> values;
    /** Where the values that were laid over others come from, by their whole path. */
    private final Map<String, String> sources;

    private Settings(String where, String path, Map<String, Object> values, Map<String, String> sources) {
        this.where = where;
        this.path = path;
        this.values = values;
        this.sources = sources;
    }

    /** @param where the file that the values come from, for messages */
    public static Settings of(String where, Map<String, Object> values) {
        return new Settings(where, "", deepCopy(values), Map.of());
    }

    private static Map<String, Object> deepCopy(Map<String, Object> m) {
        Map<String, Object> c = new LinkedHashMap<>();
        m.forEach((k, v) -> c.put(k, v instanceof Map<?, ?> n ? deepCopy(Json.object(n, k)) : v));
        return Collections.unmodifiableMap(c);
    }

    public Map<String, Object> values() {
        return values;
    }

    /**
     * These settings with other values laid over them.
     *
     * @param source where the other values come from, for messages about them
     * @throws InputException for an unknown key, naming the most similar known one, or a value of another kind
     */
    public Settings with(Map<String, Object> over, String source) {
        Map<String, Object> merged = merge(values, over, source, path);
        Map<String, String> all = new HashMap<>(sources);
        locate(over, path, source, all);
        return new Settings(where, path, merged, all);
    }

    /** Notes the source of every value of a tree. */
    private static void locate(Map<String, Object> over, String path, String source, Map<String, String> sources) {
        over.forEach((k, v) -> {
            if (v instanceof Map<?, ?> section) locate(Json.object(section, k), path + k + ".", source, sources);
            else sources.put(path + k, source);
        });
    }

    /** The same values, all of which messages find in one file. */
    public Settings in(String file) {
        return new Settings(file, path, values, Map.of());
    }

    private static Map<String, Object> merge(
            Map<String, Object> base, Map<String, Object> over, String source, String path) {
        Map<String, Object> out = new LinkedHashMap<>(base);
        over.forEach((k, v) -> {
            if (!base.containsKey(k))
                throw new InputException(source + ", key '" + path + k + "'", "is unknown", nearest(k, path, base));
            Object b = base.get(k);
            if (b instanceof Map<?, ?> bm) {
                if (!(v instanceof Map<?, ?> vm)) throw kind(source, path + k, v, "a section with " + bm.keySet());
                out.put(
                        k,
                        merge(
                                Json.object(bm, k),
                                Json.object(vm, source + ", key '" + path + k + "'"),
                                source,
                                path + k + "."));
            } else {
                out.put(k, fit(b, v, source, path + k));
            }
        });
        return Collections.unmodifiableMap(out);
    }

    /** These settings with one value replaced, named by its path, like {@code -o key.path=value}. */
    public Settings with(String keyPath, @Nullable Object value, String source) {
        return with(at(keyPath, value), source);
    }

    /** A tree with one value, for example {@code {a: {b: value}}} for the path {@code a.b}. */
    public static Map<String, Object> at(String keyPath, @Nullable Object value) {
        int dot = keyPath.indexOf('.');
        Map<String, Object> m = new LinkedHashMap<>(); // the value may be null
        if (dot < 0) m.put(keyPath, value);
        else m.put(keyPath.substring(0, dot), at(keyPath.substring(dot + 1), value));
        return m;
    }

    private static Object fit(@Nullable Object base, @Nullable Object v, String source, String key) {
        if (base instanceof Number) {
            if (v instanceof Number n && Double.isFinite(n.doubleValue())) return n;
            throw kind(source, key, v, "a number");
        }
        if (base instanceof Boolean) {
            if (v instanceof Boolean) return v;
            throw kind(source, key, v, "true or false");
        }
        if (base instanceof List<?> of) {
            // The default [] fits both: whoever reads the key knows which it is.
            boolean texts = !of.isEmpty() && of.get(0) instanceof String, numbers = !of.isEmpty() && !texts;
            if (v instanceof List<?> l
                    && (!texts && l.stream().allMatch(Settings::isFinite)
                            || !numbers && l.stream().allMatch(String.class::isInstance))) return List.copyOf(l);
            throw kind(source, key, v, texts ? "a list of names" : "a list of numbers");
        }
        if (v instanceof String) return v;
        if (v instanceof Integer || v instanceof Long) return v.toString(); // a text of digits, without quotes
        if (v == null) return "";
        throw kind(source, key, v, "text");
    }

    private static boolean isFinite(@Nullable Object x) {
        return x instanceof Number n && Double.isFinite(n.doubleValue());
    }

    private static InputException kind(String source, String key, @Nullable Object v, String want) {
        return new InputException(
                source + ", key '" + key + "'",
                (v instanceof byte[] ? "binary data" : InputFiles.quote(String.valueOf(v))) + " does not fit",
                "Give " + want);
    }

    /** A remedy for an unknown key: the most similar key of this section or its subsections, or all known keys. */
    private static String nearest(String key, String path, Map<String, Object> known) {
        List<String> candidates = new ArrayList<>(known.keySet());
        known.forEach((section, v) -> {
            if (v instanceof Map<?, ?> m) for (Object k : m.keySet()) candidates.add(section + "." + k);
        });
        String best = null;
        int bestDistance = Integer.MAX_VALUE;
        for (String c : candidates) {
            int d = distance(key.toLowerCase(Locale.ROOT), c.substring(c.lastIndexOf('.') + 1));
            if (d < bestDistance) {
                bestDistance = d;
                best = c;
            }
        }
        if (best != null && bestDistance <= Math.max(2, key.length() / 3)) return "Did you mean '" + path + best + "'?";
        return "Known there: " + String.join(", ", new TreeSet<>(known.keySet()));
    }

    /** The Levenshtein distance. */
    static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) row[j] = j;
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int up = row[j];
                row[j] = Math.min(
                        Math.min(row[j], row[j - 1]) + 1, diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1));
                diagonal = up;
            }
        }
        return row[b.length()];
    }

    /** The section {@code key}; messages name its keys by their whole path. */
    public Settings section(String key) {
        return new Settings(where, path + key + ".", Json.object(get(key), path + key), sources);
    }

    private Object get(String key) {
        Object v = values.get(key);
        if (v == null) throw new InputException(name(key), "is missing", "Add the key");
        return v;
    }

    private String name(String key) {
        return sources.getOrDefault(path + key, where) + ", key '" + path + key + "'";
    }

    /** A whole number from {@code min} to 2^31 - 1. */
    public int integer(String key, int min) {
        Object v = get(key);
        if (v instanceof Number n
                && n.doubleValue() == Math.rint(n.doubleValue())
                && n.doubleValue() >= min
                && n.doubleValue() <= Integer.MAX_VALUE) return n.intValue();
        boolean large = v instanceof Number n && n.doubleValue() > Integer.MAX_VALUE;
        throw new InputException(
                name(key),
                v + " does not fit",
                "Give a whole number of at " + (large ? "most " + Integer.MAX_VALUE : "least " + min));
    }

    /** A whole number. */
    public long whole(String key) {
        Object v = get(key);
        if (v instanceof Number n && n.doubleValue() == Math.rint(n.doubleValue())) return n.longValue();
        throw new InputException(name(key), v + " does not fit", "Give a whole number");
    }

    /** A number in [min, max]. */
    public double number(String key, double min, double max) {
        Object v = get(key);
        if (v instanceof Number n && n.doubleValue() >= min && n.doubleValue() <= max) return n.doubleValue();
        throw new InputException(
                name(key),
                v + " does not fit",
                "Give a number " + (max == Double.MAX_VALUE ? "of at least " + min : "from " + min + " to " + max));
    }

    /** A number of at least {@code min}. */
    public double number(String key, double min) {
        return number(key, min, Double.MAX_VALUE);
    }

    public boolean flag(String key) {
        return (Boolean) get(key);
    }

    public String text(String key) {
        return (String) get(key);
    }

    /** One of the constants of an enum, written in lower case. */
    public <E extends Enum<E>> E choice(String key, Class<E> type) {
        return constant(key, text(key), type);
    }

    /** A list of constants of an enum, written in lower case. */
    public <E extends Enum<E>> List<E> choices(String key, Class<E> type) {
        return ((List<?>) get(key))
                .stream().map(v -> constant(key, v.toString(), type)).toList();
    }

    private <E extends Enum<E>> E constant(String key, String v, Class<E> type) {
        List<E> all = List.of(type.getEnumConstants());
        List<String> names =
                all.stream().map(e -> e.name().toLowerCase(Locale.ROOT)).toList();
        return all.get(names.indexOf(oneOf(key, v, names)));
    }

    /** One of {@code names}. */
    public String choice(String key, List<String> names) {
        return oneOf(key, text(key), names);
    }

    private String oneOf(String key, String v, List<String> names) {
        if (names.contains(v)) return v;
        throw new InputException(
                name(key), InputFiles.quote(v) + " is unknown", "Use one of " + String.join(", ", names));
    }

    /** Whether a key is there. Recipes have all keys, but a checkpoint may be older than a key. */
    public boolean has(String key) {
        return values().containsKey(key);
    }

    /** A list of whole numbers of at least 1. */
    public List<Integer> integers(String key) {
        return integers(key, 1);
    }

    /** A list of whole numbers of at least {@code least}. */
    public List<Integer> integers(String key, int least) {
        List<Integer> out = new ArrayList<>();
        for (Object o : (List<?>) get(key)) {
            double d = o instanceof Number n ? n.doubleValue() : Double.NaN;
            if (d != Math.rint(d) || d < least || d > Integer.MAX_VALUE)
                throw new InputException(
                        name(key),
                        InputFiles.quote(String.valueOf(o)) + " does not fit",
                        "Give whole numbers of at least " + least);
            out.add((int) d);
        }
        return out;
    }

    /** A list of texts, none of them twice or blank. */
    public List<String> texts(String key) {
        List<String> out = new ArrayList<>();
        for (Object o : (List<?>) get(key)) {
            if (!(o instanceof String text) || text.isBlank() || out.contains(text))
                throw new InputException(
                        name(key),
                        InputFiles.quote(String.valueOf(o)) + " does not fit",
                        "Give a list of names, each once");
            out.add(text);
        }
        return out;
    }

    /** A list of exactly n numbers. */
    public List<Double> numbers(String key, int n) {
        List<?> l = (List<?>) get(key);
        if (l.size() != n) throw new InputException(name(key), "has " + l.size() + " numbers", "Give " + n);
        List<Double> out = new ArrayList<>();
        for (Object o : l) out.add(((Number) o).doubleValue());
        return out;
    }

    /** An error for a value of the right kind that is invalid for another reason. */
    public InputException wrong(String key, String problem, String remedy) {
        return new InputException(name(key), problem, remedy);
    }
}
