// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.core.util.Separators;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Reads and writes JSON as plain Java values: Map (in the order of the text), List, String, Boolean, null, and Number
 * (Long, Double, or BigInteger beyond 64 bits). Reading limits depth, number length and text size, and rejects
 * duplicate keys. Writing turns numbers that are not finite into null, because JSON cannot represent them.
 */
public final class Json {
    private static final int MAX_DEPTH = 64;
    private static final int MAX_BYTES = 1 << 26;

    private static final JsonFactory FACTORY = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            // Keys come from untrusted files, which could flood a shared symbol table.
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(MAX_DEPTH)
                    .maxNumberLength(100)
                    .maxNameLength(1 << 16)
                    .maxStringLength(1 << 24)
                    .build())
            .build();

    private Json() {}

    /**
     * Parses one JSON text.
     *
     * @param where names the source in messages, for example a path
     * @throws InputException if the text is malformed, too deep or too long, or has a duplicate key
     */
    public static @Nullable Object parse(String text, String where) {
        return parse(text.getBytes(StandardCharsets.UTF_8), where);
    }

    /** The same from UTF-8 bytes. */
    public static @Nullable Object parse(byte[] utf8, String where) {
        if (utf8.length > MAX_BYTES) {
            throw new InputException(
                    where,
                    utf8.length + " bytes of JSON are too many (limit " + MAX_BYTES + ")",
                    "Check that this is the right file");
        }
        // Give the parser a string: with bytes, it would guess the encoding.
        try (JsonParser p = FACTORY.createParser(new String(utf8, StandardCharsets.UTF_8))) {
            if (p.nextToken() == null) {
                throw new InputException(where, "the JSON is empty", "Check the file");
            }
            Object value = value(p, where);
            if (p.nextToken() != null) {
                throw new InputException(where, "text after the end of the JSON value", "Check the file");
            }
            return value;
        } catch (JsonProcessingException e) {
            throw new InputException(
                    where,
                    "not valid JSON: "
                            + oneLine(e.getOriginalMessage().replaceAll(" \\(start marker at \\[.*\\]\\)", ""))
                            + " (line "
                            + (e.getLocation() == null ? "?" : e.getLocation().getLineNr()) + ")",
                    "Repair the JSON",
                    e);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Reads a file that holds one JSON object. */
    public static Map<String, Object> readObject(Path path) {
        return object(parse(InputFiles.readAll(path, MAX_BYTES, "a JSON file"), path.toString()), path.toString());
    }

    /**
     * Casts a value to a JSON object.
     *
     * @param where source of the value, for messages
     * @throws InputException if the value is not an object
     */
    public static Map<String, Object> object(@Nullable Object value, String where) {
        if (!(value instanceof Map<?, ?>)) {
            throw new InputException(where, "a JSON object ({...}) is needed", "Repair the JSON");
        }
        @SuppressWarnings("unchecked") // the parser makes maps with string keys only
        Map<String, Object> map = (Map<String, Object>) value;
        return map;
    }

    private static @Nullable Object value(JsonParser p, String where) throws IOException {
        JsonToken token = p.currentToken();
        switch (token) {
            case START_OBJECT -> {
                Map<String, Object> map = new LinkedHashMap<>();
                while (p.nextToken() != JsonToken.END_OBJECT) {
                    String key = p.currentName();
                    p.nextToken();
                    map.put(key, value(p, where));
                }
                return map;
            }
            case START_ARRAY -> {
                List<Object> list = new ArrayList<>();
                while (p.nextToken() != JsonToken.END_ARRAY) {
                    list.add(value(p, where));
                }
                return list;
            }
            case VALUE_STRING -> {
                return p.getText();
            }
            case VALUE_NUMBER_INT -> {
                return p.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                        ? p.getBigIntegerValue()
                        : (Object) p.getLongValue();
            }
            case VALUE_NUMBER_FLOAT -> {
                double v = p.getDoubleValue();
                if (Double.isInfinite(v)) {
                    throw new InputException(
                            where,
                            "the number " + InputFiles.quote(p.getText()) + " is beyond the range of a double",
                            "Repair the JSON");
                }
                return v;
            }
            case VALUE_TRUE -> {
                return true;
            }
            case VALUE_FALSE -> {
                return false;
            }
            case VALUE_NULL -> {
                return null;
            }
            default -> throw new InputException(where, "unexpected JSON token " + token, "Repair the JSON");
        }
    }

    private static String oneLine(@Nullable String message) {
        String s = message == null ? "" : message.replaceAll("\\s+", " ");
        return s.length() > 200 ? s.substring(0, 200) + "..." : s;
    }

    /** JSON in one line. */
    public static String compact(@Nullable Object value) {
        return text(value, false);
    }

    /** Indented JSON that ends in a newline; the same text on every system. */
    public static String pretty(@Nullable Object value) {
        return text(value, true) + "\n";
    }

    /** Replaces a file with indented JSON, atomically. */
    public static void write(Path path, @Nullable Object value) {
        AtomicFiles.writeString(path, pretty(value));
    }

    private static String text(@Nullable Object value, boolean pretty) {
        try (Writer out = new StringWriter()) {
            try (JsonGenerator g = FACTORY.createGenerator(out)) {
                if (pretty) {
                    DefaultIndenter indent = new DefaultIndenter("  ", "\n");
                    g.setPrettyPrinter(new DefaultPrettyPrinter(Separators.createDefaultInstance()
                                    .withObjectFieldValueSpacing(Separators.Spacing.AFTER)
                                    .withArrayEmptySeparator("")
                                    .withObjectEmptySeparator(""))
                            .withObjectIndenter(indent));
                }
                write(g, value, 0);
            }
            return out.toString();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void write(JsonGenerator g, @Nullable Object value, int depth) throws IOException {
        if (depth > MAX_DEPTH) {
            throw new IllegalArgumentException("values nested deeper than " + MAX_DEPTH);
        }
        if (value == null) {
            g.writeNull();
        } else if (value instanceof Map<?, ?> map) {
            g.writeStartObject();
            for (Map.Entry<?, ?> e : map.entrySet()) {
                g.writeFieldName(e.getKey().toString());
                write(g, e.getValue(), depth + 1);
            }
            g.writeEndObject();
        } else if (value instanceof Iterable<?> items) {
            g.writeStartArray();
            for (Object item : items) {
                write(g, item, depth + 1);
            }
            g.writeEndArray();
        } else if (value.getClass().isArray()) {
            g.writeStartArray();
            for (int i = 0; i < Array.getLength(value); i++) {
                write(g, Array.get(value, i), depth + 1);
            }
            g.writeEndArray();
        } else if (value instanceof Boolean b) {
            g.writeBoolean(b);
        } else if (value instanceof Float || value instanceof Double) {
            // Write a float as a float: 0.1, not 0.10000000149.
            double v = ((Number) value).doubleValue();
            g.writeRawValue(Double.isFinite(v) ? value.toString() : "null");
        } else if (value instanceof Number) {
            g.writeNumber(value.toString());
        } else if (value instanceof CharSequence || value instanceof Enum || value instanceof Path) {
            g.writeString(value.toString());
        } else {
            throw new IllegalArgumentException(
                    "no JSON form for " + value.getClass().getName());
        }
    }
}
