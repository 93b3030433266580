// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JsonTest {
    @TempDir
    Path dir;

    @Test
    void parsesEveryKindOfValue() {
        assertEquals(
                Map.of(
                        "a",
                        Arrays.asList(1L, -2.5, "x\n", true, false, null, Map.of(), List.of()),
                        "b",
                        new BigInteger("18446744073709551616")),
                Json.parse("{\"a\":[1,-2.5,\"x\\n\",true,false,null,{},[]], \"b\":18446744073709551616}", "t"));
        assertEquals(7L, Json.parse(" 7 ", "t"));
    }

    @Test
    void refusesWhatIsNotJson() {
        for (String text : new String[] {
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "NaN",
            "1 2",
            "[1] x",
            "{\"a\":1,\"a\":2}",
            "1e999",
            "01",
            "\"\u0001\"",
            "[".repeat(65),
            "9".repeat(101)
        }) {
            refused(() -> Json.parse(text, "metrics.json"), "metrics.json");
        }
        refused(() -> Json.object(Json.parse("[]", "t"), "t"), "object");
        refused(() -> Json.readObject(dir.resolve("absent.json")), "absent.json", "no such file");
    }

    @Test
    void writesAndReadsBack() throws Exception {
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("r", 0.1f);
        value.put("nan", new double[] {Double.NaN, Double.NEGATIVE_INFINITY, 1e-9});
        value.put("n", new int[] {1, 2});
        value.put("s", List.of("q\"", NpyType.F32));
        value.put("none", null);
        value.put("empty", Map.of());
        assertEquals(
                "{\"r\":0.1,\"nan\":[null,null,1.0E-9],\"n\":[1,2],\"s\":[\"q\\\"\",\"F32\"],\"none\":null,"
                        + "\"empty\":{}}",
                Json.compact(value));
        Path p = dir.resolve("v.json");
        Json.write(p, value);
        assertEquals(Json.pretty(value), Files.readString(p));
        assertEquals(Json.parse(Json.compact(value), "t"), Json.readObject(p));
        assertEquals("{\n  \"a\": 1\n}\n", Json.pretty(Map.of("a", 1)));
        assertThrows(IllegalArgumentException.class, () -> Json.compact(new Object()));
        Object deep = "x";
        for (int i = 0; i < 100; i++) {
            deep = List.of(deep);
        }
        Object tooDeep = deep;
        assertThrows(IllegalArgumentException.class, () -> Json.compact(tooDeep));
    }
}
